"""Overlap of x with what it was at t_w."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
import torch
from torch import Tensor

from glassyrun import Context, Grid, Observable, ObservableOptions, Reference, Snapshot, System, Variable


class OverlapOptions(ObservableOptions):
    """Overlap C(t_w, t_w+t) = (1/dof) Σ_i x_i(t_w+t) x_i(t_w), and the same divided by the two norms."""

    kind: Literal["overlap"] = "overlap"

    def build(self, context: Context, system: System) -> Overlap:
        return Overlap(self.label)


@attrs.define(slots=False)
class Overlap(Observable):
    """C(t_w, t_w+t) and x·x′ / (|x||x′|), summed in float64."""

    label: str
    grid: ClassVar[Grid] = "pairs"

    def __attrs_post_init__(self) -> None:
        self.variables = {
            self.label: Variable("overlap per degree of freedom"),
            f"{self.label}_normalised": Variable("overlap divided by the norms (cosine)"),
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        x, past = now.once(in_double), then.state.x
        product = (x * past).sum(1)
        norms = now.once(norm) * torch.linalg.vector_norm(past, dim=1, dtype=torch.float64)
        return {self.label: product / x.shape[1], f"{self.label}_normalised": product / norms}


def in_double(now: Snapshot) -> Tensor:
    return now.state.x.double()


def norm(now: Snapshot) -> Tensor:
    return torch.linalg.vector_norm(now.once(in_double), dim=1)
