"""How figures look: the style file, colours, and what the functions that draw have in common."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import attrs
import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from glassyrun.errors import StorageError
from glassyrun.files import storage

STYLE: dict[str, Any] = dict(mpl.rc_params_from_file(str(files("glassyrun") / "paper.mplstyle"), use_default_template=False))
"""The style file `paper.mplstyle` of this package, which matplotlib knows as "glassyrun.paper"."""
KINDS: list[str] = STYLE["axes.prop_cycle"].by_key()["color"]
"""Colours of kinds of things."""
DASHES = ["-", "--", "-.", ":"]
TIMELESS: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
DELTA = r"$\Delta(t_w, t_w + t)$"
SHADES = LinearSegmentedColormap.from_list("waiting", mpl.colormaps[STYLE["image.cmap"]](np.linspace(0, 0.9, 256)))
"""Colours of what has an order: viridis without its yellow end, which is hard to see on white."""


@attrs.frozen
class Shades:
    """A colour for each waiting time, or another positive number, on a logarithmic scale; black for zero, which has no place on it."""

    norm: Normalize

    @classmethod
    def of(cls, values: Sequence[float]) -> Shades:
        positive = [value for value in values if value > 0]
        if len(positive) < 2:
            return cls(Normalize(0, max(positive, default=1.0)))
        return cls(LogNorm(min(positive), max(positive)))

    def __call__(self, value: float) -> Any:
        return SHADES(float(self.norm(value))) if value > 0 else "black"

    def line(self, t_w: float) -> dict[str, Any]:
        """How the curve of a waiting time is drawn; that of zero stands in the legend instead of the colour bar."""
        return {"color": self(t_w)} if t_w > 0 else {"color": "black", "linestyle": "--", "label": "$t_w = 0$"}

    def bar(self, axes: Axes, title: str) -> None:
        """The colour bar; what it means stands beside it, since a legend above the axes may be wider than they are."""
        bar = axes.figure.colorbar(ScalarMappable(self.norm, SHADES), ax=axes, pad=0.02)
        bar.set_label(title)
        if isinstance(self.norm, LogNorm):
            label_decades(bar.ax.yaxis)


def legend_above(axes: Axes, columns: int = 2, note: str = "") -> None:
    """A legend that lies on no data, and above it what has to be said of what is drawn."""
    title = "\n".join(textwrap.wrap(note, 50))  # no wider than axes of one column: they would shrink
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        borderaxespad=0,
        title=title or None,
        title_fontsize="xx-small",
        alignment="left",
    )


def mark_unfinished(figure: Figure, runs: Sequence[xr.Dataset]) -> None:
    """Says above a figure which of its runs were not complete, unless it has a title that does."""
    names = [str(run.attrs.get("title", "")) for run in runs if not run.attrs.get("complete", 1)]
    if names and not figure.get_suptitle():
        told = ", ".join(filter(None, names)) if len(runs) > 1 else names[0]
        figure.suptitle(plain(f"{told} (not complete)".strip()), fontsize="medium")


def new_axes() -> Axes:
    return plt.subplots(layout="constrained")[1]


def mean(array: xr.DataArray) -> xr.DataArray:
    """Over samples and replicas."""
    return array.mean([dim for dim in ("sample", "replica") if dim in array.dims])


def kind(number: int) -> dict[str, Any]:
    """Colour and dashes of the so-manyth of several things, so that print without colours tells them apart too."""
    return {"color": KINDS[number % len(KINDS)], "linestyle": DASHES[number % len(DASHES)]}


def band(axes: Axes, x: xr.DataArray, interval: xr.DataArray, colour: Any, alpha: float = 0.2) -> None:
    """The interval (dimension `bound`) about a curve."""
    low, high = (interval.sel(bound=bound) for bound in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0)


def family(axes: Axes, curves: xr.DataArray, *, shades: Shades | None = None, shift: float = 0.0, **line: Any) -> None:
    """Positive values [t_w, t] against t/t_w^shift, one curve a positive waiting time, coloured by it.

    Args:
        shades: those of curves beside them, which have the colour bar.
    """
    measured = positive(curves)
    if not measured:
        return
    colours = shades or Shades.of(measured)
    for t_w in measured:
        curve = curves.sel(t_w=t_w)
        axes.plot(curves.t / t_w**shift, curve.where(curve > 0), color=colours(t_w), **line)
    if shades is None:
        colours.bar(axes, label(curves.t_w))


def positive(curves: xr.DataArray) -> list[float]:
    """The waiting times after 0 that have a positive value [t_w, t]."""
    return [float(t_w) for t_w in curves.t_w.values if t_w > 0 and bool((curves.sel(t_w=t_w) > 0).any())]


def logarithmic(axes: Axes, *names: Literal["x", "y"]) -> None:
    """Logarithmic axes on which no labels crowd: powers of ten, or over less than two decades a few plain numbers."""
    for name in names:
        axes.set(**{f"{name}scale": "log"})
        label_decades(axes.xaxis if name == "x" else axes.yaxis)


def label_decades(axis: Axis) -> None:
    def text(value: float, _: object = None) -> str:
        low, high = sorted(axis.get_view_interval())
        if not 0 < low < high or value <= 0:
            return ""
        power = int(np.floor(np.log10(value) + 1e-9))
        mantissa = value / 10.0**power
        digit = round(mantissa)
        whole = abs(mantissa - digit) < 1e-6  # a range within one digit has ticks between digits
        few = (1, 2, 5) if high / low > 4 else (1, 2, 3, 4, 5, 6, 8)
        short = 1e-3 < low < high < 1e5
        if high / low < (100 if short or not isinstance(axis, XAxis) else 4):
            power_of_ten = whole and digit == 1
            told = number(value) if short else f"10^{{{power}}}" if power_of_ten else rf"{mantissa:.3g} \times 10^{{{power}}}"
            return f"${told}$" if digit in few or not whole else ""
        return f"$10^{{{power}}}$" if whole and digit == 1 else ""

    axis.set_major_formatter(FuncFormatter(text))
    axis.set_minor_formatter(FuncFormatter(text))


def label(coordinate: xr.DataArray) -> str:
    """Name and unit of an axis of time."""
    units = str(coordinate.attrs.get("units", "1"))
    symbol = {"time": "time", "t_w": "waiting time $t_w$", "t": "$t$", "end": "$t_w + t$"}.get(
        str(coordinate.name), plain(coordinate.name)
    )
    if units == "1":
        return symbol
    return f"{symbol} ({units if ' ' in units else f'{units}s'})"  # "step in sgd, 1 in langevin" is not a word


def plain(text: object) -> str:
    """Text of a file that is not to be read as mathematics."""
    return str(text).replace("$", r"\$")


def number(value: float) -> str:
    """Three digits as mathtext: 0.0123, 1.2 × 10⁵."""
    digits, _, power = f"{value:.3g}".partition("e")
    return rf"{digits} \times 10^{{{int(power)}}}" if power else digits


def save(figure: Figure, targets: Sequence[Path]) -> list[Path]:
    """Writes a figure, without dates, so that the same result gives the same file, and closes it.

    Raises:
        StorageError: if a file can't be written, or its name has an unknown ending.
    """
    try:
        for target in targets:
            if target.suffix[1:].lower() not in figure.canvas.get_supported_filetypes():
                raise StorageError(f"{target}: there is no such format; let the name end in .png, .svg or .pdf")
            with storage("writing", target), mpl.rc_context(STYLE):
                figure.savefig(target, metadata=TIMELESS.get(target.suffix.lower(), {}))
    except ValueError as error:
        raise StorageError(f"{targets[0]}: what is there can't be drawn: {' '.join(str(error).split())}") from error
    finally:
        plt.close(figure)
    return list(targets)
