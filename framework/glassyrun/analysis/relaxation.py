"""Relaxation times, and whether curves of different temperature have one shape."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.optimize import isotonic_regression

from glassyrun.analysis.labels import attempt, dataset, each, labelled, unit_of
from glassyrun.analysis.master import Curves, Master, one_hot, settle
from glassyrun.analysis.regimes import falls_to
from glassyrun.analysis.trajectories import Array, Estimate, Means, NotEnough, Over, Units, jackknife, units
from glassyrun.errors import Refusal


def relaxation_time(
    data: xr.Dataset | xr.DataArray, *, variable: str = "epsilon_overlap", level: float = 1 / np.e, over: Over | None = None
) -> xr.Dataset:
    """τ(t_w), the lag at which a two-time correlation has fallen to a level of its value at lag 0.

    With the ε-overlap this is the usual α-relaxation time (Lačević et al., J. Chem. Phys. 119, 7372 (2003)). The mean curve is
    made monotone and interpolated in log(1 + t/t_first), t_first being the shortest lag.

    Args:
        data: with `epsilon_overlap` or `overlap` (sample, replica, t_w, t).

    Returns:
        `tau` [t_w] with intervals, NaN where the level is not reached: the attribute `reason` says for which t_w.
    """
    ds = dataset(data, variable)
    if not 0 < level < 1:
        raise Refusal(f"analysis.relaxation_time: level is a fraction between 0 and 1, found {level:g}")

    def one(cell: xr.Dataset) -> xr.Dataset:
        t = cell.t.values.astype(float)
        parts = [
            attempt(
                lambda row=row: jackknife(
                    units(cell, [variable], over), lambda means: fall(t, means[variable][row], level), log=True
                )
            )
            for row in range(cell.sizes["t_w"])
        ]
        found = Estimate.stack(parts, [f"t_w = {w:g}" for w in cell.t_w.values])
        out = labelled(
            "tau",
            found,
            ["t_w"],
            long_name=f"lag at which {variable} is {level:.3g}",
            units=unit_of(cell.t),
        )
        return xr.Dataset(out, coords={"t_w": cell.t_w})

    return each(ds, one)


def fall(t: Array, curve: Array, level: float) -> float:
    """The lag at which a curve has fallen to a fraction of its first value."""
    there = np.isfinite(curve)
    t, curve = t[there], curve[there]
    if len(t) < 4 or t[0] > 0:
        raise NotEnough("lag 0 and three more are needed")
    relative = isotonic_regression(curve / curve[0], increasing=False).x
    if relative[-1] > level:
        raise NotEnough(f"at lag {t[-1]:g} it is still {relative[-1]:.3g} of its value at lag 0")
    if relative[1] <= level:
        raise NotEnough(f"it has fallen already at the shortest lag, {t[1]:g}")
    return falls_to(t, relative, level)


def superposition(
    data: xr.Dataset | xr.DataArray,
    along: str,
    *,
    variable: str = "overlap",
    t_w: float | None = None,
    window: tuple[float, float] = (0.05, 0.9),
    pieces: int = 6,
    over: Over | None = None,
) -> xr.Dataset:
    """Time-temperature superposition: curves C(t) of different temperature as one function of t/a(T) (Götze and Sjögren, Rep.
    Prog. Phys. 55, 241 (1992); Kob and Andersen, Phys. Rev. E 52, 4134 (1995)).

    The master curve is a cubic spline in log t; the shifts are those of least squares. A unit is left out at all temperatures
    at once, so that errors are right whether or not runs share their disorder.

    Args:
        data: with a correlation (sample, replica, t_w, t) and the dimension `along`.
        along: the dimension of temperatures; its first point has shift 1.
        t_w: the waiting time, by default the longest at which all points have lags.
        window: values of the curve, as parts of that at lag 0, that are fitted: the α-relaxation.

    Returns:
        `shift` [along], the factor a, with intervals; `misfit`, the rms distance of the curves from the master curve; NaN with
        `reason`.
    """
    ds = dataset(data, variable)
    if along not in ds[variable].dims:
        raise Refusal(f"analysis.superposition: the data have no dimension {along}, they have {', '.join(map(str, ds.dims))}")
    grid = ("sample", "replica", "time", "t_w", "t", along)

    def one(cell: xr.Dataset) -> xr.Dataset:
        count, t = cell.sizes[along], cell.t.values.astype(float)
        work = cell.transpose(..., "t_w", along, "t")

        def fit(means: Means) -> Master:
            return _stretched(means[variable][_row(means[variable], cell.t_w.values, t_w)], t, window, pieces)

        def factors(means: Means) -> Array:
            return np.exp(np.concatenate([[0.0], fit(means).shift]))

        these = attempt_units(work, variable, over)
        found = Estimate.none(these, (count,)) if isinstance(these, str) else jackknife(these, factors, log=True, shape=(count,))
        misfit = np.nan if found.reason or isinstance(these, str) else fit(these.means()).spread
        out = labelled("shift", found, [along], long_name="factor a by which times are stretched")
        out["misfit"] = xr.DataArray(misfit, attrs={"long_name": "rms distance from the master curve", "units": "1"})
        return xr.Dataset(out, coords={along: cell[along]} if along in cell.coords else {})

    return each(ds, one, grid)


def attempt_units(work: xr.Dataset, variable: str, over: Over | None) -> Units | str:
    """The units, or the reason why there are too few."""
    try:
        return units(work, [variable], over)
    except NotEnough as reason:
        return str(reason)


def _row(values: Array, t_w: Array, wanted: float | None) -> int:
    """The waiting time nearest to the one wanted, or the longest of those at which the curves have most lags."""
    if wanted is not None:
        return int(np.abs(t_w - wanted).argmin())
    counts = np.isfinite(values).sum(axis=-1).min(axis=-1)
    if not counts.max():
        raise NotEnough("no waiting time was measured in all runs")
    return int(np.nonzero(counts == counts.max())[0][-1])


def _stretched(values: Array, t: Array, window: tuple[float, float], pieces: int) -> Master:
    """The fit of curves [curve, t] to one function of t/a."""
    if t[0] > 0:
        raise NotEnough("lag 0 was not measured, by which the curves are divided")
    relative = values / values[:, :1]
    mask = (relative >= window[0]) & (relative <= window[1]) & (t > 0)
    if mask.sum(axis=1).min() < 4:
        raise NotEnough(f"{mask.sum(axis=1).min()} lags of one of the curves lie within the window, and four are needed")
    rows, columns = np.nonzero(mask)
    x, y = np.log(t[columns]), relative[rows, columns]
    z = one_hot(rows.astype(float))
    curves = Curves(x, z, np.zeros((len(x), 0)))
    # begin where all curves pass a value that they share
    low, high = max(y[rows == r].min() for r in range(len(values))), min(y[rows == r].max() for r in range(len(values)))
    if low >= high:
        raise NotEnough("the curves share no values within the window")
    middle = (low + high) / 2
    places = np.array(
        [np.interp(-middle, -isotonic_regression(y[rows == r], increasing=False).x, x[rows == r]) for r in range(len(values))]
    )
    return settle(y, curves, places[1:] - places[0], pieces)
