"""Stochastic gradient descent with momentum, Nesterov's variant of it, and weight decay."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
import torch
from pydantic import model_validator

from glassyrun import Batches, Context, Draw, Dynamics, Evaluation, Flat, Refusal, State, System, described
from glassyrun_dynamics.minibatch import MinibatchOptions, batch_provenance


class SGDOptions(MinibatchOptions):
    """Stochastic gradient descent: v ← βv + g_B, x ← x − αv. Time is counted in steps.

    With `nesterov` x ← x − α(g_B + βv), and `weight_decay` λ adds λx to the gradient, both as in torch.optim.SGD; weight
    decay is no part of the energy.
    """

    kind: Literal["sgd"] = "sgd"
    learning_rate: Annotated[float, described("α", gt=0)] = 0.01
    momentum: Annotated[float, described("β", ge=0, lt=1)] = 0.0
    nesterov: Annotated[bool, described("whether momentum is Nesterov's, as in torch.optim.SGD; needs β > 0")] = False
    weight_decay: Annotated[float, described("λ", ge=0)] = 0.0
    time_unit = "step"

    @property
    def time_step(self) -> float:
        return 1.0

    @model_validator(mode="after")
    def _has_momentum(self) -> SGDOptions:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov = true without momentum; give momentum a value above 0, or leave nesterov out")
        return self

    @property
    def gradient_step(self) -> float:
        # stable up to α = 2(1+β)/λ_max (heavy ball), 2(1+β)/((1+2β)λ_max) (Nesterov)
        return self.learning_rate * (1 + 2 * self.momentum * self.nesterov) / (1 + self.momentum)

    @property
    def flow_step(self) -> float:
        return self.learning_rate / (1 - self.momentum)

    def build(self, context: Context, system: System) -> SGD:
        if self.weight_decay and not isinstance(system.manifold, Flat):
            raise Refusal(
                f"dynamics.weight_decay: found {self.weight_decay} for a system on a sphere, where |x| is fixed and a pull towards 0 "
                "does nothing; leave it out"
            )
        batches = self.batches(context, system)
        return SGD(self.learning_rate, self.momentum, self.weight_decay, batches, self.nesterov)


@attrs.define(slots=False)
class SGD(Dynamics):
    """v ← βv + P(g_B + λx), x ← R(x − αv): torch.optim.SGD in flat space; with Nesterov's momentum x ← R(x − α(P(g_B + λx) + βv)).

    On a sphere g is projected on the tangent space, x is put back on the sphere, and v is carried along by projection.
    """

    learning_rate: float
    momentum: float
    weight_decay: float
    batches: Batches | None = None
    nesterov: bool = False
    step_name = "dynamics.learning_rate"
    capturable = True

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
        velocity = state.dynamics["velocity"].mul_(self.momentum).add_(slope) if self.momentum else slope
        ahead = slope.add(velocity, alpha=self.momentum) if self.nesterov else velocity
        moved = state.x.add_(ahead, alpha=-self.learning_rate)
        back = system.manifold.retract(moved)
        if back is not moved:
            state.x.copy_(back)
            if self.momentum:
                velocity.copy_(system.manifold.project(state.x, velocity))
        return evaluation
