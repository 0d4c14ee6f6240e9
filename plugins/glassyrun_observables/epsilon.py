"""How many degrees of freedom have stayed where they were."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import attrs
import torch
from torch import Tensor

from glassyrun import Context, Grid, Observable, ObservableOptions, Reference, Snapshot, System, Variable, described
from glassyrun_observables.pieces import displacements


class EpsilonOverlapOptions(ObservableOptions):
    """ε-overlap Q(t_w, t_w+t): fraction of the degrees of freedom (weights) that moved by at most ε since t_w.

    The self-overlap of a liquid (Lačević et al., J. Chem. Phys. 119, 7372 (2003)) with weights in the place of particles.
    """

    looks: ClassVar[bool] = False
    kind: Literal["epsilon_overlap"] = "epsilon_overlap"
    epsilon: Annotated[float, described("ε, the largest displacement that counts as none, in units of x", ge=0)]

    def build(self, context: Context, system: System) -> EpsilonOverlap:
        return EpsilonOverlap(self.label, self.epsilon)


@attrs.define(slots=False)
class EpsilonOverlap(Observable):
    """(1/dof) Σ_i θ(ε − |x_i(t_w+t) − x_i(t_w)|); θ(0) = 1."""

    label: str
    epsilon: float
    grid: ClassVar[Grid] = "pairs"

    def __attrs_post_init__(self) -> None:
        about = {"epsilon": repr(self.epsilon)}
        self.variables = {
            self.label: Variable(f"fraction of degrees of freedom moved by at most {self.epsilon:g}", attributes=about)
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        stayed = torch.zeros(now.state.replicas, dtype=torch.int64, device=now.state.x.device)
        for moved in displacements(now.state.x, then.state.x):
            stayed += (moved.abs_() <= self.epsilon).sum(1)
        return {self.label: stayed.double() / now.state.x.shape[1]}
