"""Holes in the curves of units, filled by the level of the unit and the curve of all."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def nanmean(values: Array, axis: int) -> Array:
    there = np.isfinite(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def filled(values: Float[np.ndarray, "unit *point"], wanted: Bool[np.ndarray, "*point"], rounds: int = 10) -> Array:
    """Holes filled by a unit's own level and the curve of all, so that a unit that ends early makes no jump in the mean.

    A fit of two factors by alternating least squares to the readings that are there: log y_ui = m_i + a_u for positive
    quantities; otherwise y_ui = m_i + a_u or m_i a_u, whichever leaves less. Points that are not wanted are holes in all.
    """
    values = np.where(wanted, values, np.nan)
    there = np.isfinite(values)
    if (there.all(axis=0) | ~wanted).all():
        return values
    shape, table, there = values.shape, values.reshape(len(values), -1), there.reshape(len(values), -1)
    nought = (np.nan_to_num(table) == 0).all(axis=0) & there.any(axis=0)  # Δ at lag 0
    work = np.where(nought, np.nan, table)
    if (work[np.isfinite(work)] > 0).all():
        guess = np.exp(_sums(np.log(work), rounds))
    else:
        guess = min(_sums(work, rounds), _products(work, rounds), key=lambda guess: np.nansum((work - guess) ** 2))
    return np.where(there, table, np.where(nought, 0.0, guess)).reshape(shape)


def _sums(table: Array, rounds: int) -> Array:
    """m_i + a_u."""
    level: Any = np.zeros(len(table))
    curve = nanmean(table, axis=0)
    for _ in range(rounds):
        level = nanmean(table - curve, axis=1)
        curve = nanmean(table - level[:, None], axis=0)
    return curve + level[:, None]


def _products(table: Array, rounds: int) -> Array:
    """m_i a_u."""
    there = np.isfinite(table)
    known = np.where(there, table, 0.0)
    curve = np.nan_to_num(nanmean(table, axis=0))
    level = np.ones(len(table))
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(rounds):
            level = (known @ curve) / (there @ curve**2)
            curve = np.nan_to_num((level @ known) / (level**2 @ there))
    return np.where(there.any(axis=0), curve, np.nan) * level[:, None]
