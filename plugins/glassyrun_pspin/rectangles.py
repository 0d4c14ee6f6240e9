"""What the rectangle of couplings of one pivot needs when it is drawn: multiplicities, and products of planted spins."""

from __future__ import annotations

from math import factorial

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun_pspin.layout import Layout
from glassyrun_pspin.monomials import Monomials, count


@attrs.frozen(eq=False)
class PlantedProducts:
    """σ*…σ* of the couplings of a pivot."""

    layout: Layout
    spins: Float[Tensor, " site"]
    left: Float[Tensor, " monomial"]
    right: Float[Tensor, " monomial"]

    @classmethod
    def of(cls, layout: Layout, spins: Float[Tensor, " site"]) -> PlantedProducts:
        row = spins.unsqueeze(0)
        return cls(layout, spins, layout.left.values(row)[0], layout.right.values(row.flip(1))[0])

    def of_pivot(self, pivot: int) -> Float[Tensor, "row column"]:
        shape = self.layout.shape
        sides = self.right[: shape.right(pivot)], self.left[: shape.left(pivot)]
        far, near = reversed(sides) if shape.flipped(pivot) else sides
        return torch.outer(far, near) * self.spins[pivot]


@attrs.frozen(eq=False)
class Weights:
    """1/Π m! of the couplings of a pivot, m the multiplicities of its sites.

    Left and right part share no site but the pivot, so everything but the pivot's own multiplicity factorises.
    """

    layout: Layout
    left: tuple[Int[Tensor, "monomial degree"], Float[Tensor, " monomial"]]
    right: tuple[Int[Tensor, "monomial degree"], Float[Tensor, " monomial"]]
    factorials: Float[Tensor, " number"]

    @classmethod
    def of(cls, layout: Layout) -> Weights:
        device = layout.starts.device
        table = [factorial(k) for k in range(layout.shape.degree + 1)]
        factorials = torch.tensor(table, dtype=torch.float64, device=device)
        return cls(layout, _weighted(layout.left, device), _weighted(layout.right, device), factorials)

    def roots(self, pivot: int, dtype: torch.dtype) -> Float[Tensor, "#row #column"]:
        """√(1/Π m!), what standard deviations are multiplied with."""
        shape = self.layout.shape
        if not shape.repeats:
            return torch.ones(1, 1, dtype=dtype, device=self.factorials.device)
        left, at_left = self._without(self.left, shape.left(pivot), pivot)
        right, at_right = self._without(self.right, shape.right(pivot), shape.n - 1 - pivot)
        roots = torch.outer(right.sqrt().to(dtype), left.sqrt().to(dtype))
        # Monomials with the pivot in them are the last ones: beyond those on the sites before it.
        new_left = count(pivot, shape.left_degree, True) if shape.left_degree else len(left)
        new_right = count(shape.n - 1 - pivot, shape.right_degree, True) if shape.right_degree else len(right)
        for rows, columns in ((slice(new_right, None), slice(None)), (slice(new_right), slice(new_left, None))):
            pivots = 1 + at_right[rows].unsqueeze(1) + at_left[columns]
            roots[rows, columns] = (torch.outer(right[rows], left[columns]) / self.factorials[pivots]).sqrt().to(dtype)
        return roots.t() if shape.flipped(pivot) else roots

    def _without(self, side: tuple[Tensor, Tensor], number: int, pivot: int) -> tuple[Tensor, Tensor]:
        """1/Π m! of a side without the pivot's site, and how often that occurs."""
        members, weight = side
        occurs = (members[:number] == pivot).sum(1)
        return weight[:number] * self.factorials[occurs], occurs


def _weighted(monomials: Monomials, device: torch.device) -> tuple[Tensor, Tensor]:
    """The sites of all monomials and 1/Π m! of each."""
    ranks = torch.arange(count(monomials.sites, monomials.degree, monomials.repeats), device=device)
    members = monomials.members(ranks)
    weight = torch.ones(len(ranks), dtype=torch.float64, device=device)
    run = torch.ones_like(weight)
    for k in range(1, monomials.degree):
        # m! is the product of the positions within each run of equal sites; the sites are sorted.
        run = torch.where(members[:, k] == members[:, k - 1], run + 1, 1.0)
        weight = weight / run
    return members, weight
