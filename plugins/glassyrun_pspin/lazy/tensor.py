"""A symmetric Gaussian tensor in a frame that grows: its entries between the directions that have been revealed."""

from __future__ import annotations

import itertools
import math

import attrs
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from glassyrun import Stream, thread_count, together

STEP = 1 / 4096
"""Spacing of the normal numbers that are kept, in standard deviations; their variance is right to 5·10⁻⁹."""
PAGE = 1 << 22
"""Numbers in one piece of memory."""
SINGLE = 384
"""Directions from which on products over pivots are taken in single precision."""
BLOCK = 128
"""Configurations in one of them."""
LEAST_WORK = 1 << 18
"""Numbers times configurations per thread below which another one isn't worth waking."""


def entries(directions: int, degree: int) -> int:
    """Monomials of a degree in so many variables: C(n + p − 1, p)."""
    return math.comb(directions + degree - 1, degree) if directions else 0


@attrs.define(eq=False)
class Page:
    """Blocks `first` … `last` − 1 in one array, which has room to grow."""

    first: int
    last: int
    numbers: NDArray[np.int16]


@attrs.define(eq=False)
class RandomTensor:
    """Entries of the symmetric Gaussian tensor G of one degree p between revealed directions.

    G is invariant under rotations: ⟨G, u^⊗p⟩ has the covariance (u·v)^p, so in any orthonormal frame an entry with
    multiplicities m of its indices has the variance Π m!/p!, and the coefficient of its monomial in ⟨G, y^⊗p⟩ has p!/Π m!. What is kept
    is a unit normal number for each monomial, in 16 bits. It is a function of stream, direction and monomial alone, so nothing of it needs to be
    saved: a run that goes on draws it again.
    """

    degree: int
    stream: Stream
    directions: int = 0
    pages: list[Page] = attrs.field(factory=list)

    def reveal(self, pivots: Float[Tensor, "pivot direction"]) -> Float[Tensor, " pivot"]:
        """Draws the entries of one more direction, as if nothing were known about them.

        Gives the derivative of ⟨G, y^⊗p⟩ along the new direction at each of the given configurations, which lie in the old ones.
        """
        return self._along(self._draw(), pivots)

    def catch_up(self, directions: int) -> None:
        """Draws again what had been drawn for so many directions."""
        while self.directions < directions:
            self._draw()

    def _draw(self) -> NDArray[np.int16]:
        a = self.directions
        count = entries(a + 1, self.degree) - entries(a, self.degree)
        normals = self.stream.numpy(a).standard_normal(count, dtype=np.float32)
        block = np.clip(np.rint(normals / STEP), -32767, 32767).astype(np.int16)
        self._keep(block)
        self.directions = a + 1
        return block

    def look(
        self, y: Float[Tensor, "configuration direction"]
    ) -> tuple[Float[Tensor, " configuration"], Float[Tensor, "configuration direction"]]:
        """⟨G, y^⊗p⟩ and its gradient."""
        from glassyrun_pspin.lazy.polynomial_loops import contract

        assert y.shape[1] == self.directions  # the loops don't look where they read
        points = y.contiguous().numpy()
        ranges = self._ranges(len(points))
        values = np.zeros((len(ranges), len(points)))
        slopes = np.zeros((len(ranges), *points.shape))

        def share(part: int) -> None:
            for page, first, last in ranges[part]:
                begin = entries(first, self.degree) - entries(page.first, self.degree)
                contract(page.numbers[begin:], self.degree, first, last, points, STEP, values[part], slopes[part], True)

        together(share, len(ranges))
        return torch.from_numpy(values.sum(0)), torch.from_numpy(slopes.sum(0))

    @property
    def nbytes(self) -> int:
        """Memory of the entries, in bytes."""
        return sum(page.numbers.nbytes for page in self.pages)

    def _along(self, block: NDArray[np.int16], pivots: Float[Tensor, "pivot direction"]) -> Float[Tensor, " pivot"]:
        """√p times the polynomial of degree p − 1 whose coefficients a block begins with: those with one index in the new direction."""
        from glassyrun_pspin.lazy.polynomial_loops import contract

        variables, degree = pivots.shape[1], self.degree - 1
        if not len(pivots) or not variables:
            return torch.zeros(len(pivots), dtype=torch.float64)
        own = block[: entries(variables, degree)]
        if degree == 1:
            return STEP * math.sqrt(2) * (pivots @ torch.from_numpy(own).double())
        if degree == 2:
            return STEP * math.sqrt(3) * _quadratic(own, pivots)
        values = np.zeros(len(pivots))
        contract(own, degree, 0, variables, pivots.contiguous().numpy(), STEP, values, np.empty((0, 0)), False)
        return math.sqrt(self.degree) * torch.from_numpy(values)

    def _keep(self, block: NDArray[np.int16]) -> None:
        a = self.directions
        last = self.pages[-1] if self.pages else None
        used = entries(a, self.degree) - entries(last.first, self.degree) if last else 0
        if last is None or used + len(block) > PAGE:
            self.pages.append(Page(a, a + 1, block))
            return
        if used + len(block) > len(last.numbers):
            larger = np.empty(min(PAGE, 2 * (used + len(block))), np.int16)
            larger[:used] = last.numbers[:used]
            last.numbers = larger
        last.numbers[used : used + len(block)] = block
        last.last = a + 1

    def _ranges(self, configurations: int) -> list[list[tuple[Page, int, int]]]:
        """The blocks in parts of about equal size, one a thread: a function of their number and that of the threads."""
        total = entries(self.directions, self.degree)
        parts = max(1, min(thread_count(), total * configurations // LEAST_WORK))
        # a block's size goes with its number to the power p − 1
        bounds = [round(self.directions * (part / parts) ** (1 / self.degree)) for part in range(parts + 1)]
        return [
            [
                (page, max(page.first, begin), min(page.last, end))
                for page in self.pages
                if max(page.first, begin) < min(page.last, end)
            ]
            for begin, end in itertools.pairwise(bounds)
        ]


def _quadratic(own: NDArray[np.int16], pivots: Float[Tensor, "pivot direction"]) -> Float[Tensor, " pivot"]:
    """Σ √(2/Π m!) g_bc y_b y_c over b ≥ c for all configurations: products of matrices, in blocks of configurations.

    A configuration has nothing along directions that came after it. In single precision where that takes long: the error is one of
    10⁻⁷ in what is random and of the order of 1/√N.
    """
    from glassyrun_pspin.lazy.triangle_loops import unpack

    count, variables = pivots.shape
    dtype = torch.float32 if variables >= SINGLE else torch.float64
    matrix = torch.empty(variables, variables, dtype=dtype)
    unpack(own, math.sqrt(0.5), matrix.numpy())
    points, sums = pivots.to(dtype), torch.empty(count, dtype=torch.float64)
    blocks = [(begin, min(count, begin + BLOCK)) for begin in range(0, count, BLOCK)]
    parts = min(thread_count(), len(blocks))

    def share(part: int) -> None:
        for begin, end in blocks[part::parts]:
            span = int(points[begin:end].abs().amax(0).numpy().nonzero()[0][-1]) + 1
            block = points[begin:end, :span]
            sums[begin:end] = torch.linalg.vecdot(block @ matrix[:span, :span], block)

    together(share, parts)
    return math.sqrt(2) * sums
