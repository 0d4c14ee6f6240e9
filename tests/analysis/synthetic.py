"""Two-time data whose regimes, exponents and noise are known, and how often an interval holds the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from scipy.signal import lfilter

SETS = 200


def noise(rng: np.random.Generator, shape: tuple[int, ...], memory: float = 0.0) -> np.ndarray:
    """Unit Gaussian noise correlated along the last axis: an autoregressive process, stationary from its beginning."""
    white = rng.standard_normal(shape)
    if not memory:
        return white
    white[..., 1:] *= (1 - memory**2) ** 0.5
    return lfilter([1.0], [1.0, -memory], white, axis=-1)


def times(start: float, stop: float, count: int, zero: bool = True) -> np.ndarray:
    grid = np.geomspace(start, stop, count)
    return np.concatenate([[0.0], grid]) if zero else grid


def one_time(curves: np.ndarray, time: np.ndarray, name: str = "energy") -> xr.Dataset:
    """`curves`: [sample, replica, time]."""
    array = xr.DataArray(curves, dims=("sample", "replica", "time"), coords={"time": ("time", time, {"units": "1"})})
    return array.assign_attrs(long_name=name, units="1").to_dataset(name=name).assign_attrs(title="synthetic")


def two_time(curves: np.ndarray, t_w: np.ndarray, t: np.ndarray, name: str = "msd", horizon: float | None = None) -> xr.Dataset:
    """`curves`: [sample, replica, t_w, t]; beyond the horizon NaN."""
    array = xr.DataArray(curves, dims=("sample", "replica", "t_w", "t"), coords={"t_w": t_w, "t": t})
    if horizon is not None:
        array = array.where(array.t_w + array.t <= horizon)
    return array.assign_attrs(long_name=name, units="1").to_dataset(name=name).assign_attrs(title="synthetic")


Analysis = Callable[[np.random.Generator], xr.Dataset]


def coverage(analyse: Analysis, truths: Mapping[str, float | np.ndarray], sets: int = SETS) -> dict[str, np.ndarray]:
    """For each quantity the part of independent data sets whose 95 % interval holds the truth; NaN holds nothing.

    The value must lie in its own interval, each time.
    """
    held: dict[str, list[np.ndarray]] = {name: [] for name in truths}
    for seed in range(sets):
        found = analyse(np.random.default_rng([seed, 7]))
        for name, truth in truths.items():
            bounds = found[f"{name}_interval"].transpose(..., "bound").values
            if name in found:
                value = found[name].values
                assert ((bounds[..., 0] <= value) & (value <= bounds[..., 1]) | np.isnan(value)).all(), name
            held[name].append((bounds[..., 0] <= truth) & (truth <= bounds[..., 1]))
    return {name: np.mean(each, axis=0) for name, each in held.items()}


def assert_rate(rates: Mapping[str, np.ndarray], margin: float = 0.03) -> None:
    """95 ± 3 %, for the mean over points of a curve too: points of one data set are correlated, so each alone is as uncertain."""
    for name, rate in rates.items():
        assert abs(np.mean(rate) - 0.95) < margin + 1e-9, (name, rate)
