"""Quench: straight down the gradient at T = 0."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from torch import Tensor

from glassyrun import Batches, Context, Draw, Dynamics, Evaluation, State, System, described
from glassyrun_dynamics.descent import adams, euler, heun, tilt_slope
from glassyrun_dynamics.minibatch import MinibatchOptions, batch_provenance

SCHEMES = {"euler": euler, "heun": heun, "adams": adams}
Scheme = Literal["euler", "heun", "adams"]


class QuenchOptions(MinibatchOptions):
    """Gradient descent, the dynamics at T = 0: ẋ = −∂H/∂x.

    On a sphere the gradient is projected on the tangent space and x is put back on the sphere after each step.
    """

    kind: Literal["quench"] = "quench"
    dt: Annotated[float, described("time per step, in units of time", gt=0)] = 0.1
    scheme: Annotated[
        Scheme,
        described(
            "euler: plain gradient descent, first order in dt, one gradient a step; heun: second order, two gradients a step; "
            "adams: second order, one gradient a step, stable up to half the step of the others"
        ),
    ] = "euler"

    @property
    def time_step(self) -> float:
        return self.dt

    @property
    def gradients(self) -> int:
        return 2 if self.scheme == "heun" else 1

    @property
    def gradient_step(self) -> float:
        return 2 * self.dt if self.scheme == "adams" else self.dt

    def build(self, context: Context, system: System) -> Quench:
        return Quench(self.dt, self.scheme, self.batches(context, system))


@attrs.define(slots=False)
class Quench(Dynamics):
    """ẋ = −P∇H(x), by Euler's or Heun's method."""

    dt: float
    scheme: Scheme
    batches: Batches | None = None

    def __attrs_post_init__(self) -> None:
        self.descends = self.batches is None
        self.provenance = batch_provenance(self.batches)

    def draw(self, step: int, like: State) -> Draw:
        return Draw(self.batches.draw(step, like.replicas, like.x.device) if self.batches else None)

    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        return SCHEMES[self.scheme](system, state, draw.batch, self.dt)

    def tilt(self, system: System, state: State, field: Tensor) -> None:
        tilt_slope(system, state, field)
