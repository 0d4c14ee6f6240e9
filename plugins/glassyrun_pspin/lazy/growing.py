"""Matrices that grow row by row and column by column without being copied each time."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

LEAST = 32


@attrs.define(eq=False)
class Growing:
    """A matrix with room to grow; what was not written is zero. Room doubles, so that growing costs what the entries do."""

    rows: int = 0
    columns: int = 0
    room: Float[Tensor, "row column"] = attrs.field(factory=lambda: torch.zeros(LEAST, LEAST, dtype=torch.float64))

    @classmethod
    def of(cls, matrix: Float[Tensor, "row column"]) -> Growing:
        """A copy of a matrix that can grow."""
        rows, columns = matrix.shape
        grown = cls(0, 0, torch.zeros(max(LEAST, rows), max(LEAST, columns), dtype=torch.float64))
        grown.extend(rows, columns)
        grown.filled.copy_(matrix)
        return grown

    @classmethod
    def wide(cls, columns: int) -> Growing:
        """One whose rows have so many entries from the beginning, and never more."""
        return cls(0, columns, torch.zeros(LEAST // 4, columns, dtype=torch.float64))

    @property
    def filled(self) -> Float[Tensor, "row column"]:
        """The matrix, as a view."""
        return self.room[: self.rows, : self.columns]

    def extend(self, rows: int, columns: int) -> None:
        """Makes it at least so large."""
        self.rows, self.columns = max(self.rows, rows), max(self.columns, columns)
        down, across = self.room.shape
        if self.rows > down or self.columns > across:
            shape = (
                max(down, 2 * self.rows if self.rows > down else 0),
                max(across, 2 * self.columns if self.columns > across else 0),
            )
            larger = torch.zeros(shape, dtype=self.room.dtype)
            larger[:down, :across] = self.room
            self.room = larger

    def append(self, row: Float[Tensor, " column"]) -> None:
        """One more row, with zeros behind its end."""
        self.extend(self.rows + 1, len(row))
        self.room[self.rows - 1, : len(row)] = row
