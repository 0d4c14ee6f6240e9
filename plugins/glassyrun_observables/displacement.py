"""How far x has moved since t_w: mean-square displacement, fourth moment, non-Gaussian parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs
from torch import Tensor

from glassyrun import Context, Grid, Observable, ObservableOptions, Reference, Snapshot, System, Variable
from glassyrun_observables.pair_sums import pair_sums
from glassyrun_observables.pieces import WHOLE, BlockOptions, read_parts, size, with_blocks


class MsdOptions(BlockOptions):
    """Mean-square displacement Δ(t_w, t_w+t) = (1/dof) Σ_i (x_i(t_w+t) − x_i(t_w))² (Baity-Jesi et al. 2018, eq. 4)."""

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = False
    kind: Literal["msd"] = "msd"

    def build(self, context: Context, system: System) -> MeanSquareDisplacement:
        return MeanSquareDisplacement(self.label, self.blocks_of(system), system)


class MeanSquareDisplacement(Observable):
    """Δ(t_w, t_w+t), by difference and in float64; of each block per degree of freedom of that block."""

    grid: ClassVar[Grid] = "pairs"

    def __init__(self, label: str, blocks: Mapping[str, slice], system: System) -> None:
        self.label, self.blocks = label, blocks
        whole = {label: Variable("mean-square displacement per degree of freedom")}
        self.variables = with_blocks(whole, blocks, system)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        x, past = now.state.x, then.state.x
        return read_parts(lambda where: {self.label: now.once(pair_sums, past, where).second / size(x, where)}, self.blocks)


class DisplacementOptions(ObservableOptions):
    """Fourth moment of the displacement and non-Gaussian parameter α₂ = ⟨δ⁴⟩ / (3⟨δ²⟩²) − 1 (Rahman 1964), over t_w and t."""

    looks: ClassVar[bool] = False
    kind: Literal["displacement"] = "displacement"

    def build(self, context: Context, system: System) -> DisplacementMoments:
        return DisplacementMoments(self.label)


@attrs.define(slots=False)
class DisplacementMoments(Observable):
    """⟨δ⁴⟩ and α₂ over the degrees of freedom of a replica; α₂ is NaN where nothing has moved."""

    label: str
    grid: ClassVar[Grid] = "pairs"

    def __attrs_post_init__(self) -> None:
        self.variables = {
            f"{self.label}_fourth": Variable("fourth moment of the displacement per degree of freedom"),
            f"{self.label}_alpha2": Variable("non-Gaussian parameter of the displacement"),
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        sums, dof = now.once(pair_sums, then.state.x, WHOLE), now.state.x.shape[1]
        second, fourth = sums.second / dof, sums.fourth / dof
        return {f"{self.label}_fourth": fourth, f"{self.label}_alpha2": fourth / (3 * second.square()) - 1}
