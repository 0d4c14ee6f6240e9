"""Where each coupling of a full p-spin lies in memory.

A sorted multi-index i1 ≤ … ≤ ip is cut into a left part, a pivot j and a right part, of degrees a, 1 and b = p − 1 − a. For a
fixed pivot the couplings are a full rectangle, left monomials on {0 … j} times right monomials on {j … N−1}, and both are
prefixes in colexicographic order (sites reversed for the right ones). A few pivots together make a tile

    T[pivot, row, column]

whose product with the column monomials and whose transposed product with the others are two matrix products on the same
memory, while it is in cache. So every coupling is stored once and read once, for every p, and nothing is scattered. Columns
are the longer side (left monomials, or right ones where the rectangle is flipped): long rows are faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import torch
from jaxtyping import Int
from torch import Tensor

from glassyrun_pspin.monomials import Monomials, count

ALIGNMENT = 64
"""Bytes; tiles start on cache lines."""


VECTOR = 16
"""Columns that a loop takes together: a vector register of float32, two of float64."""


def vectors(columns: int) -> int:
    """Columns filled up to whole vectors."""
    return math.ceil(columns / VECTOR) * VECTOR


@attrs.frozen
class Tiling:
    """How large a tile may be: large enough to be worth a call, small enough for the cache, and not much padding."""

    most_bytes: int = 2 * 2**20
    most_padding: int = 2**13
    """Padded entries of one tile."""
    padding_share: float = 0.02
    """Padded entries of one tile, as a part of it, beyond which it must be small instead."""

    @classmethod
    def of(cls, device: torch.device) -> Tiling:
        # A GPU wants few launches: tiles as wide as the padding allows, of which 16 MB are read faster than the next tile is launched.
        return cls() if device.type == "cpu" else cls(2**28, 2**22, 0.12)


@attrs.frozen
class Tile:
    """Pivots `first` ≤ j < `stop` with room for `rows` times `columns` couplings each, at `offset` of the store."""

    offset: int
    first: int
    stop: int
    rows: int
    columns: int
    flipped: bool
    """Whether the columns are right monomials."""

    @property
    def width(self) -> int:
        return self.stop - self.first

    @property
    def stride(self) -> int:
        """From one row to the next: whole vectors, so that loops over columns have no rest."""
        return vectors(self.columns)

    @property
    def size(self) -> int:
        return self.width * self.rows * self.stride


@attrs.frozen
class Shape:
    """One degree of the model: N sites, p indices, with repeated indices or without."""

    n: int
    degree: int
    repeats: bool

    @property
    def left_degree(self) -> int:
        return self.degree // 2

    @property
    def right_degree(self) -> int:
        return (self.degree - 1) // 2

    @property
    def terms(self) -> int:
        return count(self.n, self.degree, self.repeats)

    def left(self, pivot: int) -> int:
        """Left monomials that go with a pivot."""
        return count(pivot + self.repeats, self.left_degree, self.repeats)

    def right(self, pivot: int) -> int:
        """Right monomials that go with a pivot."""
        return count(self.n - 1 - pivot + self.repeats, self.right_degree, self.repeats)

    def flipped(self, pivot: int) -> bool:
        """Whether the rectangle of a pivot is stored with its right monomials as columns."""
        return self.right(pivot) > self.left(pivot)

    def rectangle(self, pivot: int) -> tuple[int, int]:
        """Rows and columns of a pivot."""
        sides = self.right(pivot), self.left(pivot)
        return (min(sides), max(sides))

    def table_bytes(self) -> int:
        """Index tables: monomials, pivots, first term of each pivot."""
        right = Monomials.table_bytes(self.n, self.right_degree, self.repeats)
        left = Monomials.table_bytes(self.n, self.left_degree, self.repeats)
        return left + right + 8 * 5 * self.n + 8 * self.n

    def tiles(self, itemsize: int, tiling: Tiling) -> Iterator[Tile]:
        """Cuts the pivots into tiles, greedily."""
        offset = first = 0
        align = ALIGNMENT // itemsize
        while first < self.n:
            flipped, stop, filled, sides = self.flipped(first), first, 0, (0, 0)
            while stop < self.n and self.flipped(stop) == flipped:
                rows, columns = self.rectangle(stop)
                wider = max(sides[0], rows), max(sides[1], columns)
                size = (stop + 1 - first) * wider[0] * vectors(wider[1])
                padding = size - filled - rows * columns
                too_much = padding > tiling.padding_share * size and padding > tiling.most_padding
                if stop > first and (size * itemsize > tiling.most_bytes or too_much):
                    break
                sides, filled, stop = wider, filled + rows * columns, stop + 1
            tile = Tile(offset, first, stop, *sides, flipped)
            if tile.size:
                yield tile
                offset = math.ceil((offset + tile.size) / align) * align
            first = stop


@attrs.frozen(eq=False)
class Layout:
    """A Shape with its tiles and index tables on a device."""

    shape: Shape
    tiles: tuple[Tile, ...]
    left: Monomials
    right: Monomials
    pivots: Int[Tensor, "pivot 5"]
    """For each pivot: where its rectangle starts, its row stride, its columns, its rows, whether it is flipped."""
    starts: Int[Tensor, " pivot"]
    """The first term of each pivot."""
    size: int
    """Entries of the store, padding included."""

    @classmethod
    def build(cls, shape: Shape, itemsize: int, device: torch.device) -> Layout:
        tiles = tuple(shape.tiles(itemsize, Tiling.of(device)))
        table = [[0, 1, 0, 0, 0] for _ in range(shape.n)]
        for tile in tiles:
            for pivot in range(tile.first, tile.stop):
                start = tile.offset + (pivot - tile.first) * tile.rows * tile.stride
                rows, columns = shape.rectangle(pivot)
                table[pivot] = [start, tile.stride, columns, rows, int(tile.flipped)]
        pivots = torch.tensor(table, dtype=torch.int64)
        held = pivots[:, 2] * pivots[:, 3]
        left = Monomials.build(shape.n, shape.left_degree, shape.repeats, device)
        right = Monomials.build(shape.n, shape.right_degree, shape.repeats, device)
        return cls(shape, tiles, left, right, pivots.to(device), (held.cumsum(0) - held).to(device), store_size(tiles))

    def locate(self, terms: Int[Tensor, "*shape"]) -> tuple[Int[Tensor, "*shape"], Int[Tensor, "*shape degree"]]:
        """Where in the store the given terms lie, and their sites in ascending order."""
        pivot = torch.searchsorted(self.starts, terms, right=True) - 1
        start, stride, columns, _, flipped = self.pivots[pivot].unbind(-1)
        rest = terms - self.starts[pivot]
        row = torch.div(rest, columns, rounding_mode="floor")
        column = rest - row * columns
        left = self.left.members(torch.where(flipped == 1, row, column))
        right = (self.shape.n - 1 - self.right.members(torch.where(flipped == 1, column, row))).flip(-1)
        return start + row * stride + column, torch.cat([left, pivot.unsqueeze(-1), right], -1)


def store_size(tiles: tuple[Tile, ...]) -> int:
    """Entries that the tiles take."""
    return tiles[-1].offset + tiles[-1].size if tiles else 0
