"""Langevin dynamics at a temperature T, of second weak order on the sphere and in flat space."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
import torch

from glassyrun import Batches, Context, Draw, Dynamics, Evaluation, Options, State, Stream, System, described, replica_normals
from glassyrun_dynamics.descent import heun
from glassyrun_dynamics.minibatch import MinibatchOptions, batch_provenance


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

    @property
    def time_step(self) -> float:
        return self.dt

    def build(self, context: Context, system: System) -> Langevin:
        stream, batches = context.stream("noise"), self.batches(context, system)
        return Langevin(self.dt, self.temperature, self.ramp, stream, batches, context.begins)


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
        if len(self.streams) != like.replicas:
            self.streams = [self.noise.child(replica) for replica in range(like.replicas)]
        normals = replica_normals(self.streams, 2 * like.x.shape[1], like.x, step)
        variance = 2 * self.temperature_at((step - self.begins + 0.5) * self.dt) * (0.5 * self.dt)
        return Draw(batch, normals.chunk(2, dim=1), torch.full((), variance, dtype=torch.float64, device=like.x.device))

    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        if draw.variance is None:
            return heun(system, state, draw.batch, self.dt)
        before, after = draw.noise
        state.x.copy_(system.manifold.diffuse(state.x, before, draw.variance))
        evaluation = heun(system, state, draw.batch, self.dt)
        state.x.copy_(system.manifold.diffuse(state.x, after, draw.variance))
        return evaluation
