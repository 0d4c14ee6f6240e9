"""An observable that raises in the middle of a run: the run stops, or goes on without it and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.test_checkpoints import flipped
from tests.engine.test_resume import attempt, bytes_of
from tests.engine_tools import Crash, load, tables

import glassyrun
from glassyrun import Observable, ObservableOptions, Reference, Snapshot, State, Variable, api, result, trajectories
from glassyrun.spec.model import Spec
from glassyrun.store import read_manifest


class Failing(Observable):
    """Raises in one of its methods from a step on."""

    def __init__(self, grid: str, where: str, step: int, error: Exception) -> None:
        self.grid, self.where, self.step, self.error = grid, where, step, error  # type: ignore[misc]
        self.variables = {"failing": Variable("what fails")}

    def trip(self, where: str, now: Snapshot) -> None:
        if where == self.where and now.state.step >= self.step:
            raise self.error

    def remember(self, now: Snapshot) -> State:
        self.trip("remember", now)
        return super().remember(now)

    def follow(self, now: Snapshot, then: Reference) -> None:
        self.trip("follow", now)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, torch.Tensor]:
        self.trip("read", now)
        return {"failing": now.state.x.double().square().sum(1)}


class FailingOptions(ObservableOptions):
    """Fails."""

    kind: str = "failing"
    grid: str = "time"
    where: str = "read"
    step: int = 4
    fatal: bool = False

    def build(self, context: Any, system: Any) -> Failing:
        error = MemoryError() if self.fatal else ValueError(f"odd thing at {hex(id(self))}")
        return Failing(self.grid, self.where, self.step, error)


def spec_with(on_error: str = "continue", samples: int = 1, **options: Any) -> Spec:
    run = {"on_error": on_error, "checkpoint_seconds": 1e-9}
    ensemble = {"replicas": 2, "samples": samples}
    plain = load(tables("quadratic", "sgd", steps=8, run=run, ensemble=ensemble))
    return plain.model_copy(update={"observables": [*plain.observables, FailingOptions(**options)]})


WAYS = [("time", "read"), ("t_w", "read"), ("pairs", "read"), ("pairs", "remember"), ("pairs", "follow")]


@pytest.mark.parametrize(("grid", "where"), WAYS)
def test_the_run_goes_on_without_it(grid: str, where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api.execute(spec_with(grid=grid, where=where, samples=2), tmp_path / "run", quiet=True)
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "raised ValueError: odd thing at 0x…" in line and "at step 4 of sample" in line]
    assert said[-1].startswith("WARNING: observables.failing: is NaN in sample 1 from step 4 on")
    ds = result.assemble(tmp_path / "run")
    told = json.loads(ds.attrs["dropped_observables"])
    expected = {"label": "failing", "step": 4, "raised": "ValueError: odd thing at 0x…"}
    assert told == [expected | {"sample": 0}, expected | {"sample": 1}]
    assert ds.attrs["complete"] == 1
    values = ds.failing.isel(replica=0)
    early = values.isel({"time": slice(0, 4)} if grid == "time" else {"t_w": slice(0, 4)})
    late = values.isel({"time": slice(4, None)} if grid == "time" else {"t_w": slice(4, None)})
    assert bool(early.notnull().any())
    assert bool(late.isnull().all())
    plain = load(tables("quadratic", "sgd", steps=8, ensemble={"replicas": 2, "samples": 2}))
    alone = glassyrun.run(plain, quiet=True)
    for name in alone.data_vars:
        np.testing.assert_array_equal(alone[name].values, ds[name].values)


@pytest.mark.parametrize(("grid", "where"), WAYS)
@pytest.mark.parametrize("gently", [True, False], ids=["stopped", "killed"])
def test_a_run_that_goes_on_without_it_resumes_without_it(grid: str, where: str, gently: bool, tmp_path: Path) -> None:
    spec = spec_with(grid=grid, where=where)
    assert attempt(spec, tmp_path / "whole", Crash())
    while not attempt(spec, tmp_path / "parts", Crash(after=3, gently=gently)):
        pass
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")


def test_what_was_dropped_is_not_asked_again_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the commit that knows of it, the sample goes on without it, though it would now work again."""
    spec = spec_with()
    crash = Crash(after=7)
    assert not attempt(spec, tmp_path / "run", crash)
    assert any("the sample goes on without it" in warning for warning in crash.warnings)
    manifest = read_manifest(tmp_path / "run")
    assert manifest is not None
    assert json.loads(manifest.attributes["dropped_observables"])[0]["step"] == 4
    monkeypatch.setattr(Failing, "trip", lambda *_: None)
    assert attempt(spec, tmp_path / "run", Crash())
    ds = result.assemble(tmp_path / "run")
    assert ds.failing.isel(time=slice(4, None)).isnull().all()
    assert ds.failing.isel(time=slice(0, 4)).notnull().all()


def test_the_step_it_is_told_of_does_not_depend_on_the_speed_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two events the host looks more or less often; both ways the next event is the first that lacks something."""
    grid = [0.0, 8.0]
    source = tables("quadratic", "sgd", steps=8, schedule={"horizon": 8.0, "time": grid, "t_w": [0.0], "t": grid})
    plain = load({**source, "run": {"on_error": "continue"}})
    spec = plain.model_copy(update={"observables": [*plain.observables, FailingOptions(grid="pairs", where="follow", step=4)]})
    for seconds in (0.0, 1e9):
        with monkeypatch.context() as patch:
            patch.setattr(trajectories, "PACE_SECONDS", seconds)
            api.execute(spec, tmp_path / str(seconds), quiet=True)
    slow, fast = (result.assemble(tmp_path / str(seconds)).attrs["dropped_observables"] for seconds in (0.0, 1e9))
    assert slow == fast
    assert json.loads(slow)[0]["step"] == 8


def test_what_works_after_going_back_to_before_it_was_dropped_is_not_told_as_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a file system failed for a moment; the newest checkpoint, which knows of it, is damaged."""
    spec = spec_with()
    assert not attempt(spec, tmp_path / "run", Crash(after=6))
    manifest = read_manifest(tmp_path / "run")
    assert manifest is not None
    assert manifest.checkpoint is not None
    assert manifest.previous is not None
    assert manifest.checkpoint.about["dropped"] == ["failing"]
    assert manifest.previous.about["step"] < 4
    flipped(tmp_path / "run" / manifest.checkpoint.file)
    monkeypatch.setattr(Failing, "trip", lambda *_: None)
    assert attempt(spec, tmp_path / "run", Crash(after=3)) is False
    assert attempt(spec, tmp_path / "run", Crash())
    ds = result.assemble(tmp_path / "run")
    assert "dropped_observables" not in ds.attrs
    assert ds.failing.notnull().all()


def test_stop_keeps_what_was_measured(tmp_path: Path) -> None:
    with pytest.raises(glassyrun.PluginError, match=r"observables\.failing: its plugin raised ValueError") as caught:
        api.execute(spec_with("stop"), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 2
    ds = result.assemble(tmp_path / "run")
    assert int(ds.energy.isel(sample=0, replica=0).notnull().sum()) >= 4
    assert "dropped_observables" not in ds.attrs
    # the user may change their mind about it, and what then comes out is as if it had been so from the start
    changed = api.execute(spec_with("continue"), tmp_path / "run", quiet=True)
    assert "dropped_observables" in result.assemble(changed.directory).attrs


def test_memory_that_runs_out_in_an_observable_always_stops(tmp_path: Path) -> None:
    with pytest.raises(glassyrun.GlassyrunError, match="out of memory") as caught:
        api.execute(spec_with("continue", fatal=True), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 5
    assert result.assemble(tmp_path / "run").failing.isel(time=slice(0, 4)).notnull().all()


def test_a_system_that_raises_always_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glassyrun_quadratic.quadratic import Quadratic

    spec, real = spec_with("continue", step=100), Quadratic.gradient

    def gradient(system: Quadratic, state: State, batch: Any = None) -> Any:
        if state.step == 5:
            raise ValueError("odd")
        return real(system, state, batch)

    monkeypatch.setattr(Quadratic, "gradient", gradient)
    with pytest.raises(glassyrun.PluginError, match=r"system.*ValueError: odd"):
        api.execute(spec, tmp_path / "run", quiet=True)


def test_what_is_done_again_after_a_kill_is_noted_once() -> None:
    from glassyrun.dropped import drop, dropped

    attributes: dict[str, Any] = {}
    for label, sample, step in (("b", 1, 3), ("a", 0, 9), ("b", 1, 3), ("a", 0, 9)):
        drop(attributes, label, sample, step, ValueError("odd"))
    assert [(entry["label"], entry["sample"], entry["step"]) for entry in dropped(attributes)] == [("a", 0, 9), ("b", 1, 3)]


@pytest.mark.parametrize("damage", ["{", "3", "[3]", '[{"label": 1, "sample": 0, "step": 0, "raised": ""}]', "[" * 100_000])
def test_a_damaged_note_is_a_sentence(damage: str) -> None:
    from glassyrun.dropped import dropped

    with pytest.raises(glassyrun.StorageError, match="dropped_observables is damaged"):
        dropped({"dropped_observables": damage})
