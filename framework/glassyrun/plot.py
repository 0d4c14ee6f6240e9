"""Figures of a result: energy against time and the two-time mean-square displacement.

Each function takes a dataset and, if wished, axes to draw on, and gives the axes back.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassyrun.errors import Refusal, StorageError
from glassyrun.figure_files import draw
from glassyrun.look import DELTA, Shades, label, logarithmic, mean, new_axes, plain
from glassyrun.look import STYLE as STYLE
from glassyrun.spec.problems import listed

SUMMARISED = ("energy", "msd", "overlap", "test_accuracy", "gradient_noise")


def energy(ds: xr.Dataset, ax: Axes | None = None, *, variable: str = "energy", ylabel: str | None = None) -> Axes:
    """Energy, or another variable over `time`, against time: the mean over samples and replicas, a band of one standard deviation between them.

    The time axis is logarithmic, so time 0 is not on it.
    """
    data = _measured(ds, variable, "time")
    axes = ax or new_axes()
    _curve(axes, data, "time", ylabel)
    return axes


def waiting(ds: xr.Dataset, variable: str, ax: Axes | None = None, *, ylabel: str | None = None) -> Axes:
    """A variable over waiting times, such as `gradient_noise`, on logarithmic axes: mean and a band of one standard deviation.

    Waiting time 0 is not on the axis.
    """
    data = _measured(ds, variable, "t_w")
    axes = ax or new_axes()
    _curve(axes, data, "t_w", ylabel)
    logarithmic(axes, "y")
    return axes


def _measured(ds: xr.Dataset, variable: str, *dims: str) -> xr.DataArray:
    """A variable over these dimensions.

    Raises:
        Refusal: if there is none.
    """
    over = [str(name) for name, data in ds.data_vars.items() if set(dims) <= set(data.dims)]
    if variable not in over:
        told = f"{variable} is over {', '.join(map(str, ds[variable].dims))}" if variable in ds else f"there is no {variable}"
        raise Refusal(f"plot: {told}, and this figure is of a variable over {', '.join(dims)}, here {listed(over) or 'none'}")
    return ds[variable]


def _curve(axes: Axes, data: xr.DataArray, along: str, ylabel: str | None) -> None:
    """The mean over samples and replicas along a logarithmic axis, and their spread."""
    data = data.isel({along: data[along].values > 0})
    middle, spread = mean(data), _spread(data)
    (line,) = axes.plot(data[along], middle)
    if spread is not None:
        axes.fill_between(data[along], middle - spread, middle + spread, color=line.get_color(), alpha=0.25, linewidth=0)
    logarithmic(axes, "x")
    axes.set(xlabel=label(data[along]), ylabel=ylabel or plain(data.attrs.get("long_name", data.name)))


def _spread(data: xr.DataArray) -> xr.DataArray | None:
    """The standard deviation over samples and replicas, where there is more than one."""
    runs = [dim for dim in ("sample", "replica") if dim in data.dims]
    return data.std(runs, ddof=1) if int(np.prod([data.sizes[dim] for dim in runs])) > 1 else None


def msd(ds: xr.Dataset, ax: Axes | None = None, *, variable: str = "msd") -> Axes:
    """Δ(t_w, t_w+t) against t on logarithmic axes, one curve a waiting time, the spread of replicas as a band."""
    return two_time(ds, variable, ax, log=True, ylabel=DELTA)


def overlap(ds: xr.Dataset, ax: Axes | None = None, *, variable: str = "overlap") -> Axes:
    """C(t_w, t_w+t) against t, one curve a waiting time."""
    return two_time(ds, variable, ax, log=False, ylabel="$C(t_w, t_w + t)$")


def two_time(ds: xr.Dataset, variable: str, ax: Axes | None = None, *, log: bool, ylabel: str | None = None) -> Axes:
    """Any variable over (t_w, t) against t: one curve a waiting time, coloured by it, with a colour bar."""
    data = _measured(ds, variable, "t_w", "t")
    axes = ax or new_axes()
    data = data.isel(t=data.t.values > 0)
    measured = [float(t_w) for t_w in data.t_w.values if bool(data.sel(t_w=t_w).notnull().any())]
    shades = Shades.of(measured)
    for t_w in measured:
        middle, spread = mean(data.sel(t_w=t_w)), _spread(data.sel(t_w=t_w))
        axes.plot(data.t, middle, marker=".", markersize=3, **shades.line(t_w))
        if spread is not None:
            low = (
                np.maximum(middle - spread, middle / 30) if log else middle - spread
            )  # a mean less its spread may have no logarithm
            axes.fill_between(data.t, low, middle + spread, color=shades(t_w), alpha=0.15, linewidth=0)
    if 0 in measured:
        axes.legend(loc="best", handlelength=1.8)
    logarithmic(axes, "x")
    axes.set(xlabel=label(data.t), ylabel=ylabel or plain(data.attrs.get("long_name", variable)))
    if log:
        logarithmic(axes, "y")
    if any(t_w > 0 for t_w in measured):
        shades.bar(axes, label(data.t_w))
    return axes


def summary(ds: xr.Dataset) -> Figure:
    """What a run shows at a glance: energy, Δ(t_w, t_w+t), then test accuracy and gradient noise, or C(t_w, t_w+t) where there is no test."""
    panels: dict[str, Callable[[Axes], object]] = {
        "energy": lambda ax: energy(ds, ax),
        "msd": lambda ax: msd(ds, ax),
        "overlap": lambda ax: overlap(ds, ax),
        "test_accuracy": lambda ax: energy(ds, ax, variable="test_accuracy", ylabel="test accuracy"),
        "gradient_noise": lambda ax: waiting(ds, "gradient_noise", ax, ylabel="gradient noise $D(t_w)$"),
    }
    shown = [draw for name, draw in panels.items() if name in ds and not (name == "overlap" and "test_accuracy" in ds)]
    shown = [draw for draw in shown if draw is not panels["gradient_noise"] or "t_w" in ds.gradient_noise.dims]
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(4.1 * max(len(shown), 1), 3.3))
        for number, draw in enumerate(shown, start=1):
            draw(figure.add_subplot(1, len(shown), number))
        title = plain(ds.attrs.get("title", ""))
        figure.suptitle(title + ("" if ds.attrs.get("complete", 1) else " (not complete)"), fontsize=10)
        if "warnings" in ds.attrs:
            told = textwrap.shorten(str(ds.attrs["warnings"]), 150, placeholder=" … (attribute `warnings`)")
            figure.supxlabel(plain(told), fontsize=6, color="firebrick")
    return figure


def plot_run(directory: Path, output: Path | None = None, formats: Sequence[str] = ()) -> list[Path]:
    """Writes the summary figure of a run directory, of what is committed so far.

    Raises:
        StorageError: if the directory holds no run or the figure can't be written.
    """
    return list(draw("summary", [directory], output, formats))


def check_summary(ds: xr.Dataset) -> None:
    """Whether there is anything that a summary shows.

    Raises:
        StorageError: if not.
    """
    if not any(name in ds for name in SUMMARISED):
        raise StorageError(
            f"found {', '.join(map(str, ds.data_vars)) or 'nothing measured yet'}, and it shows energy, msd, overlap, test accuracy "
            "and gradient noise; draw other variables with glassyrun.plot.two_time or xarray"
        )
    if not any(bool(ds[name].notnull().any()) for name in ds.data_vars):
        damaged = ds.attrs.get("damaged")
        why = f", because {damaged} could not be read; restore it" if damaged else "; let the run go on"
        raise StorageError(f"every reading is missing{why}")
