"""Stochastic gradient descent with momentum and weight decay."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
import torch

from glassyrun import Batches, Context, Draw, Dynamics, Evaluation, Flat, Refusal, State, System, described
from glassyrun_dynamics.minibatch import MinibatchOptions, batch_provenance


class SGDOptions(MinibatchOptions):
    """Stochastic gradient descent: v ← βv + g_B, x ← x − αv. Time is counted in steps.

    `weight_decay` λ adds λx to the gradient, as in torch.optim.SGD; it is no part of the energy.
    """

    kind: Literal["sgd"] = "sgd"
    learning_rate: Annotated[float, described("α", gt=0)] = 0.01
    momentum: Annotated[float, described("β", ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, described("λ", ge=0)] = 0.0
    time_unit = "step"

    @property
    def time_step(self) -> float:
        return 1.0

    @property
    def gradient_step(self) -> float:
        return self.learning_rate / (1 + self.momentum)  # heavy-ball is stable up to α = 2(1+β)/λ_max

    @property
    def flow_step(self) -> float:
        return self.learning_rate / (1 - self.momentum)

    def build(self, context: Context, system: System) -> SGD:
        if self.weight_decay and not isinstance(system.manifold, Flat):
            raise Refusal(
                f"dynamics.weight_decay: found {self.weight_decay} for a system on a sphere, where |x| is fixed and a pull towards 0 "
                "does nothing; leave it out"
            )
        return SGD(self.learning_rate, self.momentum, self.weight_decay, self.batches(context, system))


@attrs.define(slots=False)
class SGD(Dynamics):
    """v ← βv + P(g_B + λx), x ← R(x − αv): torch.optim.SGD in flat space.

    On a sphere g is projected on the tangent space, x is put back on the sphere, and v is carried along by projection.
    """

    learning_rate: float
    momentum: float
    weight_decay: float
    batches: Batches | None = None
    step_name = "dynamics.learning_rate"

    def __attrs_post_init__(self) -> None:
        self.provenance = batch_provenance(self.batches)

    @property
    def flow_step(self) -> float:
        return self.learning_rate / (1 - self.momentum)

    def start(self, system: System, state: State) -> None:
        if self.momentum:
            state.dynamics["velocity"] = torch.zeros_like(state.x)

    def draw(self, step: int, like: State) -> Draw:
        return Draw(self.batches.draw(step, like.replicas, like.x.device) if self.batches else None)

    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        evaluation = system.gradient(state, draw.batch)
        state.system = evaluation.memory
        slope = evaluation.gradient
        if self.weight_decay:
            slope = slope.add(state.x, alpha=self.weight_decay)
        slope = system.manifold.project(state.x, slope)
        if self.momentum:
            slope = state.dynamics["velocity"].mul_(self.momentum).add_(slope)
        moved = state.x.add_(slope, alpha=-self.learning_rate)
        back = system.manifold.retract(moved)
        if back is not moved:
            state.x.copy_(back)
            if self.momentum:
                slope.copy_(system.manifold.project(state.x, slope))
        return evaluation
