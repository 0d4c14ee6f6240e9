"""Gradient descent with Nesterov's momentum."""

from typing import Annotated, Literal

import torch

from glassyrun import Draw, Dynamics, DynamicsOptions, Flat, Refusal, State, described


class NesterovOptions(DynamicsOptions):
    """Nesterov's gradient descent: v ← βv − α∇H(x + βv), x ← x + v (Sutskever et al. 2013). Time is counted in steps."""

    kind: Literal["nesterov"] = "nesterov"
    learning_rate: Annotated[float, described("α", gt=0)] = 0.1
    momentum: Annotated[float, described("β", ge=0, lt=1)] = 0.9
    time_unit = "step"

    @property
    def time_step(self):
        return 1.0

    def build(self, context, system):
        if not isinstance(system.manifold, Flat):
            raise Refusal("dynamics.kind: nesterov takes systems in flat space, but this one lives on a sphere; use sgd")
        return Nesterov(self.learning_rate, self.momentum)


class Nesterov(Dynamics):
    step_name = "dynamics.learning_rate"

    def __init__(self, learning_rate, momentum):
        self.learning_rate, self.momentum = learning_rate, momentum
        self.provenance = {"look_ahead": "the gradient is taken at x + βv"}

    def start(self, system, state):
        state.dynamics["velocity"] = torch.zeros_like(state.x)

    def draw(self, step, like):
        return Draw()

    def update(self, system, state, draw):
        velocity = state.dynamics["velocity"]
        ahead = State(state.x + self.momentum * velocity, state.step, state.system)
        evaluation = system.gradient(ahead)
        state.system = evaluation.memory
        velocity.mul_(self.momentum).sub_(evaluation.gradient, alpha=self.learning_rate)
        state.x.add_(velocity)
        return evaluation
