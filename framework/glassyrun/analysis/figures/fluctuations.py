"""Fluctuations between trajectories, and displacements that are not Gaussian."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes

from glassyrun.look import Shades, band, kind, label, legend_above, logarithmic, new_axes, number


def chi4(found: xr.Dataset, ax: Axes | None = None, *, t_w: float) -> Axes:
    """χ₄ against t at one waiting time, one curve a source, with intervals.

    Args:
        found: what `chi4(ds)` gave.
    """
    axes = ax or new_axes()
    one = found.sel(t_w=t_w, method="nearest")
    one = one.isel(t=one.t.values > 0)
    for place, source in enumerate(found.source.values):
        part = one.sel(source=source)
        if not bool(part["chi4"].notnull().any()):
            continue
        axes.plot(one.t, part["chi4"], **kind(place), label=str(source))
        band(axes, one.t, part["chi4_interval"], kind(place)["color"])
    axes.axhline(0, color="0.6", linewidth=0.6)
    logarithmic(axes, "x")
    axes.set(xlabel=label(one.t), ylabel=rf"$\chi_4(t_w, t_w + t)$, $t_w = {number(float(one.t_w))}$")
    legend_above(axes, 3)
    return axes


def alpha2(found: xr.Dataset, ax: Axes | None = None) -> Axes:
    """α₂ against t with its interval, one curve a waiting time; 0 is a Gaussian.

    Args:
        found: what `alpha2(ds)` gave.
    """
    axes = ax or new_axes()
    found = found.isel(t=found.t.values > 0)
    measured = [float(t_w) for t_w in found.t_w.values if bool(found["alpha2"].sel(t_w=t_w).notnull().any())]
    shades = Shades.of(measured)
    for t_w in measured:
        axes.plot(found.t, found["alpha2"].sel(t_w=t_w), **shades.line(t_w))
        band(axes, found.t, found["alpha2_interval"].sel(t_w=t_w), shades(t_w), alpha=0.12)
    axes.axhline(0, color="0.6", linewidth=0.6)
    logarithmic(axes, "x")
    axes.set(xlabel=label(found.t), ylabel=r"$\alpha_2(t_w, t_w + t)$")
    if 0 in measured:
        axes.legend(loc="best")
    if any(t_w > 0 for t_w in measured):
        shades.bar(axes, label(found.t_w))
    return axes
