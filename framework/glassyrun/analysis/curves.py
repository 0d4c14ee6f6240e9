"""Local exponents and plateaus of two-time curves."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from glassyrun.analysis.labels import labelled
from glassyrun.analysis.trajectories import CONFIDENCE, Array, Estimate, Means, Units, jackknife

EXTENT, POINTS = 10.0, 3
"""A stretch of lags shorter than this factor, or of fewer points, is no plateau."""


def slopes(these: Units, variable: str, t: Float[np.ndarray, " t"]) -> dict[str, xr.DataArray]:
    """d log Δ/d log t by central differences, [t_w, t]."""
    return slope_labels(jackknife(these, lambda means: local_slopes(means[variable], t)))


def slope_labels(local: Estimate) -> dict[str, xr.DataArray]:
    return labelled("slope", local, ["t_w", "t"], long_name="local exponent d log Δ/d log t")


def local_slopes(values: Float[np.ndarray, "*waiting t"], t: Float[np.ndarray, " t"]) -> Float[np.ndarray, "*waiting t"]:
    """Central differences of logarithms along the last axis, one-sided at the ends; NaN next to what is not there."""
    with np.errstate(all="ignore"):
        x, y = np.log(np.where(t > 0, t, np.nan)), np.log(np.where(values > 0, values, np.nan))
    out = np.full_like(y, np.nan)
    if len(t) < 3:
        return out
    out[..., 1:-1] = (y[..., 2:] - y[..., :-2]) / (x[2:] - x[:-2])
    ahead, behind = np.diff(y) / np.diff(x), np.diff(y) / np.diff(x)
    out[..., :-1] = np.where(np.isfinite(out[..., :-1]), out[..., :-1], ahead)
    out[..., 1:] = np.where(np.isfinite(out[..., 1:]), out[..., 1:], behind)
    return out


def plateau(these: Units, variable: str, t: Array, flat: float) -> dict[str, xr.DataArray]:
    """The longest stretch of lags over which Δ of the longest waiting time hardly grows."""
    return plateau_labels(*_plateau(these, variable, t, flat))


def plateau_labels(height: Estimate, stretch: tuple[float, float] = (np.nan, np.nan)) -> dict[str, xr.DataArray]:
    out = labelled("plateau", height, long_name="height of the plateau, where the local exponent is small")
    begins = {"long_name": "lag at the beginning of the plateau", "units": "1"}
    ends = {"long_name": "lag at the end of the plateau", "units": "1", "comment": "NaN where the curve is flat to the last lag"}
    return out | {"plateau_from": xr.DataArray(stretch[0], attrs=begins), "plateau_to": xr.DataArray(stretch[1], attrs=ends)}


def _plateau(these: Units, variable: str, t: Array, flat: float) -> tuple[Estimate, tuple[float, float]]:
    means = these.means()[variable]
    counts = np.isfinite(means[:, t > 0]).sum(axis=1)
    rows = np.nonzero(counts >= max(6, counts.max() / 2))[0]
    if not len(rows):
        return Estimate.none("no waiting time has six lags"), (np.nan, np.nan)
    row = int(rows[-1])
    columns = _longest_flat(these, variable, row, t, flat)
    if columns is None:
        told = f"no plateau: the slope of log Δ is not surely below {flat:g} over a factor {EXTENT:g} of lags"
        return Estimate.none(told), (np.nan, np.nan)
    height = jackknife(these, lambda means: np.exp(np.log(means[variable][row, columns]).mean()), log=True)
    left = np.isfinite(means[row, columns.stop : columns.stop + 1]).any()
    return height, (float(t[columns.start]), float(t[columns.stop - 1]) if left else np.nan)


def _longest_flat(these: Units, variable: str, row: int, t: Array, flat: float) -> slice | None:
    """The stretch of lags of largest ratio that is flat.

    Its slope is surely small, though it has been sought for (by Bonferroni's correction for as many stretches as there are side
    by side); no local exponent in it is surely large, and the slope is small at both its ends, so that the end of a rise is no
    part of it.
    """
    measured = np.nonzero((t > 0) & (these.means()[variable][row] > 0))[0]
    local = jackknife(these, lambda means: local_slopes(means[variable][row], t))
    steep = np.concatenate([[0], np.cumsum(~(local.low < flat))])
    ratios = {(a, b): t[b] / t[a] for a in measured for b in measured if t[b] >= EXTENT * t[a] and steep[b + 1] == steep[a]}
    sought = max(np.log(t[measured[-1]] / t[measured[0]]) / np.log(EXTENT), 1.0)
    reach = stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / sought, these.count - 1)

    def slope(means: Means, low: float, high: float) -> float:
        within = measured[(t[measured] >= low) & (t[measured] <= high)]
        x, y = np.log(t[within]), np.log(means[variable][row, within])
        return float((x - x.mean()) @ y / np.sum((x - x.mean()) ** 2)) if len(within) >= POINTS else np.nan

    whole = these.means()
    for a, b in sorted(ratios, key=lambda pair: ratios[pair], reverse=True):
        ends = slope(whole, t[a], EXTENT * t[a] * 1.001), slope(whole, t[b] / EXTENT / 1.001, t[b])
        if max(ends) < flat:
            found = jackknife(these, lambda means, a=a, b=b: slope(means, t[a], t[b]))
            if float(found.value + reach * found.error) < flat:
                return slice(int(a), int(b) + 1)
    return None
