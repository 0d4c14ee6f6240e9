"""The p-spin whose disorder is drawn as it is looked at, as a System."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Evaluation, Refusal, Sphere, State, Stream, System
from glassyrun_pspin.lazy.axes import Axes, Overlaps, Sites
from glassyrun_pspin.lazy.disorder import Disorder
from glassyrun_pspin.lazy.noise import FrameSphere


class LazyPSpin(System):
    """H = −N V of a `Disorder`; x is a configuration in the coordinates of its axes, times √dof.

    With one axis a spin dof = N, and x is σ. With axes that come as they are needed, `room` of them, x is a vector of R^room whose inner
    products with other configurations, divided by `room`, are the overlaps; N is in the law of the disorder and of the noise alone.

    The disorder is drawn by the looks of everybody who holds this System, in the order in which they come.
    """

    def __init__(
        self,
        mixture: Mapping[int, float],
        n: float,
        context: Context,
        *,
        room: int | None = None,
        planted: float = 0.0,
        pivot_tolerance: float = 1e-7,
        direction_tolerance: float = 1e-9,
    ) -> None:
        """
        Args:
            mixture: a_p of each degree.
            n: N, which may be infinite with `room`.
            context: seed and sample; only the CPU, and float64.
            room: axes at most; None for one axis a spin.
            planted: β_i = 1/T_i of a start in equilibrium; 0 for random starts.
            pivot_tolerance: see `Disorder`.
            direction_tolerance: see `Disorder`.

        Raises:
            Refusal: if device or dtype are other ones.
        """
        if context.device.type != "cpu" or context.dtype != torch.float64:
            raise Refusal(
                'system.disorder = "lazy" works on the CPU in float64: set run.device = "cpu" and run.dtype = "float64"'
            )
        self.n, self.context, self.planted = n, context, planted
        self.dof = int(n) if room is None else room
        self.axes: Axes = Sites(int(n)) if room is None else Overlaps(n)
        radius = math.sqrt(self.dof)
        self.manifold = FrameSphere(radius, self.axes) if isinstance(self.axes, Overlaps) else Sphere(radius)
        stream = context.stream("couplings")
        self.disorder = Disorder(mixture, n, self.axes, stream, planted, pivot_tolerance, direction_tolerance)
        self.terms, self.blocks = 1, {"spins": slice(0, self.dof)}
        self.energy_scale, self.energy_name = float(self.dof), "energy per spin"
        self.provenance = {"disorder": "Gaussian couplings with repeated indices, drawn where the dynamics looks"}

    def initial(self, streams: Sequence[Stream]) -> State:
        drawn: dict[str, Tensor] = {}
        for stream in streams if not self.planted else streams[:1]:
            name = "planted" if self.planted else stream.name
            if name not in drawn:
                vector = self.axes.isotropic(self.context.stream("planted") if self.planted else stream, 0)
                drawn[name] = vector / torch.linalg.vector_norm(vector)
        rows = [drawn["planted" if self.planted else stream.name] for stream in streams]
        return State(torch.stack([self._wide(row) for row in rows]) * math.sqrt(self.dof))

    def energy(self, state: State, terms: Int[Tensor, " term"] | None = None) -> Float[Tensor, " replica"]:
        return self.gradient(state).energy

    @torch.no_grad()
    def gradient(self, state: State, batch: Int[Tensor, "replica term"] | None = None) -> Evaluation:
        if batch is not None:
            raise Refusal('system.disorder = "lazy" has no couplings to draw mini-batches from: take full gradients')
        if state.system:
            self.disorder.catch_up(state.system)
        count, radius = self.axes.count, math.sqrt(self.dof)
        energy, force = self.disorder.look(state.x[:, :count] / radius)
        # H = dof·E(x/√dof): its gradient is −√dof F
        return Evaluation(energy * self.dof, self._wide(force) * -radius, self.disorder.memory())

    def _wide(self, vectors: Float[Tensor, "*rows axis"]) -> Float[Tensor, "*rows dof"]:
        if vectors.shape[-1] > self.dof:
            raise Refusal(f"system: {vectors.shape[-1]} directions were looked along, and there is room for {self.dof}")
        return torch.nn.functional.pad(vectors, (0, self.dof - vectors.shape[-1]))
