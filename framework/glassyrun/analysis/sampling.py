"""How a run drew its mini-batches, and how far their noise alone would move it."""

from __future__ import annotations

import tomllib
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np
import xarray as xr
from jaxtyping import Float

Law: TypeAlias = Literal["with_replacement", "without_replacement"]


@attrs.frozen
class Sampling:
    """Mini-batches of a run of one stage."""

    law: Law
    batch: int
    epoch: int
    """Batches in an epoch."""

    def white_steps(self, t_w: Float[np.ndarray, " t_w"], t: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t_w t"]:
        """Independent steps that diffuse as far as t steps after t_w, [t_w, t], on a constant gradient and without momentum.

        With replacement t. Without, m of the K batches of one epoch make m (K − m)/(K − 1), and a whole epoch none, because the
        variance of a sum of m draws from K without replacement has that factor (Cochran, Sampling Techniques, § 2.6).
        """
        start, end = np.add.outer(t_w, np.zeros_like(t)), np.add.outer(t_w, t)
        if self.law == "with_replacement":
            return end - start
        size = float(self.epoch)
        if size < 2:
            return np.zeros_like(end)
        first = np.minimum(end, (np.floor(start / size) + 1) * size) - start
        rest = np.where(np.floor(start / size) == np.floor(end / size), 0.0, end % size)
        return (first * (size - first) + rest * (size - rest)) / (size - 1)


def sampling_of(ds: xr.Dataset) -> Sampling | None:
    """What the spec says, which the result carries; None where there is none, no mini-batch, or several stages."""
    moves: Any = tomllib.loads(ds.attrs.get("spec", "")).get("dynamics")
    if not isinstance(moves, dict) or moves.get("batch_size") is None or "terms" not in ds.attrs:
        return None
    terms, size = int(ds.attrs["terms"]), moves["batch_size"]
    batch = size if isinstance(size, int) else max(round(size * terms), 1)
    return Sampling(moves.get("sampling", "without_replacement"), batch, terms // batch)
