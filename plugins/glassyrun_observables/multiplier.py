"""The force along x that keeps it on the sphere."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from glassyrun import Context, Flat, Grid, Observable, Reference, Refusal, Snapshot, SubsetOptions, System, Variable
from glassyrun_observables.pieces import pieces, squared_norm


class MultiplierOptions(SubsetOptions):
    """Lagrange multiplier of the spherical constraint, μ = T(1 − 1/N) − x·∇H/N, against time; costs a pass over the terms.

    ẋ = −∇H − μx + noise. T is that of the thermal noise of the step which begins now, and 0 where there is none: mini-batches have no
    part in it. For pure p, μ = T(1 − 1/N) − pE by Euler's theorem.
    """

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = True

    kind: Literal["mu"] = "mu"

    def build(self, context: Context, system: System) -> Multiplier:
        if isinstance(system.manifold, Flat):
            raise Refusal(
                f"observables.{self.label}: found a system in flat space, where no constraint has a multiplier; leave this observable out"
            )
        subset = self.subset(context, system)
        about = self.described_terms(subset, system)
        return Multiplier(self.label, subset, {self.label: Variable("multiplier of the spherical constraint", attributes=about)})


class Multiplier(Observable):
    """μ, [replica], in float64."""

    grid: ClassVar[Grid] = "time"

    def __init__(self, label: str, subset: Tensor | None, variables: dict[str, Variable]) -> None:
        self.label, self.subset, self.variables = label, subset, variables

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        x = now.state.x
        batch = None if self.subset is None else self.subset.expand(len(x), -1)
        slope = now.system.gradient(now.state, batch).gradient
        along = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for piece in pieces(x):
            along += (x[:, piece].double() * slope[:, piece]).sum(1)
        squared = squared_norm(x)
        return {self.label: temperature(now) * (1 - 1 / now.system.degrees_of_freedom) - along / squared}


def temperature(now: Snapshot) -> Tensor | float:
    """T of the thermal noise of the step that begins now: all of it together has the variance 2T dt a component."""
    draw = now.dynamics.draw(now.state.step, now.state)
    if not draw.noise or draw.variance is None:
        return 0.0
    return len(draw.noise) * draw.variance / (2 * now.dynamics.flow_step)
