"""How two-time functions depend on the waiting time, each beside what a quadratic energy gives."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from glassyrun.analysis.null_model import NullModel
from glassyrun.analysis.trajectories import Array
from glassyrun.look import DELTA, KINDS, family, label, legend_above, logarithmic, mean, new_axes, plain


def aging(
    ds: xr.Dataset,
    found: xr.Dataset,
    ax: Axes | None = None,
    *,
    variable: str = "msd",
    null: NullModel | None = None,
    normalised: bool | None = None,
) -> Axes:
    """Δ against t/t_w^μ, one curve a waiting time, and dashed the null model on the same times with its own μ.

    Args:
        found: what `aging(ds)` gave.
        null: the model that `aging` was given.
        normalised: divide each curve by its value at a scaled lag that all curves have, so that curves with an amplitude of
            their own can be compared, by default where they were fitted so; otherwise the null model, whose amplitude is
            arbitrary, is given one factor, that which brings it closest.
    """
    axes = ax or new_axes()
    curves = mean(ds[variable])
    curves = curves.isel(t=curves.t.values > 0, t_w=curves.t_w.values > 0)
    flow = [curves.coords.get(f"{dim}_flow", curves[dim]).values.astype(float) for dim in ("t_w", "t")]
    expected = xr.DataArray((null or NullModel()).msd(*flow), dims=("t_w", "t"), coords={"t_w": curves.t_w, "t": curves.t})
    expected = expected.where(curves.notnull())
    normalised = found["mu"].attrs.get("amplitude") == "free" if normalised is None else normalised
    if not normalised:
        expected = expected * np.exp(np.log((curves / expected).where(curves > 0)).mean())
    for data, mu, dashed in ((expected, found["mu_null"], True), (curves, found["mu"], False)):
        shift = float(mu) if np.isfinite(float(mu)) else 0.0
        scaled = data / _heights(data, shift) if normalised else data
        family(axes, scaled, bar=not dashed, shift=shift, linestyle="--" if dashed else "-", linewidth=0.8 if dashed else 1.4)
    for linestyle, source, name in (("-", "measured", "mu"), ("--", "null model", "mu_null")):
        axes.plot([], [], color="0.3", linestyle=linestyle, label=f"{source}, {_told(found, name)}")
    logarithmic(axes, "x", "y")
    name = DELTA if variable == "msd" else plain(curves.attrs.get("long_name", variable))
    axes.set(xlabel=r"$t / t_w^\mu$", ylabel=f"{name}, scaled" if normalised else name)
    legend_above(axes, 1)
    return axes


def _told(found: xr.Dataset, name: str) -> str:
    """An exponent and its interval, where it has one."""
    if not np.isfinite(float(found[name])):
        return r"$\mu$ not determined: against $t$"
    low, high = found[f"{name}_interval"].values
    reach = f" ({low:.2f} to {high:.2f})" if high > low else ""
    return rf"$\mu = {float(found[name]):.2f}${reach}"


def _heights(curves: xr.DataArray, shift: float) -> xr.DataArray:
    """The value of each curve [t_w] at one scaled lag t/t_w^shift that all of them have; where there is none, its largest."""
    curves = curves.transpose("t_w", "t").where(curves > 0)
    x = xr.DataArray(np.log((curves.t / curves.t_w**shift).transpose("t_w", "t").values), dims=("t_w", "t")).where(
        curves.notnull()
    )
    low, high = float(x.min("t").max()), float(x.max("t").min())
    if not low < high:
        return curves.max("t")
    logs = np.log(curves.values)
    there = np.isfinite(logs)
    middle = 0.5 * (low + high)
    heights = [
        np.exp(np.interp(middle, a[g], b[g])) if g.any() else np.nan for a, b, g in zip(x.values, logs, there, strict=True)
    ]
    return xr.DataArray(np.array(heights), dims="t_w", coords={"t_w": curves.t_w})


def relaxation(
    ds: xr.Dataset, found: xr.Dataset, ax: Axes | None = None, *, level: float = 1 / np.e, null: NullModel | None = None
) -> Axes:
    """τ(t_w) with its interval, and dashed the time at which the overlap of the null model falls to the same level.

    Args:
        ds: the run, for its clock.
        found: what `relaxation_time(ds, level=level)` gave.
        level: that of `found`.
        null: by default exponent ½ and cutoff 1 per unit of flow time; late after the start it gives τ ∝ t_w.
    """
    axes = ax or new_axes()
    there = (found.t_w.values > 0) & np.isfinite(found["tau"].values)
    t_w, tau, interval = found.t_w.values[there], found["tau"].values[there], found["tau_interval"].values[there]
    axes.errorbar(
        t_w,
        tau,
        np.abs(interval - tau[:, None]).T,
        color=KINDS[0],
        marker="o",
        markersize=4,
        linestyle="",
        capsize=2,
        label="measured",
    )
    waited = np.geomspace(ds.t_w.values[ds.t_w.values > 0].min(), ds.t_w.values.max(), 40)
    flow = np.interp(waited, ds.t_w.values, ds.coords.get("t_w_flow", ds.t_w).values.astype(float))
    unit = ds.t.values[-1] / ds.coords.get("t_flow", ds.t).values[-1]
    expected = unit * _null_times(null or NullModel(), flow, level)
    axes.plot(waited, expected, color="0.3", linestyle="--", linewidth=1, label="null model")
    logarithmic(axes, "x", "y")
    axes.set(xlabel=label(ds.t_w), ylabel=label(ds.t).replace("$t$", r"$\tau(t_w)$"))
    legend_above(axes)
    return axes


def _null_times(null: NullModel, t_w: Array, level: float) -> Array:
    """When the overlap of the null model has fallen to a part of its value at lag 0; it falls as (1 + t/2t_w)^−(a+1) at late times."""
    lags = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 2001)])
    times: list[float] = []
    for waited in t_w:
        t = lags * (waited + 1 / null.cutoff)
        overlap = null.overlap(np.array([waited]), t)[0]
        times.append(float(np.interp(-level, -overlap / overlap[0], t)))
    return np.array(times)
