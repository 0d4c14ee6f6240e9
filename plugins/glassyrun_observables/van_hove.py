"""Histogram of displacements: the self part of the van Hove function."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glassyrun import Context, Grid, Observable, ObservableOptions, Reference, Refusal, Snapshot, System, Variable, described
from glassyrun_observables.pieces import displacements


class VanHoveOptions(ObservableOptions):
    """Histogram of the displacements x_i(t_w+t) − x_i(t_w) over the degrees of freedom (self part of the van Hove function).

    G_s(δ; t_w, t) = (1/dof) Σ_i ⟨1(x_i(t_w+t) − x_i(t_w) in the bin of δ)⟩ (van Hove 1954; Kob and Andersen 1995). Each bin
    holds the fraction that fell into it; with the fractions NAME_below and NAME_above the bins they sum to 1. Divide by the
    width of a bin for a density.
    """

    looks: ClassVar[bool] = False
    kind: Literal["van_hove"] = "van_hove"
    bins: Annotated[int, described("number of bins", ge=1, le=10_000)] = 60
    largest: Annotated[float, described("where the bins end, in units of x", gt=0)]
    smallest: Annotated[float | None, described("where logarithmic bins begin, in units of x", gt=0)] = None
    scale: Annotated[
        Literal["linear", "logarithmic"],
        described(
            "linear: bins of equal width in δ from −largest to largest; logarithmic: bins of equal ratio in |δ| from smallest to largest"
        ),
    ] = "linear"

    def edges(self) -> NDArray[np.float64]:
        """The edges of the bins, one more than there are bins.

        Raises:
            Refusal: if they can't increase.
        """
        place = f"observables.{self.label}"
        if self.scale == "linear" and self.smallest is not None:
            raise Refusal(
                f"{place}.smallest: found {self.smallest:g} for linear bins, which begin at −largest; leave it out, or set "
                'scale = "logarithmic"'
            )
        if self.scale == "logarithmic" and self.smallest is None:
            raise Refusal(
                f"{place}.smallest: not given, but logarithmic bins need a place to begin; give one below largest = {self.largest:g}"
            )
        if self.smallest is not None and self.smallest >= self.largest:
            raise Refusal(f"{place}.smallest: found {self.smallest:g}, expected less than largest = {self.largest:g}; lower it")
        with np.errstate(over="ignore", invalid="ignore"):
            if self.smallest is None:
                edges = np.linspace(-self.largest, self.largest, self.bins + 1)
            else:
                edges = np.geomspace(self.smallest, self.largest, self.bins + 1)
        if not (edges[1:] > edges[:-1]).all():
            raise Refusal(
                f"{place}.bins: {self.bins} bins up to largest = {self.largest:g} have no edges that increase in float64; take fewer, "
                "or other ends"
            )
        return edges

    def build(self, context: Context, system: System) -> VanHove:
        edges = self.edges()
        signed = self.scale == "linear"
        return VanHove(self.label, "displacement" if self.name is None else f"{self.name}_displacement", edges, signed, context)


class VanHove(Observable):
    """Fractions of the degrees of freedom in bins [a, b) of δ, or of |δ|, over `dim`, whose coordinate is the middle of each bin.

    Counted in whole numbers, so that the order of counting can't change a bit, on a GPU either.
    """

    grid: ClassVar[Grid] = "pairs"

    def __init__(self, label: str, dim: str, edges: NDArray[np.float64], signed: bool, context: Context) -> None:
        self.label, self.signed = label, signed
        self.edges = torch.from_numpy(edges).to(context.device)
        middle = (edges[1:] + edges[:-1]) / 2 if signed else np.sqrt(edges[1:] * edges[:-1])
        what = "displacement" if signed else "absolute displacement"
        about = {
            "bins": f"{len(middle)} {'of equal width' if signed else 'of equal ratio'} from {edges[0]:.12g} to {edges[-1]:.12g}"
        }
        self.variables = {
            label: Variable(
                f"fraction of degrees of freedom in each bin of {what}", "1", ("replica", dim), {dim: middle.tolist()}, about
            ),
            f"{label}_below": Variable(f"fraction of degrees of freedom with {what} below all bins", attributes=about),
            f"{label}_above": Variable(f"fraction of degrees of freedom with {what} above all bins", attributes=about),
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        counts = torch.zeros(now.state.replicas, len(self.edges) + 1, dtype=torch.int64, device=now.state.x.device)
        for moved in displacements(now.state.x, then.state.x):
            bins = torch.bucketize(moved if self.signed else moved.abs_(), self.edges, right=True)
            counts.scatter_add_(1, bins, torch.ones_like(bins))
        shares = counts.double() / now.state.x.shape[1]
        return {self.label: shares[:, 1:-1], f"{self.label}_below": shares[:, 0], f"{self.label}_above": shares[:, -1]}
