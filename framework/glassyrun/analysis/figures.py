"""One figure a function: axes in, or none, and axes out; what is drawn are results of the analysis, with their intervals.

Colours are those of Okabe and Ito for kinds and viridis without its yellow end for waiting times: both are told apart by readers with
any colour vision. `with figures.style():` sets fonts and sizes for print; nothing needs TeX.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm

from glassyrun.analysis.null_model import NullModel
from glassyrun.analysis.trajectories import Array
from glassyrun.plot import STYLE

KINDS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES = ["-", "--", "-.", ":"]


def style() -> AbstractContextManager[None]:
    """The look of printed figures, of one column (86 mm): vector output, text as text."""
    return mpl.rc_context({**STYLE, "figure.figsize": (3.4, 2.7), "pdf.fonttype": 42, "legend.fontsize": 7, "axes.titlesize": 9})


def regimes(ds: xr.Dataset, found: xr.Dataset, ax: Axes | None = None, *, variable: str = "energy") -> Axes:
    """Energy above the bottom against time, on logarithmic axes, with t₁ and t₂ and their intervals.

    Args:
        found: what `regimes(ds)` gave.
    """
    axes = ax or _axes()
    excess = (_mean(ds[variable]) - float(found["bottom"])).where(ds.time > 0)
    axes.plot(ds.time, excess.where(excess > 0), color=KINDS[0])
    axes.set(xscale="log", yscale="log", xlabel="time", ylabel=f"{variable} above the bottom")
    for name, label, colour in (("t1", "t₁", KINDS[2]), ("t2", "t₂", KINDS[1])):
        value = float(found[name])
        if np.isfinite(value):
            low, high = found[f"{name}_interval"].values
            axes.axvspan(low, high, color=colour, alpha=0.25, linewidth=0)
            axes.axvline(value, color=colour, linestyle="--", linewidth=1, label=f"{label} = {value:.3g}")
        else:
            axes.plot(
                [],
                [],
                " ",
                label=f"{label}: not reached" if "not reached" in found[name].attrs.get("reason", "") else f"{label}: –",
            )
    axes.legend(loc="lower left")
    return axes


def collapse(ds: xr.Dataset, found: xr.Dataset, ax: Axes | None = None, *, after: float = 0.0, scaled: bool = True) -> Axes:
    """Δ(t_w, t_w+t)/D(t_w), or Δ itself, against t for waiting times from `after` on; the spread is written in.

    Args:
        found: what `rescale_by_noise(ds)` gave.
    """
    axes = ax or _axes()
    curves = found["rescaled"] if scaled else _mean(ds["msd"])
    curves = curves.isel(t=curves.t.values > 0, t_w=(curves.t_w.values >= after) & (curves.t_w.values > 0))
    _family(axes, curves)
    axes.set(xscale="log", yscale="log", xlabel="t", ylabel="Δ(t_w, t_w + t) / D(t_w)" if scaled else "Δ(t_w, t_w + t)")
    spread = found["spread"].sel(regime="after", scaling="noise" if scaled else "constant")
    if np.isfinite(float(spread)):
        axes.text(0.04, 0.94, f"spread {float(spread):.2f}", transform=axes.transAxes, va="top")
    return axes


def aging(
    ds: xr.Dataset,
    found: xr.Dataset,
    ax: Axes | None = None,
    *,
    variable: str = "msd",
    null: NullModel | None = None,
    normalised: bool = True,
) -> Axes:
    """Δ against t/t_w^μ, one curve a waiting time, and dashed the null model on the same times with its own μ.

    Args:
        found: what `aging(ds)` gave.
        null: the model that `aging` was given.
        normalised: divide each curve by its largest value, so that curves with an amplitude of their own can be compared.
    """
    axes = ax or _axes()
    curves = _mean(ds[variable])
    curves = curves.isel(t=curves.t.values > 0, t_w=curves.t_w.values > 0)
    flow = [curves.coords.get(f"{dim}_flow", curves[dim]).values.astype(float) for dim in ("t_w", "t")]
    expected = xr.DataArray((null or NullModel()).msd(*flow), dims=("t_w", "t"), coords={"t_w": curves.t_w, "t": curves.t})
    expected = expected.where(curves.notnull())
    for data, mu, dashed in ((expected, found["mu_null"], True), (curves, found["mu"], False)):
        last = data.max("t") if normalised else xr.ones_like(data.t_w)
        exponent = float(mu) if np.isfinite(float(mu)) else 0.0
        _family(
            axes, data / last, bar=not dashed, shift=exponent, linestyle="--" if dashed else "-", linewidth=0.8 if dashed else 1.4
        )
    for linestyle, label, mu in (("-", "measured", found["mu"]), ("--", "null model", found["mu_null"])):
        told = f"μ = {float(mu):.2f}" if np.isfinite(float(mu)) else "μ not determined"
        axes.plot([], [], color="0.3", linestyle=linestyle, label=f"{label}, {told}")
    axes.set(xscale="log", yscale="log", xlabel="t / t_w^μ", ylabel="Δ / max Δ" if normalised else "Δ(t_w, t_w + t)")
    axes.legend(loc="lower right")
    return axes


def fdt(found: xr.Dataset, ax: Axes | None = None, *, temperature: float) -> Axes:
    """Tχ against C with its interval, one curve a waiting time, and the line of slope −1 of equilibrium.

    Args:
        found: what `fdt(ds)` gave.
    """
    axes = ax or _axes()
    dim = "t_w" if "t_w" in found["chi"].dims else "end"
    curves, bounds = temperature * found["chi"], temperature * found["chi_interval"]
    for number in range(found.sizes[dim]):
        colour, linestyle = KINDS[number % len(KINDS)], DASHES[number // len(KINDS) % len(DASHES)]
        one = {dim: number}
        axes.plot(
            found.level, curves.isel(one), color=colour, linestyle=linestyle, label=f"{dim} = {float(found[dim][number]):g}"
        )
        low, high = (bounds.isel(one).sel(bound=bound) for bound in ("low", "high"))
        axes.fill_between(found.level, low, high, color=colour, alpha=0.2, linewidth=0)
    level = np.array([float(found.level.min()), 1.0])
    axes.plot(level, 1 - level, color="0.4", linewidth=0.8, linestyle=":", label="equilibrium")
    axes.set(xlabel="C", ylabel="T χ")
    axes.legend(loc="upper right")
    return axes


def chi4(found: xr.Dataset, ax: Axes | None = None, *, t_w: float) -> Axes:
    """χ₄ against t at one waiting time, one curve a source, with intervals.

    Args:
        found: what `chi4(ds)` gave.
    """
    axes = ax or _axes()
    one = found.sel(t_w=t_w, method="nearest")
    one = one.isel(t=one.t.values > 0)
    for number, source in enumerate(found.source.values):
        part = one.sel(source=source)
        if not bool(part["chi4"].notnull().any()):
            continue
        axes.plot(one.t, part["chi4"], color=KINDS[number], linestyle=DASHES[number], label=str(source))
        low, high = (part["chi4_interval"].sel(bound=bound) for bound in ("low", "high"))
        axes.fill_between(one.t, low, high, color=KINDS[number], alpha=0.2, linewidth=0)
    axes.axhline(0, color="0.6", linewidth=0.6)
    axes.set(xscale="log", xlabel="t", ylabel="χ₄", title=f"t_w = {float(one.t_w):g}")
    axes.legend(loc="upper left")
    return axes


def side_by_side(found: xr.Dataset, ax: Axes | None = None, *, variable: str = "energy_fallen") -> Axes:
    """A variable over time of several systems on flow time, with intervals; `energy_fallen` is the part of the way that each has gone.

    Args:
        found: what `compare(...)` gave.
    """
    axes = ax or _axes()
    for number, system in enumerate(found.system.values):
        part = found.sel(system=system)
        axes.plot(
            found.time,
            part[variable],
            color=KINDS[number % len(KINDS)],
            linestyle=DASHES[number % len(DASHES)],
            label=str(system),
        )
        low, high = (part[f"{variable}_interval"].sel(bound=bound) for bound in ("low", "high"))
        axes.fill_between(found.time, low, high, color=KINDS[number % len(KINDS)], alpha=0.2, linewidth=0)
    label = "part of the way gone" if variable.endswith("_fallen") else str(found[variable].attrs.get("long_name", variable))
    axes.set(xscale="log", xlabel="flow time α·step/(1−β), t", ylabel=label)
    axes.legend(loc="best")
    return axes


def finite_size(
    runs: Sequence[xr.Dataset],
    found: xr.Dataset,
    ax: Axes | None = None,
    *,
    time: float,
    variable: str = "energy",
    exponent: float = 1.0,
) -> Axes:
    """A variable at one time against N^{−a}: mean and standard error of each size, the law, and its limit with its interval at 0.

    Args:
        found: what `finite_size(runs, exponent=exponent)` gave.
    """
    axes = ax or _axes()
    powers: list[float] = []
    means: list[float] = []
    errors: list[float] = []
    for run in runs:
        values = run[variable].sel(time=time, method="nearest").mean("replica")
        powers.append(float(run.attrs["degrees_of_freedom"]) ** -exponent)
        means.append(float(values.mean()))
        errors.append(float(values.std(ddof=1)) / values.size**0.5)
    axes.errorbar(
        powers, means, errors, color=KINDS[0], marker="o", markersize=4, linestyle="", capsize=2, label="runs, standard error"
    )
    one = found.sel(time=time, method="nearest")
    low, high = one["limit_interval"].values
    limit = float(one["limit"])
    axes.errorbar(
        [0], [limit], [[limit - low], [high - limit]], color=KINDS[1], marker="s", markersize=4, capsize=2, label="N → ∞, 95 %"
    )
    x = np.array([0, max(powers)])
    axes.plot(x, limit + float(one["amplitude"]) * x, color="0.4", linewidth=0.8, linestyle="--")
    axes.set(xlabel="1/N" if exponent == 1 else f"N^(−{exponent:g})", ylabel=f"{variable} at time {float(one.time):g}")
    axes.legend(loc="best")
    return axes


def _axes() -> Axes:
    return plt.subplots(layout="constrained")[1]


def _mean(array: xr.DataArray) -> xr.DataArray:
    return array.mean([dim for dim in ("sample", "replica") if dim in array.dims])


def _family(axes: Axes, curves: xr.DataArray, *, bar: bool = True, shift: float = 0.0, **line: object) -> None:
    """One curve a waiting time, coloured by it, against t/t_w^shift."""
    measured = [float(t_w) for t_w in curves.t_w.values if bool((curves.sel(t_w=t_w) > 0).any())]
    if not measured:
        return
    shades = LinearSegmentedColormap.from_list("waiting", mpl.colormaps["viridis"](np.linspace(0, 0.9, 256)))
    norm = LogNorm(min(measured), max(measured) if len(measured) > 1 else 10 * min(measured))
    for t_w in measured:
        curve: Array = curves.sel(t_w=t_w).values
        axes.plot(curves.t / t_w**shift, np.where(curve > 0, curve, np.nan), color=shades(float(norm(t_w))), **line)  # type: ignore[arg-type]
    if bar:
        axes.figure.colorbar(ScalarMappable(norm, shades), ax=axes, pad=0.02).ax.set_title("t_w", fontsize="medium")
