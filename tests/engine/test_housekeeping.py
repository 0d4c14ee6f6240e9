"""What a run leaves as it found it, keeps for no longer than needed, and draws as it was measured."""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from pydantic import PrivateAttr
from tests.engine.test_resume import attempt
from tests.engine_tools import Crash, load, tables

import glassyrun
from glassyrun import (
    Evaluation,
    Footprint,
    Observable,
    ObservableOptions,
    Reference,
    Snapshot,
    State,
    Stream,
    System,
    SystemOptions,
    Variable,
    api,
    plot,
)
from glassyrun.experiment import numerics
from glassyrun.spec.model import Spec
from glassyrun.store import read_manifest

# Samples and replicas.


@pytest.mark.parametrize("system", ["quadratic", "pspin"])
@pytest.mark.parametrize("start", ["own", "shared"])
def test_samples_start_apart(system: str, start: str) -> None:
    """Read off the participation, which knows nothing of the disorder; replicas share a start only where asked to."""
    table = tables(system, "quench", steps=2, ensemble={"samples": 3, "replicas": 2, "start": start})
    first = glassyrun.run(table, quiet=True).participation.isel(time=0).values
    assert len(np.unique(first)) == (6 if start == "own" else 3)
    assert (first[:, 0] == first[:, 1]).all() == (start == "shared")


class Level(System):
    """No energy at all: what moves moves by noise."""

    def __init__(self) -> None:
        self.dof, self.terms, self.blocks = 4, 1, {"x": slice(0, 4)}

    def initial(self, streams: Sequence[Stream]) -> State:
        return State(torch.zeros(len(streams), 4))

    def energy(self, state: State, terms: torch.Tensor | None = None) -> torch.Tensor:
        return torch.zeros(state.replicas)

    def gradient(self, state: State, batch: torch.Tensor | None = None) -> Evaluation:
        return Evaluation(self.energy(state), torch.zeros_like(state.x))


class LevelOptions(SystemOptions):
    """A level plain."""

    kind: str = "level"

    def footprint(self, context: Any) -> Footprint:
        return Footprint(4, 1, 0)

    def build(self, context: Any) -> Level:
        return Level()


def test_noise_is_another_in_each_sample_and_replica() -> None:
    """From one start on a level plain."""
    observables = [{"kind": "msd"}]
    spec = load(tables("quadratic", "langevin", observables=observables, ensemble={"samples": 3, "replicas": 2}))
    moved = glassyrun.run(spec.model_copy(update={"system": LevelOptions()}), quiet=True).msd.isel(t_w=0, t=1).values
    assert (moved > 0).all()
    assert len(np.unique(moved)) == 6


# The process's own settings.


class Spying(Observable):
    """Calls a function at each reading, and at each waiting time with what it remembers."""

    grid = "pairs"

    def __init__(self, spy: Callable[[State | None], float]) -> None:
        self.variables, self.spy = {"spy": Variable("what was seen")}, spy

    def remember(self, now: Snapshot) -> State:
        kept = now.state.copy()
        self.spy(kept)
        return kept

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, torch.Tensor]:
        return {"spy": torch.full((now.state.replicas,), float(self.spy(None)))}


class SpyingOptions(ObservableOptions):
    """A spy."""

    kind: str = "spy"
    _spy: Any = PrivateAttr(None)

    def build(self, context: Any, system: Any) -> Spying:
        return Spying(self._spy)


def spied(spec: Spec, spy: Callable[[State | None], float]) -> Spec:
    options = SpyingOptions()
    options._spy = spy
    return spec.model_copy(update={"observables": [*spec.observables, options]})


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dt", [0.05, 3.0])
def test_threads_and_determinism_hold_while_it_runs_and_not_after(threads: int, dt: float) -> None:
    """Also where the run ends in a divergence (dt = 3)."""
    seen: set[tuple[int, bool, bool]] = set()

    def spy(kept: State | None) -> float:
        seen.add((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark))
        return 0.0

    plain = tables("pspin", "quench", dynamics={"kind": "quench", "dt": dt}, schedule={"horizon": 100 * dt, "t_w": [0.0]})
    spec = spied(load(plain | {"run": {"threads": threads}}), spy)
    before = torch.get_num_threads()
    torch.backends.cudnn.benchmark = True
    try:
        if dt < 1:
            assert glassyrun.run(spec, quiet=True).attrs["threads"] == str(threads)
        else:
            with pytest.raises(glassyrun.Diverged):
                glassyrun.run(spec, quiet=True)
        assert seen == {(threads, True, False)}
        assert torch.get_num_threads() == before
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = False


def test_determinism_that_was_asked_for_before_is_left_on() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        with numerics(load(tables("quadratic", "quench"))):
            assert torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


# What the result says of the code it ran.

PLUGIN = '''
from typing import Literal
import glassyrun
from glassyrun_quadratic.quadratic import QuadraticOptions

class MineOptions(QuadraticOptions):
    """Mine."""
    kind: Literal["mine"] = "mine"

@glassyrun.hookimpl
def glassyrun_systems():
    return [MineOptions]
'''


def test_the_digest_of_each_plugin_is_in_the_result(tmp_path: Path) -> None:
    """Of those that take part, those they build on too; another digest as soon as the code is another."""
    found = []
    for name, text in (("one", PLUGIN), ("two", PLUGIN + "\n# changed\n"), ("three", PLUGIN)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(text)
        source = tables("quadratic", "quench", steps=2, system={"kind": "mine", "n": 3})
        ds = glassyrun.run(api.load(source, plugins=[tmp_path / name / "mine.py"]), quiet=True)
        found.append(json.loads(ds.attrs["plugins"]))
    one, two, three = found
    assert one.keys() >= {"mine.py", "glassyrun_quadratic", "glassyrun_dynamics", "glassyrun_observables"}
    assert one.keys().isdisjoint({"glassyrun_pspin", "glassyrun_networks"})
    assert all(re.search(r"\b[0-9a-f]{32}$", digest) for digest in one.values())
    assert len(set(one.values())) == len(one)
    assert one == three
    assert {name for name in one if one[name] != two[name]} == {"mine.py"}


# What is remembered, and for how long.


def test_a_reference_is_let_go_after_its_last_reading() -> None:
    """30 waiting times, each read again once, two steps later: never more than three of them are alive."""
    kept: list[weakref.ref[State]] = []
    alive: list[int] = []

    def spy(state: State | None) -> float:
        if state is not None:
            kept.append(weakref.ref(state))
        alive.append(sum(ref() is not None for ref in kept))
        return alive[-1]

    schedule = {"horizon": 60.0, "time": [0.0], "t_w": [float(k) for k in range(30)], "t": [0.0, 2.0, 50.0]}
    short = load(tables("quadratic", "sgd", schedule=schedule | {"t": [0.0, 2.0]}))
    glassyrun.run(spied(short, spy), quiet=True)
    assert len(kept) == 30
    assert max(alive) == 3
    kept.clear()
    alive.clear()
    long = load(tables("quadratic", "sgd", schedule=schedule | {"horizon": 53.0, "t_w": [0.0, 1.0, 10.0, 20.0]}))
    glassyrun.run(spied(long, spy), quiet=True)
    assert alive[-1] == 1  # 10 + 50 and 20 + 50 lie beyond the horizon, so those were let go at 12 and 22


def files(directory: Path) -> set[str]:
    found = (path for part in ("shards", "checkpoints") for path in (directory / part).rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix() for path in found}


def named(directory: Path) -> set[str]:
    manifest = read_manifest(directory)
    assert manifest is not None
    return {blob.file for blob in manifest.blobs()}


@pytest.mark.parametrize("gently", [True, False])
def test_nothing_lies_about_that_is_not_needed(gently: bool, tmp_path: Path) -> None:
    """After each interruption: two checkpoints, the references that one of them reads again, and no file beside those named; at
    the end the State in which the sample ended."""
    schedule = {"horizon": 20.0, "time": [0.0, 20.0], "t_w": [float(k) for k in range(10)], "t": [0.0, 3.0]}
    spec = load(tables("quadratic", "sgd", schedule=schedule, run={"checkpoint_seconds": 1e-9, "extendable": False}))
    rounds = 0
    while not attempt(spec, tmp_path, Crash(after=3, gently=gently)):
        rounds += 1
        manifest = read_manifest(tmp_path)
        assert manifest is not None
        if manifest.checkpoint is None:
            continue
        assert files(tmp_path) == named(tmp_path)
        steps = [blob.about["step"] for blob in (manifest.checkpoint, manifest.previous) if blob is not None]
        waiting = {blob.about["t_w"] for blob in manifest.references}
        assert waiting == {k for k in range(10) for step in steps if k <= step < k + 3}
        assert len(list((tmp_path / "checkpoints").iterdir())) == len(steps)
    assert rounds > 3
    assert files(tmp_path) == named(tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest.references == []
    assert manifest.checkpoint is None
    (final,) = manifest.finals
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [Path(final.file).name]
    assert final.about == {"sample": 0, "step": 20, "time": 20.0}


def test_fresh_throws_away_what_was_there(tmp_path: Path) -> None:
    """Many shards of a run that was interrupted, then one run in one go, of another spec."""
    spec = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9}))
    assert not attempt(spec, tmp_path / "run", Crash(after=9))
    before = files(tmp_path / "run")
    assert len(before) > 5
    other = load(tables("quadratic", "sgd", steps=4, seed=8))
    api.execute(other, tmp_path / "run", quiet=True, fresh=True)
    api.execute(other, tmp_path / "plain", quiet=True)
    assert files(tmp_path / "run") == named(tmp_path / "run")
    assert files(tmp_path / "run") == files(tmp_path / "plain")
    assert (tmp_path / "run" / "result.nc").read_bytes() == (tmp_path / "plain" / "result.nc").read_bytes()


# Result and figures.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("housekeeping") / "run"
    schedule = {"horizon": 4.0, "time": {"from": 0.0, "per_decade": 5}, "t_w": [0.0, 0.5, 1.0, 2.0], "t": [0.0, 0.1, 0.5, 1.0]}
    spec = load(tables("pspin", "langevin", schedule=schedule, ensemble={"samples": 2, "replicas": 3}))
    api.execute(spec, directory, quiet=True)
    return directory


def test_variables_are_compressed(run: Path) -> None:
    with netCDF4.Dataset(run / "result.nc") as file:
        measured = [variable for variable in file.variables.values() if "sample" in variable.dimensions[:1] and variable.ndim > 1]
        assert {"energy", "msd", "overlap"} <= {variable.name for variable in measured}
        for variable in measured:
            filters = variable.filters()
            assert filters["zlib"] or filters.get("zstd"), variable.name
            assert filters["complevel"] > 0


def bands(axes: Axes) -> list[np.ndarray]:
    """For each band its corners as rows of (t, value)."""
    return [np.unique(path.vertices, axis=0) for collection in axes.collections for path in collection.get_paths()]


def has_band(axes: Axes, t: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
    corners = np.unique(np.concatenate([np.stack([t, low], 1), np.stack([t, high], 1)]), axis=0)
    return any(band.shape == corners.shape and np.allclose(band, corners, rtol=1e-9) for band in bands(axes))


@pytest.mark.parametrize("name", ["energy", "overlap", "msd"])
def test_bands_are_one_standard_deviation_between_runs(run: Path, name: str) -> None:
    """Over samples and replicas together, n − 1 in the denominator, on both sides of the mean."""
    with xr.open_dataset(run / "result.nc") as ds:
        data = ds[name].load()
    axes = getattr(plot, name)(data.to_dataset())
    curves = [data] if name == "energy" else [data.sel(t_w=t_w) for t_w in data.t_w.values]
    along = "time" if name == "energy" else "t"
    assert len(axes.collections) == len(curves)
    for curve in curves:
        later = curve.isel({along: curve[along].values > 0})
        values = later.values.reshape(6, -1)
        mean, spread = values.mean(0), values.std(0, ddof=1)
        assert (spread > 0).all()
        if name == "msd":
            assert (mean > spread).all()
        assert has_band(axes, later[along].values, mean - spread, mean + spread)
    plt.close("all")


@pytest.mark.parametrize("name", ["overlap", "msd"])
def test_a_colour_bar_tells_the_waiting_times(run: Path, name: str) -> None:
    """From the first positive one to the last; each curve has the colour that the bar gives to its t_w."""
    with xr.open_dataset(run / "result.nc") as ds:
        axes = getattr(plot, name)(ds.load())
    axes.figure.draw_without_rendering()
    (bar,) = (other for other in axes.figure.axes if other is not axes)
    assert "t_w" in bar.get_title() + bar.get_ylabel()
    assert bar.get_ylim() == pytest.approx((0.5, 2.0))
    colours = {tuple(np.round(line.get_color(), 6)) for line in axes.lines if not isinstance(line.get_color(), str)}
    assert len(colours) == 3
    plt.close("all")
