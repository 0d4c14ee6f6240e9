"""How large x is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Snapshot, System, Variable
from glassyrun_observables.pieces import BlockOptions, read_parts, size, squared_norm, with_blocks


class WeightNormOptions(BlockOptions):
    """Squared norm of x per degree of freedom, |x|²/dof, against time: the size of a network's weights; 1 on the sphere."""

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = False
    kind: Literal["weight_norm"] = "weight_norm"

    def build(self, context: Context, system: System) -> WeightNorm:
        return WeightNorm(self.label, self.blocks_of(system), system)


class WeightNorm(Observable):
    """(1/dof) Σ x², summed in float64; of each block per degree of freedom of that block."""

    grid: ClassVar[Grid] = "time"

    def __init__(self, label: str, blocks: Mapping[str, slice], system: System) -> None:
        self.label, self.blocks = label, blocks
        self.variables = with_blocks({label: Variable("squared norm per degree of freedom")}, blocks, system)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        x = now.state.x
        return read_parts(lambda where: {self.label: squared_norm(x, where) / size(x, where)}, self.blocks)
