"""Energy of a glass, loss of a network."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Snapshot, State, SubsetOptions, System, Variable

Subset = Int[Tensor, " term"] | None


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
    subset: Subset
    variable: Variable
    grid: ClassVar[Grid] = "time"

    def __attrs_post_init__(self) -> None:
        self.variables = {self.label: self.variable}

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        return {self.label: now.once(energy_now, self.subset)}


def energy_now(now: Snapshot, subset: Subset) -> Float[Tensor, " replica"]:
    """The energy as it is reported."""
    return reported_energy(now.system, now.state, subset)


def reported_energy(system: System, state: State, subset: Subset) -> Float[Tensor, " replica"]:
    """H / energy_scale of any State, in float64."""
    return system.energy(state, subset).double() / system.energy_scale
