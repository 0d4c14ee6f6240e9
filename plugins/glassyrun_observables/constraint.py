"""How well the constraint is kept."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
from torch import Tensor

from glassyrun import Context, Flat, Grid, Observable, ObservableOptions, Reference, Refusal, Snapshot, System, Variable


class ConstraintOptions(ObservableOptions):
    """Constraint drift: Σσ²/N − 1 on the sphere, against time; rounding only, if all is well."""

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = False
    kind: Literal["constraint"] = "constraint"

    def build(self, context: Context, system: System) -> ConstraintDrift:
        if isinstance(system.manifold, Flat):
            raise Refusal(
                f"observables.{self.label}: found a system in flat space, which has no constraint that could drift; "
                "leave this observable out"
            )
        return ConstraintDrift(self.label)


@attrs.define(slots=False)
class ConstraintDrift(Observable):
    """Distance from the manifold, relative to its size."""

    label: str
    grid: ClassVar[Grid] = "time"

    def __attrs_post_init__(self) -> None:
        self.variables = {self.label: Variable("relative drift of the spherical constraint")}

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        return {self.label: now.system.manifold.drift(now.state.x)}
