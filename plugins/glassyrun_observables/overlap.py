"""Overlap of x with what it was at t_w."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Snapshot, System, Variable
from glassyrun_observables.pair_sums import pair_sums
from glassyrun_observables.pieces import BlockOptions, read_parts, size, with_blocks


class OverlapOptions(BlockOptions):
    """Overlap C(t_w, t_w+t) = (1/dof) Σ_i x_i(t_w+t) x_i(t_w), and the same divided by the two norms."""

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = False
    kind: Literal["overlap"] = "overlap"

    def build(self, context: Context, system: System) -> Overlap:
        return Overlap(self.label, self.blocks_of(system), system)


class Overlap(Observable):
    """C(t_w, t_w+t) and x·x′ / (|x||x′|), summed in float64; of each block over its own degrees of freedom."""

    grid: ClassVar[Grid] = "pairs"

    def __init__(self, label: str, blocks: Mapping[str, slice], system: System) -> None:
        self.label, self.blocks = label, blocks
        whole = {
            label: Variable("overlap per degree of freedom"),
            f"{label}_normalised": Variable("overlap divided by the norms (cosine)"),
        }
        self.variables = with_blocks(whole, blocks, system)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        return read_parts(lambda where: self._of(now, then.state.x, where), self.blocks)

    def _of(self, now: Snapshot, past: Tensor, where: slice) -> dict[str, Tensor]:
        sums = now.once(pair_sums, past, where)
        return {
            self.label: sums.product / size(past, where),
            f"{self.label}_normalised": sums.product / (sums.norm.sqrt() * sums.norm_past.sqrt()),
        }
