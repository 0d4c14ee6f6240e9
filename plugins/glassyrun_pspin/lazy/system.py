"""The p-spin whose disorder is drawn as it is looked at, as a System."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Evaluation, Refusal, Sphere, State, Stream, System
from glassyrun_pspin.lazy.axes import Axes, Overlaps, Sites
from glassyrun_pspin.lazy.disorder import Disorder
from glassyrun_pspin.lazy.noise import FrameSphere
from glassyrun_pspin.lazy.size import Size
from glassyrun_pspin.theory import lowest_energy


class LazyPSpin(System):
    """H = −N V of a `Disorder`; x is a configuration in the coordinates of its axes, times √dof.

    With one axis a spin dof = N, and x is σ. With axes that come as they are needed, `room` of them, x is a vector of R^room whose inner
    products with other configurations, divided by `room`, are the overlaps; N is in the law of the disorder and of the noise alone.

    The disorder is drawn by the looks of everybody who holds this System, in the order in which they come. It is no part of a State that
    moves, but of each that is committed (`memory`, `take_up`).
    """

    def __init__(
        self,
        mixture: Mapping[int, float],
        n: int | float,
        context: Context,
        *,
        room: int | None = None,
        planted: int | float = 0.0,
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
        self.n, self.context, self.planted, self.mixture = n, context, planted, dict(mixture)
        self.dof = int(n) if room is None else room
        self.axes: Axes = Sites(int(n)) if room is None else Overlaps(n)
        radius = math.sqrt(self.dof)
        self.manifold = FrameSphere(radius, self.axes) if isinstance(self.axes, Overlaps) else Sphere(radius)
        stream = context.stream("couplings")
        self.disorder = Disorder(mixture, n, self.axes, stream, planted, pivot_tolerance, direction_tolerance)
        self.terms, self.blocks = 0, {"spins": slice(0, self.dof)}
        self.energy_scale, self.energy_name = float(self.dof), "energy per spin"
        self.bottom = lowest_energy(self.mixture)
        form = "one axis a spin" if room is None else f"overlaps only, room for {room} axes"
        self.provenance = {
            "disorder": f"Gaussian couplings with repeated indices, drawn where the dynamics looks; {form}",
            "start": "random" if not planted else f"planted at T_i = {1 / planted:g}, shared by the replicas of a sample",
        }
        self._starts: dict[str, Tensor] = {}
        law = f"{sorted(mixture.items())} {n} {planted} {stream} {pivot_tolerance} {direction_tolerance} {room is None}"
        self._law = torch.frombuffer(bytearray(hashlib.blake2b(law.encode(), digest_size=16).digest()), dtype=torch.int64)

    @property
    def degrees_of_freedom(self) -> int | float:
        return self.n

    def initial(self, streams: Sequence[Stream]) -> State:
        rows = [
            self._start("planted", self.context.stream("planted")) if self.planted else self._start(s.name, s) for s in streams
        ]
        return State(torch.stack([self._wide(row) for row in rows]) * math.sqrt(self.dof))

    def _start(self, name: str, stream: Stream) -> Float[Tensor, " axis"]:
        """A random configuration, drawn once; a planted one is the first direction of all, whoever looks first."""
        if name not in self._starts:
            vector = self.axes.isotropic(stream, 0)
            self._starts[name] = vector / torch.linalg.vector_norm(vector)
            if self.planted:
                self.disorder.energy(self._starts[name].unsqueeze(0))
        return self._starts[name]

    @torch.no_grad()
    def energy(self, state: State, terms: Int[Tensor, " term"] | None = None) -> Float[Tensor, " replica"]:
        return self.disorder.energy(self._seen(state)) * self.dof

    @torch.no_grad()
    def gradient(self, state: State, batch: Int[Tensor, "replica term"] | None = None) -> Evaluation:
        if batch is not None:
            raise Refusal('system.disorder = "lazy" keeps no couplings to draw mini-batches from; take full gradients')
        energy, force = self.disorder.look(self._seen(state))
        # H = dof·E(x/√dof): its gradient is −√dof F
        return Evaluation(energy * self.dof, self._wide(force) * -math.sqrt(self.dof))

    def memory(self, state: State) -> dict[str, Tensor]:
        noise = self.manifold.memory() if isinstance(self.manifold, FrameSphere) else {}
        return {**self.disorder.memory(), **noise, "law": self._law.clone()}

    def take_up(self, state: State) -> State:
        law = state.system.get("law")
        if law is None or not torch.equal(law.cpu(), self._law):
            told = "none" if law is None else "that of another seed or another [system]"
            raise Refusal(
                'system.disorder = "lazy" goes on with the disorder that was drawn so far, and the State that it should begin from has '
                f"{told}; take the final State of a run with the same seed and the same [system]"
            )
        self.disorder.take_up(state.system)
        if isinstance(self.manifold, FrameSphere):
            self.manifold.take_up(state.system)
        return self._with_own_room(state)

    def _with_own_room(self, state: State) -> State:
        """A State of a run that gave x less room: the same configurations, and memory along with them."""
        room = state.x.shape[1]
        if room > self.dof:
            raise Refusal(
                f"system.axes: the State that it should begin from has {room} of them, expected at most {self.dof}; set system.axes = {room}"
            )
        if isinstance(self.axes, Sites):
            return State(state.x, state.step, {}, state.dynamics)
        scale = math.sqrt(self.dof / room)
        dynamics = {
            name: self._wide(value) * scale if value.shape == state.x.shape else value for name, value in state.dynamics.items()
        }
        return State(self._wide(state.x) * scale, state.step, {}, dynamics)

    def own_threads(self, replicas: int) -> bool:
        return True

    def work(self, steps: int) -> int | float:
        return Size(self.disorder.mixture, self.n, self.context.journey).work(steps)

    def _seen(self, state: State) -> Float[Tensor, "replica axis"]:
        """Configurations of length one."""
        return state.x[:, : self.axes.count] / math.sqrt(self.dof)

    def _wide(self, vectors: Float[Tensor, "*rows axis"]) -> Float[Tensor, "*rows dof"]:
        if vectors.shape[-1] > self.dof:
            raise Refusal(
                f"system.axes: {vectors.shape[-1]} axes are needed by now, and there is room for {self.dof}; give system.axes a larger "
                "number, and begin anew"
            )
        return torch.nn.functional.pad(vectors, (0, self.dof - vectors.shape[-1]))
