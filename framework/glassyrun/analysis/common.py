"""Curves of different runs on one axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from glassyrun.analysis.trajectories import Array
from glassyrun.errors import Refusal


def shared_axis(times: Sequence[Array], points: int, whole: bool = False) -> Array:
    """Logarithmic points over the times that all runs have, or, with `whole`, that any has."""
    positive = [time[time > 0] for time in times]
    first, last = [time.min() for time in positive], [time.max() for time in positive]
    low, high = (min(first), max(last)) if whole else (max(first), min(last))
    if low >= high:
        raise Refusal(f"analysis: the runs share no times: the latest begins at {low:g} and the shortest ends at {high:g}")
    return np.geomspace(low, high, points)


def on_axis(
    values: Float[np.ndarray, "*curves time"], times: Float[np.ndarray, " time"], axis: Float[np.ndarray, " point"]
) -> Float[np.ndarray, "*curves point"]:
    """Curves along the last axis read at other times, linear in the logarithm of time; NaN outside what was measured."""
    good = times > 0
    flat = values[..., good].reshape(-1, good.sum())
    out = np.full((len(flat), len(axis)), np.nan)
    for row, curve in enumerate(flat):
        there = np.isfinite(curve)
        if there.sum() > 1:
            # the ends of a shared axis must not be lost to rounding
            x, at = np.log(times[good][there]), np.log(axis)
            at = np.where(
                np.isclose(at, x[0], rtol=0, atol=1e-9), x[0], np.where(np.isclose(at, x[-1], rtol=0, atol=1e-9), x[-1], at)
            )
            out[row] = np.interp(at, x, curve[there], left=np.nan, right=np.nan)
    return out.reshape(*values.shape[:-1], len(axis))
