"""Each figure of `glassyrun plot` looks as it did, and no label lies on another.

The images are drawn without text and legends, with ticks at all powers of ten, so that other fonts and versions of matplotlib
give the same. After a change that is meant,
`pytest -n 0 tests/analysis/test_figure_images.py --mpl-generate-path=tests/analysis/baseline` draws them anew: look at each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator
from tests.analysis import figure_runs as of
from tests.readable import assert_apart

from glassyrun.analysis import figures, recipes
from glassyrun.figure_list import FIGURES

Case = tuple[str, Callable[[], list[xr.Dataset]], dict[str, Any]]
CASES: dict[str, Case] = {
    "summary_network": ("summary", lambda: [of.network()], {}),
    "summary_glass": ("summary", lambda: [of.spins()], {}),
    "regimes": ("regimes", lambda: [of.descent()], {"bottom": 0.0}),
    "regimes_not_reached": ("regimes", lambda: [of.descent(0.2)], {"bottom": 0.0}),
    "collapse": ("collapse", lambda: [of.diffusing()], {"after": 5.0}),
    "diffusion": ("diffusion", lambda: [of.diffusing(), of.diffusing(law="without_replacement")], {"after": 5.0}),
    "aging": ("aging", lambda: [of.ages()], {}),
    "aging_free": ("aging", lambda: [of.ages()], {"amplitude": "free"}),
    "aging_undetermined": ("aging", lambda: [of.jumping()], {}),
    "aging_at_a_temperature": ("aging", lambda: [of.ages().assign_attrs(spec="[dynamics]\ntemperature = 0.3\n")], {}),
    "relaxation": ("relaxation", lambda: [of.relaxing()], {}),
    "fdt": ("fdt", lambda: [of.responding()], {"temperature": 0.5}),
    "effective_temperature": ("effective_temperature", lambda: [of.responding()], {"temperature": 0.5, "window": (0.35, 0.65)}),
    "chi4": ("chi4", lambda: [of.responding()], {}),
    "alpha2": ("alpha2", lambda: [of.uneven()], {}),
    "superposition": (
        "superposition",
        lambda: [of.warm(0.6, 20.0), of.warm(1.0, 1.0), of.warm(0.8, 3.0)],
        {"window": (0.05, 0.75)},
    ),
    "sgd_temperature": ("sgd_temperature", lambda: titled(of.diffusing(), 2 * of.diffusing(0.3, 1)), {}),
    "fixed_ratio": ("fixed_ratio", lambda: [of.learning(0.1, 100), of.learning(0.2, 200, 1.2), of.learning(0.1, 50, 1.5)], {}),
    "compare": ("compare", lambda: titled(of.learning(0.1, 100), of.learning(0.5, 50)), {}),
    "compare_displacements": ("compare", lambda: titled(of.ages(), of.ages(0.1, 1)), {"variable": "msd"}),
    "finite_size": ("finite_size", lambda: [of.sized(number) for number in (64, 128, 256, 512, 1024)], {"time": 10.0}),
}


def titled(*runs: xr.Dataset) -> list[xr.Dataset]:
    return [run.assign_attrs(title=title) for run, title in zip(runs, ("one", "the other"), strict=True)]


BY_HAND: dict[str, Callable[[], Axes]] = {
    "regimes": lambda: figures.regimes(of.descent(), of.crossed(138.0)),
    "regimes_not_reached": lambda: figures.regimes(of.descent(0.2), of.crossed(np.nan)),
}
"""How passages are drawn, apart from how they are found."""


DECADES = 10.0 ** np.arange(-12, 13)


def drawn(case: str) -> Figure:
    if case in BY_HAND:
        return BY_HAND[case]().figure
    name, runs, options = CASES[case]
    return getattr(recipes, name)(*runs(), **options).figure


def test_every_figure_is_tried() -> None:
    assert {name for name, _, _ in CASES.values()} == set(FIGURES)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.mpl_image_compare(
    baseline_dir="baseline", style="glassyrun.paper", savefig_kwargs={"dpi": 60}, deterministic=True, tolerance=2
)
def test_it_looks_as_it_did(case: str) -> Figure:
    figure = drawn(case)
    for axes in figure.axes:
        if legend := axes.get_legend():
            legend.remove()
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_locator(FixedLocator(DECADES))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(NullFormatter())
    for text in figure.findobj(Text):
        text.set(text="", in_layout=False)
    figure.set_size_inches(*np.ceil(figure.get_size_inches()))  # whole numbers of pixels
    return figure


@pytest.mark.parametrize("case", CASES)
def test_no_label_lies_on_another_or_outside(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[Text, None] = {}
    original = Text.draw

    def draw(text: Text, renderer: RendererBase) -> None:
        if text.get_visible() and text.get_text().strip():
            seen[text] = None
        original(text, renderer)

    with mpl.rc_context():
        plt.style.use("glassyrun.paper")
        figure = drawn(case)
        figure.draw_without_rendering()
        monkeypatch.setattr(Text, "draw", draw)
        figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in seen]
    assert len(boxes) >= 8
    assert_apart(figure, boxes)
    plt.close(figure)
