"""Energy of a glass, loss of a network."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Snapshot, SubsetOptions, System, Variable


class EnergyOptions(SubsetOptions):
    """Energy per degree of freedom of a glass, mean training loss of a network: H / energy_scale, against time."""

    kind: Literal["energy"] = "energy"

    def build(self, context: Context, system: System) -> Energy:
        subset = self.subset(context, system)
        return Energy(self.label, subset, Variable(system.energy_name, attributes=self.described_terms(subset, system)))


@attrs.define(slots=False)
class Energy(Observable):
    """H(x(t)) / energy_scale in evaluation mode."""

    label: str
    subset: Int[Tensor, " term"] | None
    variable: Variable
    grid: ClassVar[Grid] = "time"

    def __attrs_post_init__(self) -> None:
        self.variables = {self.label: self.variable}

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        return {self.label: now.once(scaled_energy, self.subset)}


def scaled_energy(now: Snapshot, subset: Int[Tensor, " term"] | None) -> Float[Tensor, " replica"]:
    """The energy as it is reported."""
    return now.system.energy(now.state, subset).double() / now.system.energy_scale
