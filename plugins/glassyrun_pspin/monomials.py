"""Products of spins, x_{i1} … x_{id} with i1 ≤ … ≤ id, in an order in which those of the first sites come first."""

from __future__ import annotations

from math import comb

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor


def count(sites: int, degree: int, repeats: bool) -> int:
    """Number of monomials of `degree` on `sites` sites, with or without repeated sites."""
    if degree == 0:
        return 1
    return comb(sites + degree - 1, degree) if repeats else comb(sites, degree)


@attrs.frozen(eq=False)
class Level:
    """One degree above the last: monomial m = (monomial `prefix[m]` of one degree less) · x[last[m]]."""

    prefix: Int[Tensor, " monomial"]
    last: Int[Tensor, " monomial"]
    place: Int[Tensor, "site lower"]
    """Rank of the product of a site and a lower monomial; one past the end where it isn't sorted."""


@attrs.frozen(eq=False)
class Monomials:
    """All monomials of one degree on `sites` sites in colexicographic order.

    In that order the monomials on {0 … j} are a prefix of those on all sites, so couplings with everything left of a pivot
    are a slice, not a gather (Knuth, TAOCP 4A, 7.2.1.3).
    """

    sites: int
    degree: int
    repeats: bool
    levels: tuple[Level, ...]

    @classmethod
    def build(cls, sites: int, degree: int, repeats: bool, device: torch.device) -> Monomials:
        """Index tables of degree 2 and above; degrees 0 and 1 need none."""
        levels = tuple(_level(sites, d, repeats, device) for d in range(2, degree + 1))
        return cls(sites, degree, repeats, levels)

    @staticmethod
    def table_bytes(sites: int, degree: int, repeats: bool) -> int:
        """Memory of the tables."""
        sizes = (2 * count(sites, d, repeats) + sites * count(sites, d - 1, repeats) for d in range(2, degree + 1))
        return 8 * sum(sizes)

    def values(self, x: Float[Tensor, "replica site"]) -> Float[Tensor, "replica monomial"]:
        """The monomials of each row of `x`."""
        return self._chain(x)[-1]

    def _chain(self, x: Float[Tensor, "replica site"]) -> list[Tensor]:
        chain = [x.new_ones(x.shape[0], 1) if self.degree == 0 else x]
        for level in self.levels:
            chain.append(chain[-1].index_select(1, level.prefix) * x.index_select(1, level.last))
        return chain

    def pull_back(
        self, x: Float[Tensor, "replica site"], slope: Float[Tensor, "replica monomial"]
    ) -> Float[Tensor, "replica site"]:
        """The derivative with respect to x of something whose derivative with respect to the monomials is `slope`.

        A gather into [site, lower monomial] and two contractions; no scatter, so the order of every sum is fixed.
        """
        if self.degree == 0:
            return torch.zeros_like(x)
        chain = self._chain(x)
        gradient = torch.zeros_like(x)
        for lower, level in zip(reversed(chain[:-1]), reversed(self.levels), strict=True):
            padded = torch.cat([slope, slope.new_zeros(slope.shape[0], 1)], 1)
            table = padded[:, level.place]
            gradient += torch.bmm(table, lower.unsqueeze(2)).squeeze(2)
            slope = torch.bmm(x.unsqueeze(1), table).squeeze(1)
        return gradient + slope

    def members(self, ranks: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape degree"]:
        """The sites of the monomials of given ranks, ascending."""
        found: list[Tensor] = []
        for level in reversed(self.levels):
            found.append(level.last[ranks])
            ranks = level.prefix[ranks]
        if self.degree:
            found.append(ranks)
        return torch.stack(found[::-1], -1) if found else ranks.new_zeros((*ranks.shape, 0))


def _level(sites: int, degree: int, repeats: bool, device: torch.device) -> Level:
    starts = [count(i, degree, repeats) for i in range(sites)]  # monomials whose last site is below i
    total = count(sites, degree, repeats)
    start = torch.tensor(starts, dtype=torch.int64)
    rank = torch.arange(total)
    last = torch.searchsorted(start, rank, right=True) - 1
    prefix = rank - start[last]
    place = torch.full((sites, count(sites, degree - 1, repeats)), total)
    place[last, prefix] = rank
    return Level(prefix.to(device), last.to(device), place.to(device))
