"""Figures of a result: energy against time and the two-time mean-square displacement.

Each function takes a dataset and, if wished, axes to draw on, and gives the axes back.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure

from glassyrun import result
from glassyrun.errors import StorageError
from glassyrun.files import storage

STYLE: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "glassyrun",
}
COLOURS = "viridis"


def energy(ds: xr.Dataset, ax: Axes | None = None, *, variable: str = "energy", ylabel: str | None = None) -> Axes:
    """Energy, or another variable over `time`, against time: the mean over samples and replicas, a band of one standard deviation between them.

    The time axis is logarithmic, so time 0 is not on it.
    """
    axes = ax or _axes()
    _curve(axes, ds[variable], "time", ylabel)
    return axes


def waiting(ds: xr.Dataset, variable: str, ax: Axes | None = None, *, ylabel: str | None = None) -> Axes:
    """A variable over waiting times, such as `gradient_noise`, on logarithmic axes: mean and a band of one standard deviation.

    Waiting time 0 is not on the axis.
    """
    axes = ax or _axes()
    _curve(axes, ds[variable], "t_w", ylabel)
    axes.set_yscale("log")
    return axes


def _curve(axes: Axes, data: xr.DataArray, along: str, ylabel: str | None) -> None:
    """The mean over samples and replicas along a logarithmic axis, and their spread."""
    data = data.isel({along: data[along].values > 0})
    runs = [dim for dim in ("sample", "replica") if dim in data.dims]
    mean = data.mean(runs)
    (line,) = axes.plot(data[along], mean)
    if int(np.prod([data.sizes[dim] for dim in runs])) > 1:
        spread = data.std(runs, ddof=1)
        axes.fill_between(data[along], mean - spread, mean + spread, color=line.get_color(), alpha=0.25, linewidth=0)
    axes.set_xscale("log")
    axes.set_xlabel(_label(data[along]))
    axes.set_ylabel(ylabel or str(data.attrs.get("long_name", data.name)))


def msd(ds: xr.Dataset, ax: Axes | None = None, *, variable: str = "msd") -> Axes:
    """Δ(t_w, t_w+t) against t on logarithmic axes, one curve a waiting time, the spread of replicas as a band."""
    return two_time(ds, variable, ax, log=True, ylabel="Δ(t_w, t_w + t)")


def overlap(ds: xr.Dataset, ax: Axes | None = None, *, variable: str = "overlap") -> Axes:
    """C(t_w, t_w+t) against t, one curve a waiting time."""
    return two_time(ds, variable, ax, log=False, ylabel="C(t_w, t_w + t)")


def two_time(ds: xr.Dataset, variable: str, ax: Axes | None = None, *, log: bool, ylabel: str | None = None) -> Axes:
    """Any variable over (t_w, t) against t: one curve a waiting time, coloured by it, with a colour bar."""
    axes = ax or _axes()
    data = ds[variable]
    runs = [dim for dim in ("sample", "replica") if dim in data.dims]
    several = int(np.prod([data.sizes[dim] for dim in runs])) > 1
    data = data.isel(t=data.t.values > 0)
    measured = [float(t_w) for t_w in data.t_w.values if bool(data.sel(t_w=t_w).notnull().any())]
    norm, colours = _norm(measured), _colours()
    for t_w in measured:
        curve = data.sel(t_w=t_w)
        mean = curve.mean(runs)
        shade = colours(float(norm(t_w))) if t_w > 0 else "black"  # zero has no place on a logarithmic colour bar
        style: dict[str, Any] = {"color": shade, "marker": ".", "markersize": 3}
        axes.plot(data.t, mean, **style if t_w > 0 else {**style, "linestyle": "--", "label": "t_w = 0"})
        if several:
            spread = curve.std(runs, ddof=1)
            low = (mean - spread).clip(min=float(mean.where(mean > 0).min()) / 10) if log else mean - spread
            axes.fill_between(data.t, low, mean + spread, color=shade, alpha=0.15, linewidth=0)
    if 0 in measured:
        axes.legend(loc="best", handlelength=1.8)
    axes.set_xscale("log")
    if log:
        axes.set_yscale("log")
    axes.set_xlabel(_label(data.t))
    axes.set_ylabel(ylabel or str(data.attrs.get("long_name", variable)))
    if any(t_w > 0 for t_w in measured):
        bar = axes.figure.colorbar(ScalarMappable(norm, colours), ax=axes, pad=0.02)
        bar.ax.set_title("t_w", fontsize="medium")
    return axes


def summary(ds: xr.Dataset) -> Figure:
    """What a run shows at a glance: energy, Δ(t_w, t_w+t), then test accuracy and gradient noise, or C(t_w, t_w+t) where there is no test."""
    panels: dict[str, Callable[[Axes], object]] = {
        "energy": lambda ax: energy(ds, ax),
        "msd": lambda ax: msd(ds, ax),
        "overlap": lambda ax: overlap(ds, ax),
        "test_accuracy": lambda ax: energy(ds, ax, variable="test_accuracy", ylabel="test accuracy"),
        "gradient_noise": lambda ax: waiting(ds, "gradient_noise", ax, ylabel="gradient noise D(t_w)"),
    }
    shown = [draw for name, draw in panels.items() if name in ds and not (name == "overlap" and "test_accuracy" in ds)]
    shown = [draw for draw in shown if draw is not panels["gradient_noise"] or "t_w" in ds.gradient_noise.dims]
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(4.1 * max(len(shown), 1), 3.3))
        for number, draw in enumerate(shown, start=1):
            draw(figure.add_subplot(1, len(shown), number))
        title = str(ds.attrs.get("title", ""))
        figure.suptitle(title + ("" if ds.attrs.get("complete", 1) else " (not complete)"), fontsize=10)
        if "warnings" in ds.attrs:
            told = textwrap.shorten(str(ds.attrs["warnings"]), 150, placeholder=" … (attribute `warnings`)")
            figure.supxlabel(told, fontsize=6, color="firebrick")
    return figure


def plot_run(directory: Path, output: Path | None = None, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Writes the summary figure of a run directory, of what is committed so far.

    Raises:
        StorageError: if the directory holds no run or the figure can't be written.
    """
    ds = result.assemble(directory)
    if not any(name in ds for name in ("energy", "msd", "overlap", "test_accuracy", "gradient_noise")):
        raise StorageError(
            f"{directory}: found {', '.join(map(str, ds.data_vars)) or 'nothing measured yet'}, and the summary figure shows "
            "energy, msd, overlap, test accuracy and gradient noise; draw other variables with glassyrun.plot.two_time or xarray"
        )
    if not any(bool(ds[name].notnull().any()) for name in ds.data_vars):
        raise StorageError(f"{directory}: nothing that could be drawn is there: every reading is missing{_why(ds)}")
    figure = summary(ds)
    targets = [output] if output else [directory / f"summary.{suffix}" for suffix in formats]
    try:
        for target in targets:
            with storage("writing", target), mpl.rc_context(STYLE):
                figure.savefig(target, metadata=_stable(target))
    except ValueError as error:
        raise StorageError(f"{targets[0]}: {error}; let the name end in .png, .svg or .pdf") from error
    finally:
        plt.close(figure)
    return targets


def _why(ds: xr.Dataset) -> str:
    return f", because {ds.attrs['damaged']} could not be read; restore it" if "damaged" in ds.attrs else "; let the run go on"


def _stable(target: Path) -> dict[str, None]:
    """Leaves dates out, so that the same result gives the same file."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(target.suffix, {})


def _axes() -> Axes:
    return plt.subplots(layout="constrained")[1]


def _label(coordinate: xr.DataArray) -> str:
    units = coordinate.attrs.get("units", "1")
    symbol = {"time": "time", "t_w": "waiting time t_w", "t": "t"}.get(str(coordinate.name), str(coordinate.name))
    if units == "1":
        return symbol
    return f"{symbol} ({units if ' ' in units else f'{units}s'})"  # "step in sgd, 1 in langevin" is not a word


def _norm(times: Sequence[float]) -> Normalize:
    positive = [time for time in times if time > 0]
    if len(positive) < 2:
        return Normalize(0, max(positive, default=1.0))
    return LogNorm(min(positive), max(positive))


def _colours() -> LinearSegmentedColormap:
    """Viridis without its yellow end, which is hard to see on white."""
    return LinearSegmentedColormap.from_list("waiting", mpl.colormaps[COLOURS](np.linspace(0, 0.9, 256)))
