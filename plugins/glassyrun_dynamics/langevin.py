"""Langevin dynamics at a temperature T, of second weak order on the sphere and in flat space."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import Batches, Context, Draw, Dynamics, Evaluation, Options, State, Stream, System, described, replica_normals
from glassyrun_dynamics.descent import adams, bring_along, heun, tilt_slope
from glassyrun_dynamics.minibatch import MinibatchOptions, batch_provenance

Scheme = Literal["heun", "adams"]


class Ramp(Options):
    """The table `[dynamics.ramp]`: linear from `start` at time 0 to `dynamics.temperature` at `until`.

    Under a stage of `[[dynamics]]` the time of the ramp counts from the beginning of the stage.
    """

    start: Annotated[float, described("temperature at time 0, in units of energy", ge=0)]
    until: Annotated[
        float,
        described("time at which the final temperature is reached, from the beginning of the stage, in units of time", gt=0),
    ]

    def at(self, time: float, final: float) -> float:
        return self.start + (final - self.start) * min(1.0, time / self.until)


class LangevinOptions(MinibatchOptions):
    """Langevin dynamics at temperature T: ẋ = −∂H/∂x + ξ with ⟨ξξ⟩ = 2T.

    With mini-batches it is stochastic-gradient Langevin dynamics, whose stationary covariance has a bias of order
    dt·M/(2B). A network's H is its *mean* loss: the posterior of M examples is T = 1/M.
    """

    kind: Literal["langevin"] = "langevin"
    dt: Annotated[float, described("time per step, in units of time", gt=0)] = 0.05
    temperature: Annotated[float, described("temperature, in units of energy", ge=0)]
    ramp: Annotated[Ramp | None, described("a linear change of temperature at the beginning")] = None
    scheme: Annotated[
        Scheme,
        described(
            "heun: Strang splitting around Heun's method, two gradients a step; adams: one gradient a step, stable up to half the "
            "step; both of second weak order"
        ),
    ] = "heun"

    @property
    def time_step(self) -> float:
        return self.dt

    @property
    def gradients(self) -> int:
        return 1 if self.scheme == "adams" else 2

    @property
    def noises(self) -> int:
        cold = self.temperature == 0 and self.ramp is None
        return 0 if cold else 1 if self.scheme == "adams" else 2

    @property
    def gradient_step(self) -> float:
        return 2 * self.dt if self.scheme == "adams" else self.dt

    def build(self, context: Context, system: System) -> Langevin:
        stream, batches = context.stream("noise"), self.batches(context, system)
        kind = AdamsLangevin if self.scheme == "adams" else Langevin
        return kind(self.dt, self.temperature, self.ramp, stream, batches, context.begins)


@attrs.define(slots=False)
class Langevin(Dynamics):
    """Strang splitting: free Brownian motion for dt/2, a Heun step down the gradient, Brownian motion for dt/2.

    Heun with retraction alone is of first weak order on the sphere; the splitting is of second, because each part is.
    The temperature of a ramp is taken in the middle of the step.
    """

    dt: float
    temperature: float
    ramp: Ramp | None
    noise: Stream
    batches: Batches | None = None
    begins: int = 0
    """The step at which the time of a ramp begins."""
    capturable = True

    def __attrs_post_init__(self) -> None:
        self.streams: list[Stream] = []  # one a replica
        self.cold = self.temperature == 0 and self.ramp is None
        self.descends = self.cold and self.batches is None
        self.provenance = batch_provenance(self.batches)

    def temperature_at(self, time: float) -> float:
        """The temperature at a time after the beginning of the stage, in units of energy."""
        return self.ramp.at(time, self.temperature) if self.ramp else self.temperature

    def draw(self, step: int, like: State) -> Draw:
        batch = self.batches.draw(step, like.replicas, like.x.device) if self.batches else None
        if self.cold:
            return Draw(batch)
        normals = self.normals(step, like, 2)
        variance = self._variance(step, 0.5 * self.dt)
        return Draw(batch, normals.chunk(2, dim=1), torch.full((), variance, dtype=torch.float64, device=like.x.device))

    def normals(self, step: int, like: State, vectors: int) -> Float[Tensor, "replica numbers"]:
        """Standard normal numbers for so many vectors a replica."""
        if len(self.streams) != like.replicas:
            self.streams = [self.noise.child(replica) for replica in range(like.replicas)]
        return replica_normals(self.streams, vectors * like.x.shape[1], like.x, step)

    def _variance(self, step: int, time: float) -> float:
        """2T times a stretch of time, T taken in the middle of the step."""
        return 2 * self.temperature_at((step - self.begins + 0.5) * self.dt) * time

    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        if draw.variance is None:
            return heun(system, state, draw.batch, self.dt)
        before, after = draw.noise
        state.x.copy_(system.manifold.diffuse(state.x, before, draw.variance))
        evaluation = heun(system, state, draw.batch, self.dt)
        state.x.copy_(system.manifold.diffuse(state.x, after, draw.variance))
        return evaluation


@attrs.define(slots=False)
class AdamsLangevin(Langevin):
    """A step down the gradient by Adams' and Bashforth's two-step method, then free Brownian motion, both for dt.

    Of second weak order: the difference to the gradient g of the step before, brought along by parallel transport, is what the flow
    *and* the noise have changed, and makes up for the order of the two parts. On a curved space [Δ, g·∇] has the Ricci curvature in
    it besides, which g is damped for, by e^{−T Ric dt} (docs/physics.md). A State lags behind by O(dt) in its answer to the last noise, an
    error of O(dt²) in every mean.
    """

    capturable = True

    def draw(self, step: int, like: State) -> Draw:
        batch = self.batches.draw(step, like.replicas, like.x.device) if self.batches else None
        if self.cold:
            return Draw(batch)
        variance = torch.full((), self._variance(step, self.dt), dtype=torch.float64, device=like.x.device)
        return Draw(batch, (self.normals(step, like, 1),), variance)

    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        if draw.variance is None:
            return adams(system, state, draw.batch, self.dt)
        kept = torch.exp(draw.variance * (-0.5 * system.manifold.ricci))
        evaluation = adams(system, state, draw.batch, self.dt, kept)
        bring_along(system, state, system.manifold.diffuse(state.x, draw.noise[0], draw.variance))
        return evaluation

    def tilt(self, system: System, state: State, field: Float[Tensor, "#replica dof"]) -> None:
        tilt_slope(system, state, field)
