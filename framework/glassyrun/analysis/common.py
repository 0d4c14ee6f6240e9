"""Curves of different runs on one axis."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from glassyrun.analysis.trajectories import Array, Estimate
from glassyrun.errors import Refusal


@attrs.frozen
class Reading:
    """Curves read between their points, and what they may be wrong by for want of points: how far a monotone cubic bends away from
    the straight line there."""

    values: Float[np.ndarray, "*point"]
    doubt: Float[np.ndarray, "*point"]


def shared_axis(times: Sequence[Array], points: int, whole: bool = False) -> Array:
    """Logarithmic points over the times that all runs have, or, with `whole`, that any has."""
    positive = [time[time > 0] for time in times]
    if not all(map(len, positive)):
        raise Refusal(
            "analysis: one of the runs has no time after 0 on a grid that they share; there is nothing to compare on it"
        )
    first, last = [time.min() for time in positive], [time.max() for time in positive]
    low, high = (min(first), max(last)) if whole else (max(first), min(last))
    if low >= high:
        raise Refusal(f"analysis: the runs share no times: the latest begins at {low:g} and the shortest ends at {high:g}")
    return np.geomspace(low, high, points)


def on_axis(
    values: Float[np.ndarray, "*curves time"],
    times: Float[np.ndarray, " time"],
    axis: Float[np.ndarray, " point"],
    gaps: bool = False,
) -> Reading:
    """Curves along the last axis read at other times, by the monotone cubic of Fritsch and Carlson (SIAM J. Numer. Anal. 17, 238
    (1980)) in the logarithm of time; NaN outside what was measured, and with `gaps` between two times of which one was not.
    """
    good = times > 0
    flat = values[..., good].reshape(-1, good.sum())
    out = Reading(*np.full((2, len(flat), len(axis)), np.nan))
    for row, curve in enumerate(flat):
        there = np.isfinite(curve)
        if there.sum() > 1:
            x = np.log(times[good])
            out.values[row], out.doubt[row] = _between(x[there], curve[there], np.log(axis))
            if gaps:
                lost = np.isnan(np.interp(_held(np.log(axis), x[there]), x, curve))
                out.values[row, lost], out.doubt[row, lost] = np.nan, np.nan
    shape = (*values.shape[:-1], len(axis))
    return Reading(out.values.reshape(shape), out.doubt.reshape(shape))


def _between(x: Array, y: Array, at: Array) -> tuple[Array, Array]:
    at = _held(at, x)
    inside = (at >= x[0]) & (at <= x[-1])
    cubic = np.where(inside, PchipInterpolator(x, y)(at), np.nan)
    return cubic, np.abs(cubic - np.interp(at, x, y))


def _held(at: Array, x: Array) -> Array:
    """The ends of a shared axis must not be lost to rounding."""
    for end in (x[0], x[-1]):
        at = np.where(np.isclose(at, end, rtol=0, atol=1e-9), end, at)
    return at


def doubted(found: Estimate, doubt: Float[np.ndarray, "*point"], log: bool) -> Estimate:
    """An estimate whose value, or with `log` its logarithm, may be off by as much as `doubt`, independently of the trajectories."""
    value = found.value
    error = np.hypot(found.error, (value if log else 1.0) * doubt / 2)
    if log:  # as factors of the value, which so lies within its interval to the last bit
        low = value * np.exp(-np.hypot(np.log(value / found.low), doubt))
        high = value * np.exp(np.hypot(np.log(found.high / value), doubt))
    else:
        low, high = value - np.hypot(value - found.low, doubt), value + np.hypot(found.high - value, doubt)
    return attrs.evolve(found, error=error, low=low, high=high)
