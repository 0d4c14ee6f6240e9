"""A diluted model: M couplings of one degree on p-tuples of different sites, drawn independently."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Stream
from glassyrun_pspin import kernel
from glassyrun_pspin.couplings import Couplings, Law

CHUNK = 2**22
"""Products worked out at a time where no compiled kernel serves."""


@attrs.define(eq=False, slots=False)
class DilutedCouplings(Couplings):
    """J of variance a² N/(2M) on M tuples i1 < … < ip; the same tuple may come twice."""

    sites: Int[Tensor, "term degree"]
    values: Float[Tensor, " term"]

    def __attrs_post_init__(self) -> None:
        self.terms, self.degree = self.sites.shape

    @staticmethod
    def bytes(terms: int, degree: int, dtype: torch.dtype) -> int:
        """Memory of sites and values."""
        return terms * (4 * degree + dtype.itemsize)

    @classmethod
    def draw(
        cls,
        n: int,
        degree: int,
        terms: int,
        scale: float,
        law: Law,
        stream: Stream,
        context: Context,
        planted: Float[Tensor, " site"] | None,
    ) -> DilutedCouplings:
        """Draws tuples, then their couplings."""
        device = context.device
        sites = torch.from_numpy(_tuples(n, degree, terms, stream.child("sites").numpy())).to(device)
        product = None
        if planted is not None:
            product = torch.ones(terms, dtype=context.dtype, device=device)
            for k in range(degree):
                product *= planted.index_select(0, sites[:, k])
        normal = stream.child("values").normal((terms,), dtype=context.dtype, device=device, everywhere=True)
        deviation = torch.full((1,), abs(scale) * (n / (2 * terms)) ** 0.5, dtype=context.dtype, device=device)
        return cls(sites, law.draw(normal, deviation.expand(terms), product))

    def contract(self, x: Float[Tensor, "replica site"]) -> Float[Tensor, " replica"]:
        # Homogeneous of degree p (Euler), so the slope gives the sum.
        return ((x.double() * self.slope(x).double()).sum(1) / self.degree).to(x.dtype)

    def slope(self, x: Float[Tensor, "replica site"]) -> Float[Tensor, "replica site"]:
        if kernel.serves(x):
            return kernel.tuples(self.sites, self.values, x)
        columns = x.t().contiguous()
        total = torch.zeros_like(columns)
        step = max(1, CHUNK // x.shape[0])
        for begin in range(0, self.terms, step):
            sites = self.sites[begin : begin + step]
            spins = [columns.index_select(0, sites[:, k]) for k in range(self.degree)]
            for k in range(self.degree):
                product = self.values[begin : begin + step].unsqueeze(1)
                for other in (*spins[:k], *spins[k + 1 :]):
                    product = product * other
                total.index_add_(0, sites[:, k], product.expand_as(spins[k]))
        return total.t()

    def pick(self, terms: Int[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Int[Tensor, "*shape degree"]]:
        return self.values[terms], self.sites[terms].long()


def _tuples(n: int, degree: int, terms: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform sets of different sites, ascending: tuples with a repeated site are drawn again."""
    sites = np.sort(generator.integers(n, size=(terms, degree), dtype=np.int32), axis=1)
    bad = np.arange(terms)
    while True:
        bad = bad[(sites[bad, 1:] == sites[bad, :-1]).any(1)]
        if not len(bad):
            return sites
        sites[bad] = np.sort(generator.integers(n, size=(len(bad), degree), dtype=np.int32), axis=1)
