"""Fluctuation and dissipation: χ against C, the ratio X, effective temperatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs
import numpy as np
import xarray as xr
from scipy.optimize import isotonic_regression

from glassyrun.analysis.arguments import check_word, count, number
from glassyrun.analysis.arguments import window as check_window
from glassyrun.analysis.labels import attempt, dataset, each, labelled
from glassyrun.analysis.trajectories import Array, Estimate, Means, NotEnough, Over, Units, jackknife, units
from glassyrun.errors import Refusal

Along: TypeAlias = Literal["t", "t_w"]
WELL_ABOVE = 4.0
"""Errors above 0 from which on X is taken for positive."""


def fdt(
    data: xr.Dataset,
    *,
    temperature: float | xr.DataArray,
    window: tuple[float, float] | None = None,
    levels: int | Array = 20,
    correlation: str = "overlap",
    response: str = "response",
    along: Along = "t",
    over: Over | None = None,
) -> xr.Dataset:
    """χ as a function of C, the fluctuation-dissipation ratio X = −T dχ/dC, and T_eff = T/X.

    In equilibrium Tχ = C(t, t) − C(t, t_w), so that X = 1; a glass that ages has X < 1 where C has fallen below its plateau
    (Cugliandolo and Kurchan, Phys. Rev. Lett. 71, 173 (1993); Cugliandolo, Kurchan and Peliti, Phys. Rev. E 55, 3898 (1997)). X
    is defined at fixed final time t_w + t, for which `along = "t_w"` reads both functions at one final time, interpolated in t.
    `along = "t"`, at fixed t_w, is the usual plot; its slope is X only where one-time quantities have stopped moving.

    Args:
        data: with C, dims (sample, replica, t_w, t), and χ, the same.
        temperature: T > 0, a number or one for each point of a sweep.
        window: range of C in which χ(C) is fitted by a straight line for `x` and `effective_temperature`. It must have three
            points; without it
            the whole range is taken.
        levels: number of equally spaced values of C, or these values, at which χ(C) is given.

    Returns:
        `chi` and `chi_slope` = X(C), local, [curve, level] where `curve` is t_w, or the final time; `x`,
        `effective_temperature` [curve]; all but `chi_slope` with intervals. Where the interval of X holds 0 that of T/X has no upper
        end (infinity); where X is not above 0 there is a lower end alone.

    Raises:
        Refusal: if the temperature is not positive, or an argument is not what it can be.
    """
    ds = dataset(data, correlation, response, dims=("t_w", "t"))
    check_word("analysis.fdt", "along", along, Along)
    window = None if window is None else check_window("analysis.fdt", "window", window)
    if not isinstance(temperature, xr.DataArray):
        temperature = xr.DataArray(number("analysis.fdt", "temperature", temperature))
    if not bool((temperature > 0).all()):
        raise Refusal("analysis.fdt: the ratio X needs a temperature above 0; for SGD see sgd_temperature")
    if isinstance(levels, int):
        count("analysis.fdt", "levels", levels)
        mean = ds[correlation].mean([dim for dim in ("sample", "replica") if dim in ds[correlation].dims]).compute()
        levels = np.linspace(float(mean.min()), float(mean.max()), levels + 2)[1:-1]
    levels = np.asarray(levels, dtype=float)
    if levels.ndim != 1 or not len(levels) or not (np.diff(levels) > 0).all():
        raise Refusal("analysis.fdt: levels is a number of values of C, or such values, the lowest first")
    ds["temperature_of_fdt"] = temperature
    plot = Plot(correlation, response, levels, window, along, over)
    return each(ds, plot.of)


@attrs.frozen
class Plot:
    """χ(C) of one run."""

    correlation: str
    response: str
    levels: Array
    window: tuple[float, float] | None
    along: str
    over: Over | None

    def of(self, cell: xr.Dataset) -> xr.Dataset:
        temperature = float(cell["temperature_of_fdt"])
        t_w = cell.t_w.values.astype(float)
        curves = [self._curve(cell, number, temperature) for number in range(len(t_w))]
        names = {
            "chi": "response χ(C)",
            "x": "fluctuation-dissipation ratio X = −T dχ/dC",
            "effective_temperature": "effective temperature T/X",
        }
        out: dict[str, xr.DataArray] = {}
        end = xr.DataArray(t_w, dims="end", attrs={"long_name": "final time t_w + t", "units": "1"})
        dim, coordinate = ("t_w", cell.t_w) if self.along == "t" else ("end", end)
        for name, long_name in names.items():
            estimate = Estimate.stack([curve[name] for curve in curves], [f"{dim} = {at:g}" for at in t_w])
            out |= labelled(name, estimate, [dim, "level"] if name == "chi" else [dim], long_name=long_name)
        slope = (
            -temperature * np.gradient(out["chi"].values, self.levels, axis=-1)
            if len(self.levels) > 1
            else out["chi"].values * np.nan
        )
        out["chi_slope"] = xr.DataArray(slope, dims=[dim, "level"], attrs={"long_name": "local X(C) = −T dχ/dC", "units": "1"})
        level = xr.DataArray(self.levels, dims="level", attrs={"long_name": "correlation C", "units": "1"})
        return xr.Dataset(out, coords={dim: coordinate, "level": level})

    def _curve(self, cell: xr.Dataset, number: int, temperature: float) -> dict[str, Estimate]:
        count = (len(self.levels),)

        def line(means: Means) -> float:
            c, chi = self._points(means, cell, number)
            low, high = self.window or (-np.inf, np.inf)
            inside = (c >= low) & (c <= high)
            if inside.sum() < 3:
                raise NotEnough(f"{inside.sum()} points of χ(C) lie in the window, and a slope needs three")
            return -temperature * float(np.polyfit(c[inside], chi[inside], 1)[0])

        def curve(means: Means) -> Array:
            c, chi = self._points(means, cell, number)
            return _at(c, chi, self.levels)

        def these() -> Units:
            return units(cell, [self.correlation, self.response], self.over)

        x = attempt(lambda: _ratio(these(), line))
        chi = attempt(lambda: jackknife(these(), curve, shape=count), count)
        if not chi.reason and np.isnan(chi.value).any():
            lost = f"{np.isnan(chi.value).sum()} of {len(self.levels)} levels lie outside of the C that was measured"
            chi = attrs.evolve(chi, reason=lost)
        return {
            "chi": chi,
            "x": x,
            "effective_temperature": _temperature(x, temperature),
        }

    def _points(self, means: Means, cell: xr.Dataset, number: int) -> tuple[Array, Array]:
        c, chi = means[self.correlation], means[self.response]
        if self.along == "t":
            c, chi = c[number], chi[number]
        else:
            c, chi = _at_end(c, chi, cell.t_w.values.astype(float), cell.t.values.astype(float), number)
        good = np.isfinite(c) & np.isfinite(chi)
        if good.sum() < 3:
            raise NotEnough(f"{good.sum()} pairs have both C and χ, and χ(C) needs three")
        return c[good], chi[good]


def _at_end(c: Array, chi: Array, t_w: Array, t: Array, number: int) -> tuple[Array, Array]:
    """C and χ of all waiting times up to one, at that final time; the latest first, so that C falls as at fixed t_w."""
    rows = range(number, -1, -1)
    lags = t_w[number] - t_w
    return tuple(np.array([np.interp(lags[row], t, f[row], right=np.nan) for row in rows]) for f in (c, chi))  # type: ignore[return-value]


def _at(c: Array, chi: Array, levels: Array) -> Array:
    """χ at given C; C falls along the curve but for noise. NaN outside what was measured."""
    order = isotonic_regression(c, increasing=False).x[::-1]
    return np.interp(levels, order, chi[::-1], left=np.nan, right=np.nan)


def _ratio(these: Units, line: Callable[[Means], float]) -> Estimate:
    """X, by the jackknife of its logarithm where it is well above 0.

    Where the response of each trajectory has a factor of its own, X has its largest errors where it comes out large, so that an
    interval symmetric about it misses on one side.
    """
    plain = jackknife(these, line)
    if these.exact or plain.reason or not plain.value > WELL_ABOVE * plain.error:
        return plain
    found = jackknife(these, line, log=True)
    return found if np.isfinite(found.error) else plain


def _temperature(x: Estimate, temperature: float) -> Estimate:
    """T/X with the interval of X turned over."""
    if x.reason:
        return x
    value, low, high = (float(part) for part in (x.value, x.low, x.high))
    if low > 0:
        return attrs.evolve(
            x,
            value=np.asarray(temperature / value),
            error=temperature / value * x.error / value,
            low=temperature / x.high,
            high=temperature / x.low,
        )
    told = f"the interval of X, {low:.3g} to {high:.3g}, holds 0, so that T/X has no upper end"
    if not high > 0:
        return Estimate.none(f"X, {value:.3g}, is below 0 within its interval, so that T/X is no temperature")
    known = temperature / value if value > 0 else np.nan
    return Estimate(
        np.asarray(known), np.asarray(np.nan), np.asarray(temperature / high), np.asarray(np.inf), told, about=x.about
    )
