"""Energy of a glass, loss of a network."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import attrs
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Snapshot, State, SubsetOptions, System, Variable, described


class ReadEnergyOptions(SubsetOptions):
    """Fields `terms` and `recalibrate`: how the energy is looked at."""

    components: ClassVar[bool] = False
    recalibrate: Annotated[
        bool,
        described(
            "recompute running statistics (batch norm) for the x that is looked at, which costs a pass over the terms more; "
            "as they run along they lag behind x, most of all early in a run"
        ),
    ] = False

    def look(self, context: Context, system: System) -> Look:
        """How the energy is looked at.

        Raises:
            Refusal: if there are not so many terms.
        """
        return Look(self.subset(context, system), self.recalibrate)

    def about(self, look: Look, system: System) -> dict[str, str]:
        """What the variable's attributes say."""
        recomputed = {"running_statistics": "recomputed"} if look.recalibrate else {}
        return {**self.described_terms(look.subset, system), **recomputed}


@attrs.frozen(eq=False)
class Look:
    """Which terms the energy is taken from, and whether running statistics are recomputed before."""

    subset: Int[Tensor, " term"] | None = None
    recalibrate: bool = False

    def at(self, system: System, state: State) -> Float[Tensor, " replica"]:
        """H / energy_scale of any State, in float64."""
        seen = system.recalibrated(state) if self.recalibrate else state
        return system.energy(seen, self.subset).double() / system.energy_scale

    def now(self, now: Snapshot) -> Float[Tensor, " replica"]:
        """The same of the State now, computed once for all observables that look at the same terms."""
        return now.once(_energy_now, self.subset, self.recalibrate)


def _energy_now(now: Snapshot, subset: Int[Tensor, " term"] | None, recalibrate: bool) -> Float[Tensor, " replica"]:
    return Look(subset).at(now.system, now.recalibrated if recalibrate else now.state)


class EnergyOptions(ReadEnergyOptions):
    """Energy per degree of freedom of a glass, mean training loss of a network: H / energy_scale, against time."""

    looks: ClassVar[bool] = False
    kind: Literal["energy"] = "energy"

    def build(self, context: Context, system: System) -> Energy:
        look = self.look(context, system)
        known = {} if system.bottom is None else {"bottom": float(system.bottom)}
        return Energy(self.label, look, Variable(system.energy_name, attributes={**self.about(look, system), **known}))


@attrs.define(slots=False)
class Energy(Observable):
    """H(x(t)) / energy_scale in evaluation mode."""

    label: str
    look: Look
    variable: Variable
    grid: ClassVar[Grid] = "time"

    def __attrs_post_init__(self) -> None:
        self.variables = {self.label: self.variable}

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        return {self.label: self.look.now(now)}
