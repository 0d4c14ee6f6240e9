"""Whether x has condensed on a few degrees of freedom."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
from torch import Tensor

from glassyrun import Context, Grid, Observable, ObservableOptions, Reference, Snapshot, System, Variable


class ParticipationOptions(ObservableOptions):
    """Condensation: Σx⁴/dof over (Σx²/dof)², 3 for Gaussian components and of order dof when few carry all, against time."""

    looks: ClassVar[bool] = False
    kind: Literal["participation"] = "participation"

    def build(self, context: Context, system: System) -> Participation:
        return Participation(self.label)


@attrs.define(slots=False)
class Participation(Observable):
    """(1/dof) Σ x⁴ / ((1/dof) Σ x²)²; on the sphere the denominator is 1."""

    label: str
    grid: ClassVar[Grid] = "time"

    def __attrs_post_init__(self) -> None:
        self.variables = {self.label: Variable("fourth moment of the components over the squared second")}

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        squared = now.state.x.double().square()
        return {self.label: squared.square().mean(1) / squared.mean(1).square()}
