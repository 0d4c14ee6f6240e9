"""When a descent has left where it began, and when it has come to the bottom."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from glassyrun.analysis.labels import attempt, dataset, each, labelled, unit_of
from glassyrun.analysis.passage import Passage, estimated, passage
from glassyrun.analysis.trajectories import Array, NotEnough, Over, jackknife, units
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
    `arrived`·A of the bottom. The mean energy is made monotone, so that noise neither makes a crossing early nor several of one,
    and followed between two readings as `glassyrun.analysis.passage` says; how far that is a guess is part of the interval.

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
        return attempt(lambda: estimated(units(ds, [variable], over), lambda m: _passage(times, m[variable], bottom, fraction)))

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


def _excess(energy: Array, bottom: float) -> Array:
    """The part of the descent that is still to go; 1 at the first reading."""
    there = energy[np.isfinite(energy)]
    if len(there) and there[0] <= bottom:
        raise NotEnough(f"the first energy, {there[0]:.4g}, is not above the bottom, {bottom:.4g}")
    return (energy - bottom) / (there[0] - bottom) if len(there) else energy


def _passage(times: Array, energy: Array, bottom: float, fraction: float) -> Passage:
    """When the mean energy comes within a fraction of the descent of the bottom."""
    found, at = passage(times, _excess(energy, bottom), fraction), times[np.isfinite(energy)]
    # from time 0 on a fast descent may be followed between two readings, unless most of it lies there
    if found.second <= fraction and (at[0] > 0 or found.second < 0.5):
        raise NotEnough(f"passed before the second reading, at time {at[1]:g}: measure the energy earlier")
    return found
