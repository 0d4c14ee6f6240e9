"""How two-time functions depend on the waiting time, each beside what a quadratic energy gives."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from glassyrun.analysis.null_model import NullModel
from glassyrun.analysis.of_spec import warmest
from glassyrun.analysis.trajectories import Array
from glassyrun.look import DELTA, KINDS, Shades, family, label, legend_above, logarithmic, mean, new_axes, plain, positive

WARM = "no null model: its closed form is of T = 0; give a run of it at this temperature, with --null"


def aging(
    ds: xr.Dataset,
    found: xr.Dataset,
    ax: Axes | None = None,
    *,
    variable: str = "msd",
    null: NullModel | xr.Dataset | None = None,
    normalised: bool | None = None,
) -> Axes:
    """Δ against t/t_w^μ, one curve a waiting time, and dashed the null model with its own μ.

    Where μ is not determined that axis has no meaning: Δ is drawn against t, alone, and the reason stands above.

    Args:
        found: what `aging(ds)` gave.
        null: that which `aging` was given; the closed form, that of T = 0, is not drawn beside a run at a temperature.
        normalised: divide each curve by its value at a scaled lag that all curves have, so that curves with an amplitude of
            their own can be compared, by default where they were fitted so; otherwise the null model, whose amplitude is
            arbitrary, is given one factor, that which brings it closest.
    """
    axes = ax or new_axes()
    curves = _later(mean(ds[variable]))
    shades = Shades.of(positive(curves))
    name = DELTA if variable == "msd" else plain(curves.attrs.get("long_name", variable))
    logarithmic(axes, "x", "y")
    if not np.isfinite(float(found["mu"])):
        family(axes, curves)
        axes.plot([], [], color="0.3", label="measured")
        axes.set(xlabel=label(curves.t), ylabel=name)
        legend_above(axes, 1, f"μ is not determined: {_reason(found, 'mu')}")
        return axes
    drawn = {"mu": curves}
    lacking = _lacking(ds, found, null)
    if not lacking:
        drawn["mu_null"] = _expected(curves, variable, null)
    normalised = found["mu"].attrs.get("amplitude") == "free" if normalised is None else normalised
    relative = {which: _scaled(data, float(found[which])) for which, data in drawn.items()} if normalised else {}
    whole = {which: data for which, data in relative.items() if data is not None}
    apart = len(whole) < len(relative)
    if normalised and not apart:
        drawn = whole
    elif "mu_null" in drawn:
        drawn["mu_null"] = drawn["mu_null"] * _factor(curves, drawn["mu_null"])
    if "mu_null" in drawn:
        family(axes, drawn["mu_null"], shades=shades, shift=float(found["mu_null"]), linestyle="--", linewidth=0.8)
    family(axes, drawn["mu"], shift=float(found["mu"]))
    for which, source, linestyle in (("mu", "measured", "-"), ("mu_null", "null model", "--")):
        if which in drawn:
            axes.plot([], [], color="0.3", linestyle=linestyle, label=f"{source}, {_told(found, which)}")
    axes.set(xlabel=r"$t / t_w^\mu$", ylabel=f"{name}, scaled" if normalised and not apart else name)
    notes = [lacking, "heights are not scaled: no t/t_w^μ lies on all curves; take a narrower window of t_w" if apart else ""]
    legend_above(axes, 1, "; ".join(filter(None, notes)))
    return axes


def _later(curves: xr.DataArray) -> xr.DataArray:
    """Without the times 0, which logarithmic axes do not have."""
    return curves.isel(t=curves.t.values > 0, t_w=curves.t_w.values > 0)


def _lacking(ds: xr.Dataset, found: xr.Dataset, null: NullModel | xr.Dataset | None) -> str:
    """Why the null model is not drawn, or nothing."""
    if null is None and warmest(ds):
        return WARM
    return "" if np.isfinite(float(found["mu_null"])) else f"null model: {_reason(found, 'mu_null')}"


def _reason(found: xr.Dataset, name: str) -> str:
    return plain(str(found[name].attrs.get("reason", "the data do not determine it")).partition("\n")[0])


def _expected(curves: xr.DataArray, variable: str, null: NullModel | xr.Dataset | None) -> xr.DataArray:
    """The null model: a run of it at the waiting times that are drawn, or its closed form where there are readings."""
    if isinstance(null, xr.Dataset):
        run = _later(mean(null[variable]))
        return run.isel(t_w=(run.t_w.values >= float(curves.t_w.min())) & (run.t_w.values <= float(curves.t_w.max())))
    flow = [curves.coords.get(f"{dim}_flow", curves[dim]).values.astype(float) for dim in ("t_w", "t")]
    expected = xr.DataArray((null or NullModel()).msd(*flow), dims=("t_w", "t"), coords={"t_w": curves.t_w, "t": curves.t})
    return expected.where(curves.notnull())


def _factor(curves: xr.DataArray, expected: xr.DataArray) -> float:
    """What brings the null model closest, in logarithms."""
    both = (curves / expected).where((curves > 0) & (expected > 0))
    return float(np.exp(np.log(both).mean()))


def _told(found: xr.Dataset, name: str) -> str:
    """An exponent and its interval, where it has one."""
    low, high = found[f"{name}_interval"].values
    reach = f" ({low:.2f} to {high:.2f})" if high > low else ""
    return rf"$\mu = {float(found[name]):.2f}${reach}"


def _scaled(curves: xr.DataArray, shift: float) -> xr.DataArray | None:
    """Each curve [t_w, t] as a part of its value at one scaled lag t/t_w^shift that all of them have, if there is one."""
    curves = curves.transpose("t_w", "t").where(curves > 0)
    x = xr.DataArray(np.log((curves.t / curves.t_w**shift).transpose("t_w", "t").values), dims=("t_w", "t")).where(
        curves.notnull()
    )
    low, high = float(x.min("t").max()), float(x.max("t").min())
    if not low < high:
        return None
    logs = np.log(curves.values)
    there = np.isfinite(logs)
    middle = 0.5 * (low + high)
    heights = [
        np.exp(np.interp(middle, a[g], b[g])) if g.any() else np.nan for a, b, g in zip(x.values, logs, there, strict=True)
    ]
    return curves / xr.DataArray(np.array(heights), dims="t_w", coords={"t_w": curves.t_w})


def relaxation(
    ds: xr.Dataset,
    found: xr.Dataset,
    ax: Axes | None = None,
    *,
    level: float = 1 / np.e,
    null: NullModel | xr.Dataset | None = None,
) -> Axes:
    """τ(t_w) with its interval, and dashed the time at which the overlap of the null model falls to the same level.

    Args:
        ds: the run, for its clock.
        found: what `relaxation_time(ds, level=level)` gave.
        level: that of `found`.
        null: what `relaxation_time` gave of a run of the null model, or its closed form, by default of exponent ½ and cutoff 1 per
            unit of flow time; late after the start it gives τ ∝ t_w. It is that of T = 0, and not drawn by default beside a
            run at a temperature.
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
    lacking = WARM if null is None and warmest(ds) else ""
    if not lacking:
        waited, expected = _null_relaxation(ds, level, null)
        axes.plot(waited, expected, color="0.3", linestyle="--", linewidth=1, label="null model")
    logarithmic(axes, "x", "y")
    axes.set(xlabel=label(ds.t_w), ylabel=label(ds.t).replace("$t$", r"$\tau(t_w)$"))
    legend_above(axes, note=lacking)
    return axes


def _null_relaxation(ds: xr.Dataset, level: float, null: NullModel | xr.Dataset | None) -> tuple[Array, Array]:
    """Waiting times, and the relaxation times of the null model there."""
    if isinstance(null, xr.Dataset):
        later = null.t_w.values > 0
        return null.t_w.values[later], null["tau"].values[later]
    waited = np.geomspace(ds.t_w.values[ds.t_w.values > 0].min(), ds.t_w.values.max(), 40)
    flow = np.interp(waited, ds.t_w.values, ds.coords.get("t_w_flow", ds.t_w).values.astype(float))
    unit = ds.t.values[-1] / ds.coords.get("t_flow", ds.t).values[-1]
    return waited, unit * _null_times(null or NullModel(), flow, level)


def _null_times(null: NullModel, t_w: Array, level: float) -> Array:
    """When the overlap of the null model has fallen to a part of its value at lag 0; it falls as (1 + t/2t_w)^−(a+1) at late times."""
    lags = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 2001)])
    times: list[float] = []
    for waited in t_w:
        t = lags * (waited + 1 / null.cutoff)
        overlap = null.overlap(np.array([waited]), t)[0]
        times.append(float(np.interp(-level, -overlap / overlap[0], t)))
    return np.array(times)
