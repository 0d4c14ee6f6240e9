"""Figures: what is drawn is what was measured, and no label lies on another."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from tests.engine_tools import load, tables
from tests.readable import assert_apart

import glassyrun
from glassyrun import api, plot
from glassyrun.look import logarithmic


@pytest.fixture(scope="module", params=["pspin", "cnn"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A p-spin by Langevin dynamics, where test readings have no place, and a network by SGD."""
    directory = tmp_path_factory.mktemp("plot") / "run"
    moves = "langevin" if request.param == "pspin" else "sgd"
    schedule = {"horizon": 20.0 if moves == "langevin" else 200.0}
    api.execute(load(tables(request.param, moves, schedule=schedule)), directory, quiet=True)
    return directory


@pytest.fixture
def dataset(run: Path) -> xr.Dataset:
    with xr.open_dataset(run / "result.nc") as ds:
        return ds.load()


def test_no_label_lies_on_another_or_outside(dataset: xr.Dataset) -> None:
    figure = plot.summary(dataset)
    labels = [text for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label, axes.title)]
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in labels if text.get_text()]
    boxes += [("title", figure._suptitle.get_window_extent())]
    assert len(boxes) >= 7
    assert_apart(figure, boxes)
    plt.close(figure)


def test_curves_are_the_data(dataset: xr.Dataset) -> None:
    """One curve a waiting time that was measured, each the mean over samples and replicas, t = 0 left out."""
    axes = plot.msd(dataset)
    data = dataset.msd.isel(t=slice(1, None)).mean(["sample", "replica"])
    curves = {tuple(np.nan_to_num(line.get_ydata())) for line in axes.lines}
    expected = {tuple(np.nan_to_num(data.sel(t_w=t_w).values)) for t_w in data.t_w}
    assert curves == expected
    assert axes.get_xscale() == axes.get_yscale() == "log"
    energy = plot.energy(dataset)
    np.testing.assert_array_equal(
        energy.lines[0].get_ydata(), dataset.energy.isel(time=slice(1, None)).mean(["sample", "replica"])
    )
    plt.close("all")


def test_axes_are_taken_and_given_back(dataset: xr.Dataset) -> None:
    _, axes = plt.subplots()
    assert plot.overlap(dataset, axes) is axes
    plt.close("all")


def test_one_replica_and_one_waiting_time_can_be_drawn() -> None:
    ds = glassyrun.run(tables("quadratic", "sgd", ensemble={"replicas": 1}, schedule={"horizon": 10.0, "t_w": [0.0]}), quiet=True)
    figure = plot.summary(ds)
    assert len(figure.axes) == 3
    plt.close(figure)


def test_files_are_written_and_repeat(run: Path, tmp_path: Path) -> None:
    (png,) = plot.plot_run(run)
    assert png.read_bytes()[:4] == b"\x89PNG"
    (one,), (two,) = (plot.plot_run(run, tmp_path / name) for name in ("a.svg", "b.svg"))
    assert one.read_text() == two.read_text()
    assert plot.plot_run(run, formats=("png", "svg"))[1].suffix == ".svg"


def test_a_strange_ending_is_one_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(glassyrun.StorageError, match=r"a\.xyz: .*let the name end in \.png"):
        plot.plot_run(run, tmp_path / "a.xyz")


def test_the_style_does_not_leak(dataset: xr.Dataset) -> None:
    before = dict(mpl.rcParams)
    plt.close(plot.summary(dataset))
    assert dict(mpl.rcParams) == before


def test_readings_that_were_lost_are_told_and_not_drawn(tmp_path: Path) -> None:
    api.execute(load(tables("quadratic", "sgd")), tmp_path, quiet=True)
    for shard in (tmp_path / "shards").glob("*-measured.safetensors"):
        shard.write_bytes(b"")
    with pytest.raises(
        glassyrun.StorageError, match=r"every reading is missing, because shards/.* could not be read; restore it"
    ):
        plot.plot_run(tmp_path)


@pytest.mark.parametrize("span", [(1.6e-6, 2.3e-6), (2.1, 2.9), (1e-7, 3e-7), (1.0, 1e6), (3.0, 40.0)])
def test_no_two_ticks_of_a_logarithmic_axis_have_one_name(span: tuple[float, float]) -> None:
    axes = plt.figure(figsize=(3, 3)).subplots()
    axes.plot([1, 2], span)
    logarithmic(axes, "y")
    axes.figure.canvas.draw()
    ticks = [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]
    low, high = sorted(axes.get_ylim())
    names = [tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high and tick.label1.get_text()]
    assert len(names) >= 2
    assert len(set(names)) == len(names)
    plt.close(axes.figure)
