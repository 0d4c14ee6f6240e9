"""When a descent has left where it began, and when it has come to the bottom."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.optimize import isotonic_regression

from glassyrun.analysis.labels import attempt, dataset, each, labelled, unit_of
from glassyrun.analysis.trajectories import Array, Means, NotEnough, Over, jackknife, units
from glassyrun.errors import Refusal


def regimes(
    data: xr.Dataset | xr.DataArray,
    *,
    variable: str = "energy",
    bottom: float | xr.DataArray | None = None,
    left: float = 0.1,
    arrived: float = 0.01,
    clock: Literal["time", "flow"] = "time",
    over: Over | None = None,
) -> xr.Dataset:
    """t₁, the end of exploration, and t₂, when the bottom is reached (the three regimes of Baity-Jesi et al., ICML 2018).

    With the descent A = E(first reading) − E_bottom, t₁ is when the energy has fallen by `left`·A and t₂ when it is within
    `arrived`·A of the bottom. The mean energy is made monotone (isotonic regression) and interpolated in the logarithm
    of time, so that noise neither makes a crossing early nor several of one.

    The bottom is a property of the landscape, not of the run: a slow descent looks like a bottom in any window. It is `bottom`
    if given (a number, or one for each point of a sweep), else the attribute `bottom` of the energy, else 0 where no energy is
    negative: no loss is lower. A p-spin needs the energy of its ground state, which lies below the threshold where a quench
    ends.

    Args:
        data: with `energy`, dims (sample, replica, time) and whatever a sweep adds.
        clock: `flow` gives times along the gradient flow, α·step/(1−β).

    Returns:
        `t1`, `t2` with `_error` and `_interval`; `energy_start`, `bottom`, and `remaining`, the part of the descent that the
        last reading is still above the bottom. What is not reached is NaN, the attribute `reason` says why.

    Raises:
        Refusal: if energies are negative and no bottom is known, or a fraction is not between 0 and 1.
    """
    ds = dataset(data, variable)
    if not 0 < arrived < 1 or not 0 < left < 1:
        raise Refusal(f"analysis.regimes: left and arrived are fractions between 0 and 1, found {left:g} and {arrived:g}")
    ds["bottom"] = _bottom(ds[variable], bottom)
    return each(ds, lambda cell: _of_one(cell, variable, left, arrived, clock, over))


def _bottom(energy: xr.DataArray, given: float | xr.DataArray | None) -> xr.DataArray:
    known = energy.attrs.get("bottom") if given is None else given
    if known is None:
        if bool((energy < 0).any().compute()):
            raise Refusal(
                "analysis.regimes: energies are negative and the bottom of this landscape is not known; give bottom=, for a p-spin "
                "the energy of its ground state"
            )
        known = 0.0
    return known if isinstance(known, xr.DataArray) else xr.DataArray(float(known))


def _of_one(ds: xr.Dataset, variable: str, left: float, arrived: float, clock: str, over: Over | None) -> xr.Dataset:
    along = ds["time_flow"] if clock == "flow" else ds["time"]
    times, bottom, unit = along.values.astype(float), float(ds["bottom"]), unit_of(along)

    def crossing(fraction: float):
        return attempt(lambda: jackknife(units(ds, [variable], over), _passage(times, variable, bottom, fraction), log=True))

    def level(which: int):
        return attempt(lambda: jackknife(units(ds, [variable], over), lambda means: _level(means[variable], bottom)[which]))

    energy_unit = unit_of(ds[variable])
    out = labelled(
        "t1",
        crossing(1 - left),
        long_name="end of exploration",
        units=unit,
        definition=f"energy fallen by {left:g} of the descent",
    )
    out |= labelled(
        "t2",
        crossing(arrived),
        long_name="bottom reached",
        units=unit,
        definition=f"energy within {arrived:g} of the descent of the bottom",
    )
    out |= labelled("energy_start", level(0), long_name="energy at the first reading", units=energy_unit)
    out |= labelled("remaining", level(1), long_name="part of the descent left at the last reading")
    out["bottom"] = xr.DataArray(bottom, attrs={"long_name": "energy of the bottom", "units": energy_unit})
    return xr.Dataset(out)


def _level(energy: Array, bottom: float) -> tuple[float, float]:
    """The first energy, and the part of the descent left at the last."""
    there = energy[np.isfinite(energy)]
    if not len(there):
        raise NotEnough("no energy has been measured")
    return float(there[0]), float((there[-1] - bottom) / (there[0] - bottom))


def _passage(times: Array, variable: str, bottom: float, fraction: float):
    """The time at which the mean energy comes within a fraction of the descent of the bottom."""

    def statistic(means: Means) -> float:
        return passage(times, means[variable], bottom, fraction)

    return statistic


def passage(times: Float[np.ndarray, " time"], energy: Float[np.ndarray, " time"], bottom: float, fraction: float) -> float:
    there = np.isfinite(energy)
    times, energy = times[there], energy[there]
    if len(times) < 4:
        raise NotEnough(f"{len(times)} times have an energy, and a time of passage needs four")
    descent = energy[0] - bottom
    if descent <= 0:
        raise NotEnough(f"the first energy, {energy[0]:.4g}, is not above the bottom, {bottom:.4g}")
    excess = isotonic_regression((energy - bottom) / descent, increasing=False).x
    if excess[-1] > fraction:
        raise NotEnough(
            f"not reached: at time {times[-1]:g} the energy is {excess[-1]:.3g} of the descent above the bottom, and {fraction:g} is asked for"
        )
    # from time 0 on a fast descent may be followed between two readings, unless most of it lies there
    if excess[1] <= fraction and (times[0] > 0 or excess[1] < 0.5):
        raise NotEnough(f"passed before the second reading, at time {times[1]:g}: measure the energy earlier")
    return falls_to(times, excess, fraction)


def falls_to(times: Float[np.ndarray, " time"], curve: Float[np.ndarray, " time"], level: float) -> float:
    """When a curve that never rises passes a level: a cubic through the six points around, in log(1 + t/t_first), by least
    squares.

    Two points more than a cubic needs make the passage a smooth function of the readings, as its error assumes.
    """
    first = times[times > 0][0]
    x = np.log1p(times / first)
    below = int(np.argmax(curve <= level))
    begin = min(max(below - 3, 0), max(len(x) - 6, 0))
    near = slice(begin, begin + 6)
    middle = 0.5 * (x[below - 1] + x[below])
    cubic = np.polynomial.Polynomial(np.polynomial.polynomial.polyfit(x[near] - middle, curve[near] - level, 3))
    roots = cubic.roots()
    roots = roots[np.abs(roots.imag) < 1e-9].real
    roots = roots[(roots >= x[near][0] - middle) & (roots <= x[near][-1] - middle)]
    nearest = roots[np.abs(roots).argmin()] if len(roots) else 0.0
    return float(first * np.expm1(middle + nearest))
