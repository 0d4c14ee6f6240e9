"""How far the direction of x has turned since t_w, whatever its length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Snapshot, System, Variable
from glassyrun_observables.pieces import BlockOptions, doubled, pieces, read_parts, squared_norm, with_blocks


class AngularOptions(BlockOptions):
    """Displacement of the direction of x since t_w, |x/|x| − x′/|x′||², and the angle between x and x′ = x(t_w), in radians.

    Weights in front of a normalisation layer can grow without a change of the network's function; their direction can't
    (van Laarhoven 2017, arXiv:1706.05350). By difference in float64, so that small angles are not lost; NaN where x or
    x′ is zero, as biases often are at the start.
    """

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = False
    kind: Literal["angular"] = "angular"

    def build(self, context: Context, system: System) -> AngularDisplacement:
        return AngularDisplacement(self.label, self.blocks_of(system), system)


class AngularDisplacement(Observable):
    """|u − u′|² of the unit vectors u and u′, and their angle 2 atan2(|u − u′|, |u + u′|), which is exact at 0 and at π."""

    grid: ClassVar[Grid] = "pairs"

    def __init__(self, label: str, blocks: Mapping[str, slice], system: System) -> None:
        self.label, self.blocks = label, blocks
        whole = {
            label: Variable("squared displacement of the direction"),
            f"{label}_angle": Variable("angle since the waiting time", "rad"),
        }
        self.variables = with_blocks(whole, blocks, system)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        return read_parts(lambda where: self._of(now.state.x, then.state.x, where), self.blocks)

    def _of(self, x: Tensor, past: Tensor, where: slice) -> dict[str, Tensor]:
        length, length_past = (squared_norm(vectors, where).sqrt_().unsqueeze(1) for vectors in (x, past))
        apart, along = torch.zeros(2, len(x), dtype=torch.float64, device=x.device)
        for piece in pieces(x, where):
            here, there = doubled(x, piece).div_(length), doubled(past, piece).div_(length_past)
            apart += (here - there).square_().sum(1)
            along += (here + there).square_().sum(1)
        return {self.label: apart, f"{self.label}_angle": 2 * torch.atan2(apart.sqrt(), along.sqrt())}
