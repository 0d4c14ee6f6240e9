"""Response against correlation, and effective temperatures."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from glassyrun.look import KINDS, Shades, band, label, legend_above, logarithmic, new_axes


def fdt(found: xr.Dataset, ax: Axes | None = None, *, temperature: float) -> Axes:
    """Tχ against C with its interval, one curve a waiting time, and the line of slope −1 of equilibrium.

    Args:
        found: what `fdt(ds)` gave.
    """
    axes = ax or new_axes()
    dim = "t_w" if "t_w" in found["chi"].dims else "end"
    curves, bounds = temperature * found["chi"], temperature * found["chi_interval"]
    measured = [float(value) for value in found[dim].values if bool(curves.sel({dim: value}).notnull().any())]
    shades = Shades.of(measured)
    for value in measured:
        axes.plot(found.level, curves.sel({dim: value}), **shades.line(value))
        band(axes, found.level, bounds.sel({dim: value}), shades(value))
    level = np.array([float(found.level.min()), 1.0])
    axes.plot(level, 1 - level, color="0.4", linewidth=0.8, linestyle=":", label="equilibrium")
    axes.set(xlabel="$C$", ylabel=r"$T \chi$")
    axes.legend(loc="upper right")
    if any(value > 0 for value in measured):
        shades.bar(axes, label(found[dim]))
    return axes


def effective_temperature(found: xr.Dataset, ax: Axes | None = None, *, temperature: float) -> Axes:
    """T/X with its interval against the waiting time, and the temperature of the bath; a triangle where there is no upper end.

    Args:
        found: what `fdt(ds, window=...)` gave.
    """
    axes = ax or new_axes()
    dim = "t_w" if "t_w" in found["effective_temperature"].dims else "end"
    there = (found[dim].values > 0) & np.isfinite(found["effective_temperature"].values)
    at, value = found[dim].values[there], found["effective_temperature"].values[there]
    bounds = found["effective_temperature_interval"].values[there]
    open_end, top = np.isinf(bounds[:, 1]), 2 * np.max(np.append(bounds[np.isfinite(bounds)], value), initial=temperature)
    reach = np.abs(np.where(np.isinf(bounds), top, bounds) - value[:, None]).T
    axes.plot(at[open_end], np.full(open_end.sum(), top), "^", color=KINDS[0], markersize=5)
    axes.errorbar(at, value, reach, color=KINDS[0], marker="o", markersize=4, linestyle="", capsize=2, label="$T/X$")
    axes.axhline(temperature, color="0.4", linewidth=0.8, linestyle=":", label="bath")
    logarithmic(axes, "x", "y")
    axes.set(xlabel=label(found[dim]), ylabel=r"$T_\mathrm{eff}$")
    legend_above(axes)
    return axes
