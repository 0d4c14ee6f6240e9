"""Each figure draws what its analysis gave, on the axes that it was given."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from tests.analysis.figure_runs import jumping, relaxing
from tests.analysis.test_aging import curves
from tests.analysis.test_fluctuations import glass
from tests.analysis.test_noise import diffusing
from tests.analysis.test_regimes import T2, descent
from tests.analysis.test_runs import sgd, sizes

from glassyrun import analysis
from glassyrun.analysis import figures

RNG = np.random.default_rng


@pytest.fixture
def axes() -> Iterator[Axes]:
    with figures.style():
        figure, axes = plt.subplots()
        yield axes
        figure.canvas.draw()  # what can't be rendered raises
        plt.close(figure)


def drawn(axes: Axes) -> list[np.ndarray]:
    """The finite points of each line that has any, [point, xy]."""
    lines = [np.asarray(line.get_xydata(), dtype=float) for line in axes.get_lines()]
    return [line[np.isfinite(line).all(axis=1)] for line in lines if np.isfinite(line).all(axis=1).any()]


def legend(axes: Axes) -> list[str]:
    box = axes.get_legend()
    return [text.get_text() for text in box.get_texts()] if box else []


def test_regimes(axes: Axes) -> None:
    ds = descent(RNG(0))
    assert figures.regimes(ds, analysis.regimes(ds, bottom=0.0), axes) is axes
    assert any(len(line) == 2 and line[0, 0] == pytest.approx(T2, rel=0.1) for line in drawn(axes))
    assert axes.get_xscale() == "log"


def test_regimes_that_are_not_reached_are_written_so(axes: Axes) -> None:
    ds = descent(RNG(0)) + 0.2
    figures.regimes(ds, analysis.regimes(ds, bottom=0.0), axes)
    assert "$t_2$: not reached" in legend(axes)


def test_regimes_that_are_not_determined_have_their_reason_above(axes: Axes) -> None:
    ds = descent(RNG(0))
    found = analysis.regimes(ds, bottom=0.0)
    found["t1"] = (found.t1 * np.nan).assign_attrs(reason="passed within the first step")
    figures.regimes(ds, found, axes)
    assert "$t_1$: not determined" in legend(axes)
    assert note(axes) == "$t_1$: passed within the first step"


def test_collapse(axes: Axes) -> None:
    """After scaling the curves lie on each other: over all of them y at the longest lags varies by little."""
    ds = diffusing(RNG(0))
    found = analysis.rescale_by_noise(ds, after=5.0)
    assert figures.collapse(ds, found, axes, after=5.0) is axes
    ends = [line[5, 1] for line in drawn(axes)]
    assert len(ends) == 6
    assert max(ends) / min(ends) < 1.3
    assert axes.get_title().startswith("spread 0.0")
    other = plt.figure().subplots()
    figures.collapse(ds, found, other, after=5.0, scaled=False)
    raw = [line[5, 1] for line in drawn(other)]
    assert max(raw) / min(raw) > 5
    plt.close(other.figure)


def test_aging_stands_beside_its_null_model(axes: Axes) -> None:
    ds = curves(RNG(0), mu=0.7)
    found = analysis.aging(ds)
    assert figures.aging(ds, found, axes, normalised=False) is axes
    lines = drawn(axes)
    assert len(lines) == 12  # six waiting times each
    own = lines[6:]
    at = [np.interp(1.0, line[:, 0], line[:, 1]) for line in own if line[0, 0] < 1 < line[-1, 0]]
    assert len(at) >= 4
    assert max(at) / min(at) < 1.2  # one curve, where unscaled ones differ by more than 5
    assert [text.partition(",")[0] for text in legend(axes)] == ["measured", "null model"]


def note(axes: Axes) -> str:
    return " ".join(axes.get_legend().get_title().get_text().split())


def test_without_an_exponent_curves_are_drawn_against_t_and_the_reason_stands_above(axes: Axes) -> None:
    ds = jumping()
    found = analysis.aging(ds)
    figures.aging(ds, found, axes)
    lines = drawn(axes)
    assert len(lines) == 6
    assert all(line[0, 0] == 0.5 for line in lines)
    assert axes.get_xlabel() == "$t$"
    assert legend(axes) == ["measured"]
    assert note(axes) == f"μ is not determined: {found.mu.attrs['reason']}"


def test_a_colour_bar_has_its_name_and_unit_beside_it(axes: Axes) -> None:
    """And not above it, where a legend may be."""
    ds = jumping()
    ds["t_w"] = ds.t_w.assign_attrs(units="step")
    figures.aging(ds, analysis.aging(ds), axes)
    (bar,) = (other for other in axes.figure.axes if other is not axes)
    assert (bar.get_title(), bar.get_ylabel()) == ("", "waiting time $t_w$ (steps)")


def test_the_closed_form_is_not_drawn_beside_a_bath(axes: Axes) -> None:
    """It is that of T = 0; a run of the null model is drawn, at the waiting times of the run."""
    ds = curves(RNG(0)).assign_attrs(spec="[dynamics]\nkind = 'langevin'\ntemperature = 0.3\n")
    figures.aging(ds, analysis.aging(ds), axes)
    assert len(drawn(axes)) == 6
    assert [text.partition(",")[0] for text in legend(axes)] == ["measured"]
    assert note(axes).startswith("no null model: its closed form is of T = 0; give a run of it")
    null = curves(RNG(1), mu=0.4)
    other = plt.figure().subplots()
    figures.aging(ds.isel(t_w=slice(0, 5)), analysis.aging(ds, null=null), other, null=null)
    assert len(drawn(other)) == 8
    assert [text.partition(",")[0] for text in legend(other)] == ["measured", "null model"]
    assert note(other) == ""
    plt.close(other.figure)


def test_relaxation_beside_a_run_of_the_null_model(axes: Axes) -> None:
    ds = relaxing().assign_attrs(spec="[dynamics]\nkind = 'langevin'\ntemperature = 0.3\n")
    found = analysis.relaxation_time(ds, variable="overlap")
    figures.relaxation(ds, found, axes)
    assert legend(axes) == ["measured"]
    assert note(axes).startswith("no null model")
    other = plt.figure().subplots()
    figures.relaxation(ds, found, other, null=found)
    assert sorted(legend(other)) == ["measured", "null model"]
    assert any(np.allclose(line[:, 1], found.tau) for line in drawn(other))
    plt.close(other.figure)


def test_heights_that_no_lag_tells_are_left_and_it_is_said(axes: Axes) -> None:
    ds = curves(RNG(0))
    found = xr.Dataset({"mu": 3.0, "mu_null": 1.0}).assign(
        {f"{name}_interval": ("bound", [0.0, 0.0]) for name in ("mu", "mu_null")}
    )
    found["mu"].attrs["amplitude"] = "free"
    figures.aging(ds, found, axes)
    assert note(axes).startswith("heights are not scaled")
    assert "scaled" not in axes.get_ylabel()
    assert drawn(axes)[-1][0, 1] == pytest.approx(float(ds.msd.mean(["sample", "replica"])[-1, 1]))


def test_response(axes: Axes) -> None:
    found = analysis.fdt(glass(RNG(0)), temperature=0.5)
    assert figures.fdt(found, axes, temperature=0.5) is axes
    assert legend(axes) == ["equilibrium"]
    (bar,) = (other for other in axes.figure.axes if other is not axes)
    assert bar.get_ylim() == pytest.approx((1, 100))
    line = drawn(axes)[0]
    assert line[np.abs(line[:, 0] - 0.85).argmin(), 1] == pytest.approx(0.15, abs=0.06)


def test_an_effective_temperature_without_an_upper_end(axes: Axes) -> None:
    bounds = [[0.5, 2.0], [0.6, np.inf]]
    found = xr.Dataset({"effective_temperature": ("t_w", [1.0, 1.5])}, {"t_w": [1.0, 10.0], "bound": ["low", "high"]})
    found["effective_temperature_interval"] = (("t_w", "bound"), bounds)
    assert figures.effective_temperature(found, axes, temperature=0.4) is axes
    assert any(line.tolist() == [[10.0, 4.0]] for line in drawn(axes))  # twice what is highest
    bars = [path.vertices for bar in axes.collections for path in bar.get_paths()]
    np.testing.assert_allclose(sorted(float(bar[:, 1].max()) for bar in bars), [2.0, 4.0])


def test_chi4(axes: Axes) -> None:
    found = analysis.chi4(glass(RNG(0)), dof=100)
    assert figures.chi4(found, axes, t_w=10) is axes
    assert legend(axes) == ["initial state and noise"]  # one sample: of disorder there is nothing to draw
    assert axes.get_ylabel().endswith("$t_w = 10$")


def test_side_by_side(axes: Axes) -> None:
    runs = [sgd(RNG(k), rate, 100, 4) for k, rate in enumerate((0.1, 0.5))]
    found = analysis.compare(*runs, names=["a", "b"], variables=["energy"])
    assert figures.side_by_side(found, axes) is axes
    assert legend(axes) == ["a", "b"]
    assert axes.get_ylabel().split() == found["energy_fallen"].attrs["long_name"].partition(",")[0].split()
    a, b = drawn(axes)
    np.testing.assert_allclose(a[5:, 1], b[5:, 1], atol=0.1)


def test_finite_size(axes: Axes) -> None:
    runs = sizes(RNG(0), 8, 0.01)
    found = analysis.finite_size(runs)
    assert figures.finite_size(runs, found, axes, time=10.0) is axes
    points = drawn(axes)
    assert any(np.allclose(line[:, 0], [1 / 64, 1 / 128, 1 / 256, 1 / 512, 1 / 1024]) for line in points if len(line) == 5)
    assert any(len(line) == 1 and line[0, 0] == 0 for line in points)


def test_axes_are_made_where_none_are_given() -> None:
    ds = descent(RNG(0))
    made = figures.regimes(ds, analysis.regimes(ds, bottom=0.0))
    assert isinstance(made, Axes)
    assert isinstance(ds, xr.Dataset)
    plt.close(made.figure)
