"""Whether correlations of different temperature have one shape."""

from __future__ import annotations

import attrs
import numpy as np
import xarray as xr
from scipy.optimize import isotonic_regression

from glassyrun.analysis.arguments import count, number
from glassyrun.analysis.arguments import window as check_window
from glassyrun.analysis.labels import GRID, attempt, dataset, each, labelled, sweep_dims
from glassyrun.analysis.master import Curves, Master, one_hot, refine, settle
from glassyrun.analysis.trajectories import Array, Estimate, NotEnough, Over, Units, interval, units
from glassyrun.errors import Refusal


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
    ds = dataset(data, variable, dims=("t_w", "t"))
    place = "analysis.superposition"
    if along in GRID or along not in ds[variable].dims:
        swept = ", ".join(sweep_dims(ds)) or "none"
        raise Refusal(
            f"{place}: along is a dimension of temperatures, not {along}; the data have {swept}, concatenate runs for one"
        )
    if ds.sizes[along] < 2:
        raise Refusal(f"{place}: {along} has one point, and curves of two are needed to be put on one another")
    window, pieces = check_window(place, "window", window), count(place, "pieces", pieces)
    t_w = None if t_w is None else number(place, "t_w", t_w)
    grid = (*GRID, along)

    def one(cell: xr.Dataset) -> xr.Dataset:
        size = cell.sizes[along]
        work = cell.transpose(..., "t_w", along, "t")
        spread = [np.nan]

        def found() -> Estimate:
            these = units(work, [variable], over)
            row = row_of(these.means()[variable], cell.t_w.values, t_w)
            fit = Stretch.of(these.means()[variable][row], cell.t.values.astype(float), window, pieces)
            spread[0] = fit.best.spread
            return fit.factors(these, variable, row)

        out = labelled("shift", attempt(found, (size,)), [along], long_name="factor a by which times are stretched")
        out["misfit"] = xr.DataArray(spread[0], attrs={"long_name": "rms distance from the master curve", "units": "1"})
        return xr.Dataset(out, coords={along: cell[along]} if along in cell.coords else {})

    return each(ds, one, grid)


def row_of(values: Array, t_w: Array, wanted: float | None) -> int:
    """The waiting time nearest to the one wanted, or the longest of those at which the curves have most lags."""
    if wanted is not None:
        return int(np.abs(t_w - wanted).argmin())
    counts = np.isfinite(values).sum(axis=-1).min(axis=-1)
    if not counts.max():
        raise NotEnough("no waiting time was measured in all runs")
    return int(np.nonzero(counts == counts.max())[0][-1])


@attrs.frozen
class Stretch:
    """The fit of curves [curve, t] to one function of t/a; which points are fitted is settled once, by the mean of all units."""

    mask: np.ndarray
    curves: Curves
    best: Master

    @classmethod
    def of(cls, values: Array, t: Array, window: tuple[float, float], pieces: int) -> Stretch:
        if t[0] > 0:
            raise NotEnough("lag 0 was not measured, by which the curves are divided")
        relative = values / values[:, :1]
        smooth = np.stack([_falling(curve) for curve in relative])
        mask = (smooth >= window[0]) & (smooth <= window[1]) & (t > 0)
        if mask.sum(axis=1).min() < 4:
            raise NotEnough(f"{mask.sum(axis=1).min()} lags of one of the curves lie within the window, and four are needed")
        rows, columns = np.nonzero(mask)
        x, y = np.log(t[columns]), relative[mask]
        curves = Curves(x, one_hot(rows.astype(float)), np.zeros((len(x), 0)))
        # begin where all curves pass a value that they share
        each = [(x[rows == row], smooth[row][mask[row]]) for row in range(len(values))]
        low, high = max(part.min() for _, part in each), min(part.max() for _, part in each)
        if low >= high:
            raise NotEnough("the curves share no values within the window")
        places = np.array([np.interp(-(low + high) / 2, -part, at) for at, part in each])
        return cls(mask, curves, settle(y, curves, places[1:] - places[0], pieces))

    def factors(self, these: Units, variable: str, row: int) -> Estimate:
        left = np.stack([self._again(these.without(unit)[variable][row]) for unit in range(these.count)])
        return interval(
            self._whole(self.best.shift), np.stack([self._whole(shift) for shift in left]), log=True, about=these.about()
        )

    def _again(self, values: Array) -> Array:
        y = (values / values[:, :1])[self.mask]
        return refine(y, self.curves, self.best.shift, self.best.knots)

    @staticmethod
    def _whole(shift: Array) -> Array:
        return np.exp(np.concatenate([[0.0], shift]))


def _falling(curve: Array) -> Array:
    """A curve made monotone, NaN where it is."""
    there = np.isfinite(curve)
    out = np.full_like(curve, np.nan)
    out[there] = isotonic_regression(curve[there], increasing=False).x
    return out
