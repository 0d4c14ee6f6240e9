"""Local exponents and plateaus of two-time curves."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float

from glassyrun.analysis.labels import labelled
from glassyrun.analysis.trajectories import Array, Estimate, Units, jackknife

EXTENT = 3.0
"""A stretch of lags shorter than this factor is no plateau."""


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
    columns = _longest_flat(local_slopes(means[row], t), t, flat)
    if columns is None:
        return Estimate.none(f"no plateau: the local exponent is not below {flat:g} over a factor {EXTENT:g} of lags"), (
            np.nan,
            np.nan,
        )
    height = jackknife(these, lambda means: np.exp(np.log(means[variable][row, columns]).mean()), log=True)
    left = np.isfinite(means[row, columns.stop : columns.stop + 1]).any()
    return height, (float(t[columns.start]), float(t[columns.stop - 1]) if left else np.nan)


def _longest_flat(slope: Array, t: Array, flat: float) -> slice | None:
    """The stretch of lags of largest ratio where the slope is small."""
    small = np.concatenate([[False], np.nan_to_num(slope, nan=np.inf) < flat, [False]])
    begins, ends = np.nonzero(small[1:] & ~small[:-1])[0], np.nonzero(~small[1:] & small[:-1])[0]
    best = max(zip(begins, ends, strict=True), key=lambda pair: t[pair[1] - 1] / t[pair[0]], default=None)
    if best is None or t[best[1] - 1] / t[best[0]] < EXTENT:
        return None
    return slice(int(best[0]), int(best[1]))
