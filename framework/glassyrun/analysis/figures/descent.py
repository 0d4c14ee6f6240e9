"""How far an energy has come down: regimes, systems side by side, runs of one α/B."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from glassyrun.analysis.sampling import sampling_of
from glassyrun.analysis.sgd import ratio_of
from glassyrun.look import DASHES, DELTA, KINDS, band, kind, label, legend_above, logarithmic, mean, new_axes, number, plain


def regimes(ds: xr.Dataset, found: xr.Dataset, ax: Axes | None = None, *, variable: str = "energy") -> Axes:
    """Energy above the bottom against time, on logarithmic axes, with t₁ and t₂ and their intervals.

    Args:
        found: what `regimes(ds)` gave.
    """
    axes = ax or new_axes()
    excess = (mean(ds[variable]) - float(found["bottom"])).where(ds.time > 0)
    axes.plot(ds.time, excess.where(excess > 0), color=KINDS[0])
    logarithmic(axes, "x", "y")
    axes.set(xlabel=label(ds.time), ylabel=f"{plain(variable)} above the bottom")
    notes: list[str] = []
    for name, symbol, colour in (("t1", "$t_1$", KINDS[2]), ("t2", "$t_2$", KINDS[1])):
        value = float(found[name])
        if np.isfinite(value):
            low, high = found[f"{name}_interval"].values
            axes.axvspan(low, high, color=colour, alpha=0.25, linewidth=0)
            axes.axvline(value, color=colour, linestyle="--", linewidth=1, label=f"{symbol} = ${number(value)}$")
        else:
            reason = str(found[name].attrs.get("reason", "not determined"))
            short = "not reached" in reason
            axes.plot([], [], " ", label=f"{symbol}: {'not reached' if short else 'not determined'}")
            notes += [] if short else [f"{symbol}: {plain(reason)}"]
    legend_above(axes, note="; ".join(notes))
    return axes


def side_by_side(found: xr.Dataset, ax: Axes | None = None, *, variable: str = "energy_fallen", t_w: float | None = None) -> Axes:
    """A variable of several systems on flow time, with intervals; `energy_fallen` is the part of the way that each has gone.

    Args:
        found: what `compare(...)` gave.
        t_w: the waiting time of a two-time function, along the gradient flow; by default the middle one.
    """
    axes = ax or new_axes()
    curves, interval, along = found[variable], found[f"{variable}_interval"], "time"
    if "t_w" in curves.dims:
        waited = float(found.t_w[found.sizes["t_w"] // 2]) if t_w is None else t_w
        curves, interval, along = curves.sel(t_w=waited, method="nearest"), interval.sel(t_w=waited, method="nearest"), "t"
        axes.set_title(f"$t_w = {number(float(curves.t_w))}$")
        if bool((curves.where(curves.notnull(), 1.0) > 0).all()):
            logarithmic(axes, "y")
            interval = interval.clip(min=float(curves.min()) / 10)
    for place, system in enumerate(found.system.values):
        axes.plot(found[along], curves.sel(system=system), **kind(place), label=plain(system))
        band(axes, found[along], interval.sel(system=system), kind(place)["color"])
    named = str(curves.attrs.get("long_name", variable))
    if variable.endswith("_fallen"):
        named = named.partition(",")[0].replace("gone from", "gone\nfrom")
    flow = r"flow time $\alpha \cdot \mathrm{step}/(1 - \beta)$, $t$"
    logarithmic(axes, "x")
    axes.set(xlabel=flow, ylabel=DELTA if variable == "msd" else plain(named))
    axes.legend(loc="best")
    return axes


def fixed_ratio(runs: Sequence[xr.Dataset], found: xr.Dataset, ax: Axes | None = None, *, variable: str = "energy") -> Axes:
    """A positive variable of runs of SGD on flow time: one colour a ratio α/((1−β)B), one kind of dashes a run of it.

    Above it stand the spreads of log y, at one ratio and of all runs, which must be well apart for the ratio to explain anything.

    Args:
        runs, found: what `fixed_ratio(runs)` was given and gave.
    """
    axes = ax or new_axes()
    ratios = [round(ratio_of(run), 12) for run in runs]
    groups = list(dict.fromkeys(ratios))
    for place, (run, ratio) in enumerate(zip(runs, ratios, strict=True)):
        curve, law = mean(run[variable]), sampling_of(run)
        colour, dashes = KINDS[groups.index(ratio) % len(KINDS)], DASHES[ratios[:place].count(ratio) % len(DASHES)]
        told = rf"$\alpha/((1-\beta)B) = {number(ratio)}$, $B = {law.batch if law else 0}$"
        later = run.time_flow.values > 0
        axes.plot(run.time_flow[later], curve.where(curve > 0)[later], color=colour, linestyle=dashes, label=told)
    spreads = [f"spread at one ratio {float(value):.2f}" for value in found["spread"].values[:1] if np.isfinite(value)]
    spreads += [f"of all {float(found['spread_all']):.2f}"] if np.isfinite(float(found["spread_all"])) else []
    axes.set_title(", ".join(spreads))
    flow = r"flow time $\alpha \cdot \mathrm{step}/(1 - \beta)$"
    logarithmic(axes, "x", "y")
    axes.set(xlabel=flow, ylabel=plain(runs[0][variable].attrs.get("long_name", variable)))
    axes.legend(loc="lower left")
    return axes
