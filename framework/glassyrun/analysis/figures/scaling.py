"""Curves of several temperatures or sizes brought onto one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from glassyrun.analysis.superposition import row_of
from glassyrun.analysis.trajectories import units
from glassyrun.look import KINDS, kind, legend_above, logarithmic, mean, new_axes, number, plain


def superposition(
    ds: xr.Dataset,
    found: xr.Dataset,
    ax: Axes | None = None,
    *,
    along: str = "temperature",
    variable: str = "overlap",
    t_w: float | None = None,
    window: tuple[float, float] = (0.05, 0.9),
) -> Axes:
    """A correlation, as a part of that at lag 0, against t/a: one curve a temperature, within the dotted window fitted to one another.

    Args:
        ds, found: what `superposition(ds, along, variable=, t_w=, window=)` was given and gave.
    """
    axes = ax or new_axes()
    curves = mean(ds[variable]).transpose("t_w", along, "t")
    curves = curves.isel(t_w=row_of(curves.values, curves.t_w.values, t_w))
    curves = (curves / curves.isel(t=0)).isel(t=curves.t.values > 0)
    for place, value in enumerate(ds[along].values):
        shift = float(found["shift"][place])
        stretched = curves.t / (shift if np.isfinite(shift) else 1.0)
        told = f"$T = {number(float(value))}$" + (f", $a = {number(shift)}$" if np.isfinite(shift) else "")
        axes.plot(stretched, curves.isel({along: place}), **kind(place), label=told)
    for level in window:
        axes.axhline(level, color="0.5", linewidth=0.6, linestyle=":")
    logarithmic(axes, "x")
    axes.set(xlabel="$t / a(T)$", ylabel=f"{plain(variable)}, part of that at $t = 0$")
    axes.set_title(f"$t_w = {number(float(curves.t_w))}$, misfit {float(found['misfit']):.2g}")
    axes.legend(loc="best")
    return axes


def finite_size(
    runs: Sequence[xr.Dataset],
    found: xr.Dataset,
    ax: Axes | None = None,
    *,
    time: float,
    variable: str = "energy",
    exponent: float | None = None,
) -> Axes:
    """A variable at one time against N^{−a}: mean and standard error of each size, the law, and its limit with its interval at 0.

    Args:
        found: what `finite_size(runs, exponent=exponent)` gave.
        exponent: a; by default the one that was fitted, or 1.
    """
    axes = ax or new_axes()
    if exponent is None:
        exponent = float(found["exponent"]) if "exponent" in found else 1.0
    powers, means, errors = np.zeros((3, len(runs)))
    for place, run in enumerate(runs):
        at = int(np.abs(run.time.values - time).argmin())
        values = units(run, [variable]).filled(variable)[:, at]
        powers[place] = float(run.attrs["degrees_of_freedom"]) ** -exponent
        means[place], errors[place] = values.mean(), values.std(ddof=1) / len(values) ** 0.5
    dot: dict[str, Any] = {"markersize": 4, "linestyle": "", "capsize": 2}
    axes.errorbar(powers, means, errors, color=KINDS[0], marker="o", label="runs, standard error", **dot)
    one = found.sel(time=time, method="nearest")
    limit = float(one["limit"])
    reach = np.abs(one["limit_interval"].values - limit)[:, None]
    axes.errorbar([0], [limit], reach, color=KINDS[1], marker="s", label=r"$N \to \infty$, 95 %", **dot)
    x = np.array([0, powers.max()])
    axes.plot(x, limit + float(one["amplitude"]) * x, color="0.4", linewidth=0.8, linestyle="--")
    axes.set(xlabel="$1/N$" if exponent == 1 else f"$N^{{-{exponent:.3g}}}$")
    axes.set(ylabel=f"{plain(variable)} at time ${number(float(one.time))}$")
    axes.locator_params(axis="x", nbins=4)
    legend_above(axes)
    return axes
