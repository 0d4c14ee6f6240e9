"""Relaxation times of two-time correlations."""

from __future__ import annotations

import numpy as np
import xarray as xr

from glassyrun.analysis.arguments import number
from glassyrun.analysis.labels import attempt, dataset, each, labelled, unit_of
from glassyrun.analysis.passage import Passage, estimated, passage
from glassyrun.analysis.trajectories import Array, Estimate, NotEnough, Over, units


def relaxation_time(
    data: xr.Dataset | xr.DataArray, *, variable: str = "epsilon_overlap", level: float = 1 / np.e, over: Over | None = None
) -> xr.Dataset:
    """τ(t_w), the lag at which a two-time correlation has fallen to a level of its value at lag 0.

    With the ε-overlap this is the usual α-relaxation time (Lačević et al., J. Chem. Phys. 119, 7372 (2003)). The mean curve is
    made monotone and followed between two lags as `glassyrun.analysis.passage` says.

    Args:
        data: with `epsilon_overlap` or `overlap` (sample, replica, t_w, t).

    Returns:
        `tau` [t_w] with intervals, NaN where the level is not reached: the attribute `reason` says for which t_w.
    """
    ds = dataset(data, variable, dims=("t_w", "t"))
    level = number("analysis.relaxation_time", "level", level, 0, 1)

    def one(cell: xr.Dataset) -> xr.Dataset:
        t = cell.t.values.astype(float)
        parts = [
            attempt(lambda row=row: estimated(units(cell, [variable], over), lambda means: fall(t, means[variable][row], level)))
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


def fall(t: Array, curve: Array, level: float) -> Passage:
    """The lag at which a curve has fallen to a fraction of its first value."""
    there = np.isfinite(curve)
    t, curve = t[there], curve[there]
    if len(t) < 4 or t[0] > 0:
        raise NotEnough("lag 0 and three more are needed")
    if not curve[0] > 0:
        raise NotEnough(f"it is {curve[0]:.3g} at lag 0, and what relaxes falls from a positive value there; take a correlation")
    found = passage(t, curve / curve[0], level)
    if found.second <= level:
        raise NotEnough(f"it has fallen already at the shortest lag, {t[1]:g}")
    return found
