"""What the pages of the gallery share: stored results, sizes of the runs, and numbers with their intervals."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from glassyrun.analysis import NullModel, aging
from glassyrun.analysis.labels import attempt, labelled
from glassyrun.analysis.trajectories import Means, jackknife, units

RESULTS = Path(__file__).parent / "results"


def load(name: str) -> xr.Dataset:
    """The stored result of docs/gallery/specs/NAME.toml."""
    return xr.load_dataset(RESULTS / f"{name}.nc")


def sizes(*names: str) -> pd.DataFrame:
    """How large the runs were, from their attributes."""
    rows = {}
    for name in names:
        ds = load(name)
        spec, versions = tomllib.loads(ds.attrs["spec"]), json.loads(ds.attrs["versions"])
        rows[name] = {
            "degrees of freedom": ds.attrs["degrees_of_freedom"],
            "terms": ds.attrs["terms"],
            "horizon": spec["schedule"]["horizon"],
            "steps": int(ds.time_step[-1]),
            "samples × replicas": f"{ds.sizes['sample']} × {ds.sizes['replica']}",
            "torch": versions["torch"],
        }
    return pd.DataFrame(rows).T


def show(found: xr.Dataset, *names: str) -> None:
    """A line for each quantity: its value, its 95 % interval, or the reason why there is none."""
    for name in names:
        low, high = found[f"{name}_interval"].values
        value, reason = found[name].item(), found[name].attrs.get("reason")
        print(f"{name}: {reason}" if reason else f"{name} = {value:.3g} ({low:.3g} to {high:.3g})")


def text(found: xr.Dataset, name: str) -> str:
    """A quantity with its interval, or a dash."""
    low, high = found[f"{name}_interval"].values
    return f"{found[name].item():.2f} ({low:.2f} to {high:.2f})" if np.isfinite(found[name].item()) else "–"


def ages(ds: xr.Dataset, *windows: tuple[float, float], lags: tuple[float, float] = (30, 1000)) -> pd.DataFrame:
    """Exponents of aging within windows of waiting times, with one height for all curves and with one for each, beside the null model's.

    A dash where the curves of different t_w do not fall on one within their errors, and so have no exponent.
    """
    rows = {}
    for window in windows:
        for amplitude in ("common", "free"):
            found = aging(ds, waiting=window, lags=lags, amplitude=amplitude)
            rows[f"t_w from {window[0]:.0f} to {min(window[1], ds.t_w.values[-1]):.0f}", amplitude] = {
                "μ": text(found, "mu"),
                "μ of the null model": text(found, "mu_null"),
                "μ − null": text(found, "mu_excess"),
                "rms of log Δ": f"{found.misfit.item():.2f}",
                "of which errors explain": f"{found.misfit_expected.item():.2f}",
                "null model": f"{found.misfit_null.item():.2f}",
            }
    return pd.DataFrame(rows).T.rename_axis(["waiting times", "heights"])


def power_law(ds: xr.Dataset, variable: str, window: tuple[float, float], *, offset: float = 0.0) -> xr.Dataset:
    """The exponent b of `variable` − offset ∝ time^b, by least squares of logarithms within a window of times."""
    time = ds["time"].values
    inside = (time >= window[0]) & (time <= window[1])

    def slope(means: Means) -> float:
        return float(np.polyfit(np.log(time[inside]), np.log(means[variable][inside] - offset), 1)[0])

    return xr.Dataset(labelled("exponent", attempt(lambda: jackknife(units(ds, [variable]), slope)), long_name="exponent"))


def at_equal(ds: xr.Dataset, null: NullModel | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Waiting times and Δ(t_w, 2 t_w), the mean over trajectories, or of the null model on the same flow times."""
    curves = ds["msd"].mean(["sample", "replica"])
    if null is not None:
        curves = curves.copy(data=np.where(curves.notnull(), null.msd(ds["t_w_flow"].values, ds["t_flow"].values), np.nan))
    there = [t_w for t_w in ds["t_w"].values if t_w > 0 and curves.sel(t_w=t_w).dropna("t").t.max() >= t_w]
    return np.array(there), np.array([_at(curves["t"].values, curves.sel(t_w=t_w).values, t_w) for t_w in there])


def _at(lag: np.ndarray, curve: np.ndarray, where: float) -> float:
    """A curve at a lag, linear in logarithms."""
    good = (lag > 0) & (curve > 0)
    return float(np.exp(np.interp(np.log(where), np.log(lag[good]), np.log(curve[good]))))


def heights(ds: xr.Dataset, window: tuple[float, float]) -> xr.Dataset:
    """The exponent b of Δ(t_w, 2 t_w) ∝ t_w^b within a window of waiting times: 0 for a glass, −(a + 1) for the null model."""
    waited, lag = ds["t_w"].values, ds["t"].values
    rows = np.nonzero((waited >= window[0]) & (waited <= window[1]) & (waited > 0))[0]

    def slope(means: Means) -> float:
        reached = [row for row in rows if lag[means["msd"][row] > 0].max() >= waited[row]]
        found = [np.log(_at(lag, means["msd"][row], waited[row])) for row in reached]
        return float(np.polyfit(np.log(waited[reached]), found, 1)[0])

    return xr.Dataset(labelled("height", attempt(lambda: jackknife(units(ds, ["msd"]), slope)), long_name="exponent of heights"))
