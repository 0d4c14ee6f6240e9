"""Quench: straight down the gradient at T = 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import attrs
from pydantic import model_validator
from torch import Tensor

from glassyrun import Batches, Context, Draw, Dynamics, Evaluation, State, System, described
from glassyrun_dynamics.adaptive import adaptive
from glassyrun_dynamics.descent import adams, euler, heun, tilt_slope
from glassyrun_dynamics.minibatch import MinibatchOptions, batch_provenance

SCHEMES = {"euler": euler, "heun": heun, "adams": adams}
Scheme = Literal["euler", "heun", "adams", "adaptive"]
TOLERANCE = 1e-6
USUAL_PART = 0.1
"""Time of one part of an adaptive step, as far as sizes are foreseen."""


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
            "adams: second order, one gradient a step, stable up to half the step of the others; adaptive: third order, each step in as many "
            "parts as `tolerance` asks for, whatever dt is"
        ),
    ] = "euler"
    tolerance: Annotated[
        float | None,
        described("adaptive: error of one part of a step, root mean square component, in units of x; default 1e-6", gt=0, le=0.1),
    ] = None

    @model_validator(mode="after")
    def _sensible(self) -> QuenchOptions:
        if self.tolerance is not None and self.scheme != "adaptive":
            raise ValueError(f'tolerance with scheme = "{self.scheme}", which has none: leave it out, or set scheme = "adaptive"')
        return self

    @property
    def time_step(self) -> float:
        return self.dt

    @property
    def gradients(self) -> int:
        if self.scheme == "adaptive":
            return 1 + 3 * math.ceil(self.dt / USUAL_PART)
        return 2 if self.scheme == "heun" else 1

    @property
    def gradient_step(self) -> float:
        # parts of adaptive steps are as short as they must be
        return {"adams": 2 * self.dt, "adaptive": 0.0}.get(self.scheme, self.dt)

    def build(self, context: Context, system: System) -> Quench:
        step = partial(adaptive, tolerance=self.tolerance or TOLERANCE) if self.scheme == "adaptive" else SCHEMES[self.scheme]
        return Quench(self.dt, step, self.batches(context, system))


@attrs.define(slots=False)
class Quench(Dynamics):
    """ẋ = −P∇H(x), by one of several schemes."""

    dt: float
    step: Callable[..., Evaluation]
    batches: Batches | None = None

    def __attrs_post_init__(self) -> None:
        self.descends = self.batches is None
        self.provenance = batch_provenance(self.batches)

    @property
    def capturable(self) -> bool:
        """An adaptive step asks the host how long its parts are."""
        return self.step in SCHEMES.values()

    def draw(self, step: int, like: State) -> Draw:
        return Draw(self.batches.draw(step, like.replicas, like.x.device) if self.batches else None)

    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        return self.step(system, state, draw.batch, self.dt)

    def tilt(self, system: System, state: State, field: Tensor) -> None:
        tilt_slope(system, state, field)
