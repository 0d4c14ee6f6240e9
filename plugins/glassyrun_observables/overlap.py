"""Overlap of x with what it was at t_w."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Snapshot, System, Variable
from glassyrun_observables.pieces import BlockOptions, doubled, pieces, read_parts, size, with_blocks


class OverlapOptions(BlockOptions):
    """Overlap C(t_w, t_w+t) = (1/dof) Σ_i x_i(t_w+t) x_i(t_w), and the same divided by the two norms."""

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
        return read_parts(lambda where: self._of(now.state.x, then.state.x, where), self.blocks)

    def _of(self, x: Tensor, past: Tensor, where: slice) -> dict[str, Tensor]:
        product, norm, norm_past = torch.zeros(3, len(x), dtype=torch.float64, device=x.device)
        for piece in pieces(x, where):
            here, there = doubled(x, piece), doubled(past, piece)
            product += (here * there).sum(1)
            norm += here.square_().sum(1)
            norm_past += there.square_().sum(1)
        return {
            self.label: product / size(x, where),
            f"{self.label}_normalised": product / (norm.sqrt() * norm_past.sqrt()),
        }
