"""When a descent has left where it began, and when it has come to the bottom."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import xarray as xr

from glassyrun.analysis.arguments import check_word, number
from glassyrun.analysis.labels import GRID, attempt, dataset, each, labelled, unit_of
from glassyrun.analysis.passage import Passage, estimated, passage
from glassyrun.analysis.trajectories import Array, Estimate, NotEnough, Over, jackknife, units
from glassyrun.errors import Refusal

Clock: TypeAlias = Literal["time", "flow"]


def regimes(
    data: xr.Dataset | xr.DataArray,
    *,
    variable: str = "energy",
    bottom: float | xr.DataArray | None = None,
    left: float = 0.1,
    arrived: float = 0.01,
    clock: Clock = "time",
    over: Over | None = None,
) -> xr.Dataset:
    """t₁, the end of exploration, and t₂, when the bottom is reached (the three regimes of Baity-Jesi et al., ICML 2018).

    With the descent A = E(first reading) − E_bottom, t₁ is when the energy has fallen by `left`·A and t₂ when it is within
    `arrived`·A of the bottom. The mean energy is made monotone, so that noise neither makes a crossing early nor several of one,
    and followed between two readings as `glassyrun.analysis.passage` says; how far that is a guess is part of the interval.

    The bottom is a property of the landscape, not of the run: a slow descent looks like a bottom in any window. It is `bottom`
    if given (a number, or one for each point of a sweep), else the variable or coordinate `bottom` of the result, else the
    attribute `bottom` of the energy, else 0 where no energy is negative: no loss is lower. Of runs that are concatenated xarray
    keeps the attribute of the first: where landscapes differ, give `bottom` along the sweep. A p-spin needs the energy of its
    ground state, which lies below the threshold where a quench ends.

    Args:
        data: with `energy`, dims (sample, replica, time) and whatever a sweep adds.
        clock: `flow` gives times along the gradient flow, α·step/(1−β).

    Returns:
        `t1`, `t2` with `_error` and `_interval`; `energy_start`, `bottom`, and `remaining`, the part of the descent that the
        last reading is still above the bottom. What is not reached, or passed within the first step of a run that counts steps,
        is NaN, and the attribute `reason` says why.

    Raises:
        Refusal: if energies are negative and no bottom is known, or an argument is not what it can be.
    """
    ds = dataset(data, variable, dims=("time",))
    check_word("analysis.regimes", "clock", clock, Clock)
    left, arrived = (number("analysis.regimes", name, part, 0, 1) for name, part in (("left", left), ("arrived", arrived)))
    if clock == "flow" and "time_flow" not in ds.coords:
        raise Refusal('analysis.regimes: the result has no coordinate time_flow; take clock="time"')
    ds["bottom"] = _bottom(data, ds[variable], bottom).reset_coords(drop=True)
    return each(ds, lambda cell: _of_one(cell, variable, left, arrived, clock, over))


def _bottom(data: xr.Dataset | xr.DataArray, energy: xr.DataArray, given: float | xr.DataArray | None) -> xr.DataArray:
    held = data.get("bottom") if isinstance(data, xr.Dataset) else data.coords.get("bottom")
    known = next((each for each in (given, held, energy.attrs.get("bottom")) if each is not None), None)
    if known is None:
        if bool((energy < 0).any().compute()):
            raise Refusal(
                "analysis.regimes: energies are negative and the bottom of this landscape is not known; give bottom=, for a p-spin "
                "the energy of its ground state"
            )
        known = 0.0
    if not isinstance(known, xr.DataArray):
        return xr.DataArray(number("analysis.regimes", "bottom", known))
    odd = [str(dim) for dim in known.dims if dim in GRID or dim not in energy.dims]
    if odd or known.dtype.kind not in "iuf":
        raise Refusal(f"analysis.regimes: bottom is a number, or one for each point of a sweep, found {known.dtype} over {odd}")
    return known


def _of_one(ds: xr.Dataset, variable: str, left: float, arrived: float, clock: str, over: Over | None) -> xr.Dataset:
    along = ds["time_flow"] if clock == "flow" else ds["time"]
    times, bottom, unit = along.values.astype(float), float(ds["bottom"]), unit_of(along)
    step = _step(ds, times)

    def crossing(fraction: float) -> Estimate:
        these = units(ds, [variable], over)
        if passage(times, _excess(these.means()[variable], bottom), fraction).time < step:
            raise NotEnough(
                "passed within the first step: it is less than 1 step, and between two steps there is no time to tell"
            )
        return estimated(these, lambda means: _passage(times, means[variable], bottom, fraction))

    def level(which: int):
        return attempt(lambda: jackknife(units(ds, [variable], over), lambda means: _level(means[variable], bottom)[which]))

    energy_unit = unit_of(ds[variable])
    out = labelled(
        "t1",
        attempt(lambda: crossing(1 - left)),
        long_name="end of exploration",
        units=unit,
        definition=f"energy fallen by {left:g} of the descent",
    )
    out |= labelled(
        "t2",
        attempt(lambda: crossing(arrived)),
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
    whole = there[0] - bottom
    return float(there[0]), float((there[-1] - bottom) / whole) if whole > 0 else np.nan


def _excess(energy: Array, bottom: float) -> Array:
    """The part of the descent that is still to go; 1 at the first reading."""
    if not np.isfinite(bottom):
        raise NotEnough("the bottom of this landscape is not known")
    there = energy[np.isfinite(energy)]
    if len(there) and there[0] <= bottom:
        raise NotEnough(f"the first energy, {there[0]:.4g}, is not above the bottom, {bottom:.4g}")
    return (energy - bottom) / (there[0] - bottom) if len(there) else energy


def _step(ds: xr.Dataset, times: Array) -> float:
    """A step on the clock of `times`, where the run counts steps; 0 where its time is continuous."""
    counted = ds["time"].values
    later = np.flatnonzero(counted > 0)
    return float(times[later[0]] / counted[later[0]]) if unit_of(ds["time"]) == "step" and len(later) else 0.0


def _passage(times: Array, energy: Array, bottom: float, fraction: float) -> Passage:
    """When the mean energy comes within a fraction of the descent of the bottom."""
    found, at = passage(times, _excess(energy, bottom), fraction), times[np.isfinite(energy)]
    # from time 0 on a fast descent may be followed between two readings, unless most of it lies there
    if found.second <= fraction and (at[0] > 0 or found.second < 0.5):
        raise NotEnough(f"passed before the second reading, at time {at[1]:g}: measure the energy earlier")
    return found
