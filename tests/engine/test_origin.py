"""`--from`: another run's State as the beginning."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.test_resume import attempt
from tests.engine_tools import Crash, Killed, load, tables

import glassyrun
from glassyrun import Refusal, State, StorageError, api, files, result
from glassyrun.experiment import Experiment, Setting
from glassyrun.extension import grow
from glassyrun.machine import numerics
from glassyrun.origin import Origin, state_digest, taken_over
from glassyrun.references import unpack
from glassyrun.spec.load import dump_spec
from glassyrun.spec.model import Spec
from glassyrun.store import Store, read_blob, read_manifest

SGD: dict[str, Any] = {"kind": "sgd", "learning_rate": 0.02, "momentum": 0.5}
HOT: dict[str, Any] = {"kind": "langevin", "dt": 0.05, "temperature": 0.1}
QUENCH: dict[str, Any] = {"kind": "quench", "dt": 0.05}
FREQUENT = {"checkpoint_seconds": 1e-9}


def spec_of(moves: dict[str, Any], horizon: float, system: str = "quadratic", /, **changes: Any) -> Spec:
    schedule = {"horizon": horizon, "time": {"n": 5}, "t_w": [0.0, horizon / 2], "t": [0.0]}
    return load(tables(system, "sgd", **({"dynamics": moves, "schedule": schedule} | changes)))


def final(directory: Path, sample: int = 0) -> State:
    """The State in which a sample ended, as the store has it."""
    manifest = read_manifest(directory)
    assert manifest is not None
    (blob,) = (blob for blob in manifest.finals if blob.about["sample"] == sample)
    return unpack(read_blob(directory, blob), "state/" if "event" in blob.about else "", blob.about["step"])


def ran(spec: Spec, directory: Path, start_from: str | Path | None = None) -> State:
    api.execute(spec, directory, start_from=start_from, quiet=True)
    return final(directory)


@pytest.mark.parametrize("system", ["quadratic", "pspin"])
@pytest.mark.parametrize(("moves", "half"), [(QUENCH, 0.5), (SGD, 10.0)])
def test_two_halves_are_the_whole_where_there_is_no_chance(
    system: str, moves: dict[str, Any], half: float, tmp_path: Path
) -> None:
    """Bit for bit, momentum included."""
    whole = ran(spec_of(moves, 2 * half, system), tmp_path / "whole")
    ran(spec_of(moves, half, system), tmp_path / "first")
    second = ran(spec_of(moves, half, system), tmp_path / "second", tmp_path / "first")
    assert torch.equal(second.x, whole.x)
    assert second.dynamics.keys() == whole.dynamics.keys()
    for name, value in whole.dynamics.items():
        assert torch.equal(second.dynamics[name], value)


def test_the_system_s_memory_is_taken_over(tmp_path: Path) -> None:
    """Batch norm: its running statistics and its count of looks go on."""
    system = {"kind": "normed", "data": {"kind": "cifar10", "if_absent": "sample", "train": 40, "test": 10}}
    plugin = tmp_path / "normed.py"
    plugin.write_text(NORMED)
    schedule = {"horizon": 4.0, "time": [0.0], "t_w": [0.0], "t": [0.0]}
    source = tables(
        "cnn", "sgd", system=system, dynamics=SGD | {"batch_size": 10}, schedule=schedule, observables=[{"kind": "energy"}]
    )
    spec = api.load(source, plugins=[plugin])
    first = ran(spec, tmp_path / "a")
    second = ran(spec, tmp_path / "b", tmp_path / "a")
    (count,) = (name for name in first.system if "num_batches" in name)
    assert first.system[count].tolist() == [4, 4]
    assert second.system[count].tolist() == [8, 8]


def test_memory_that_this_system_does_not_have_is_left_behind() -> None:
    """Batch norm's statistics, taken to a network of as many weights with another norm, would be carried along for ever."""
    system = Setting.of(spec_of(QUENCH, 0.2)).system(0)
    x = torch.zeros(2, 5)
    begun = State(x + 1, 7, {"mean": torch.ones(2, 3), "grown": torch.ones(2, 4), "stranger": torch.ones(2)})
    taken = taken_over(system, State(x, 0, {"mean": torch.zeros(2, 3), "grown": torch.zeros(2, 3)}), begun)
    assert torch.equal(taken.x, begun.x)
    assert taken.system.keys() == {"mean", "grown"}
    assert torch.equal(taken.system["mean"], torch.ones(2, 3))
    assert torch.equal(taken.system["grown"], torch.zeros(2, 3))


NORMED = '''
import math
from typing import Literal
from torch import nn
import glassyrun
from glassyrun_networks import NetworkOptions

class NormedOptions(NetworkOptions):
    """A layer with batch norm."""
    kind: Literal["normed"] = "normed"

    def module(self, shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 3), nn.BatchNorm1d(3), nn.Linear(3, classes))

@glassyrun.hookimpl
def glassyrun_systems():
    return [NormedOptions]
'''


def test_memory_that_does_not_fit_is_left_behind(tmp_path: Path) -> None:
    ran(spec_of(SGD, 5.0), tmp_path / "sgd")
    assert ran(spec_of(HOT, 0.2), tmp_path / "hot", tmp_path / "sgd").dynamics == {}
    again = spec_of(SGD, 1.0)
    after = ran(again, tmp_path / "again", tmp_path / "hot")
    system = Setting.of(again).system(0)
    start = State(final(tmp_path / "hot").x.clone())
    assert torch.equal(after.dynamics["velocity"], system.gradient(start).gradient)  # from rest


def test_no_number_is_drawn_a_second_time(tmp_path: Path) -> None:
    """Same spec, same seed, three runs one from the other: x already holds the first run's noise and must not meet it again."""
    spec = spec_of({**HOT, "batch_size": 4}, 0.5)
    ran(spec, tmp_path / "a")
    ran(spec, tmp_path / "b", tmp_path / "a")
    setting = Setting.of(spec)
    system = setting.system(0)
    draws = []
    for begun in (None, final(tmp_path / "a"), final(tmp_path / "b")):
        (moves,) = setting.stages(system, 0, begun)
        draws += [moves.draw(step, setting.start(system, moves, 0)) for step in range(10)]
    noises = {tuple(draw.noise[0][0, :2].tolist()) for draw in draws}
    assert len(noises) == 30
    assert len({tuple(draw.batch[0].tolist()) for draw in draws}) > 20


def test_a_sample_begins_where_its_own_ended(tmp_path: Path) -> None:
    ensemble = {"samples": 3, "replicas": 2}
    first, second = spec_of(QUENCH, 0.2, "pspin", ensemble=ensemble), spec_of(QUENCH, 0.4, "pspin", ensemble=ensemble)
    ran(first, tmp_path / "first")
    ran(first, tmp_path / "then", tmp_path / "first")
    ran(second, tmp_path / "whole")
    for sample in range(3):
        assert torch.equal(final(tmp_path / "then", sample).x, final(tmp_path / "whole", sample).x)


def test_a_run_that_is_not_finished_gives_its_newest_checkpoint(tmp_path: Path) -> None:
    spec = spec_of(QUENCH, 0.5, run=FREQUENT)
    assert not attempt(spec, tmp_path / "a", Crash(after=4))
    manifest = read_manifest(tmp_path / "a")
    assert manifest is not None
    assert manifest.checkpoint is not None
    step = manifest.checkpoint.about["step"]
    assert 0 < step < 10
    ds = glassyrun.run(spec_of(QUENCH, 0.5), start_from=tmp_path / "a", quiet=True)
    about = json.loads(ds.attrs["started_from"])
    assert (about["step"], about["time"]) == (step, pytest.approx(0.05 * step))
    reached = glassyrun.run(spec_of(QUENCH, 0.05 * step), quiet=True)
    assert ds.energy.isel(time=0).values.tolist() == reached.energy.isel(time=-1).values.tolist()


def through_kills(spec: Spec, directory: Path, origin: Path, between: Any = None) -> None:
    for _ in range(60):
        store = Store.open(directory, dump_spec(spec))
        crash = Crash(after=2)
        try:
            with numerics(spec):
                began = Origin.read(origin, spec.ensemble.samples, but=directory)
                spec.system.solver().run(Experiment(Setting.of(spec, origin=began), store, crash, crash.stop))
            store.finish()
            return
        except Killed:
            pass
        finally:
            store.close()
        if between:
            between()
    raise AssertionError


def test_what_began_elsewhere_goes_on_through_kills_though_that_run_goes_on(tmp_path: Path) -> None:
    """It holds its own copy of where it began, for all samples, until they are finished."""
    first = spec_of(HOT, 0.5, run=FREQUENT, ensemble={"samples": 1, "replicas": 2})
    then = spec_of({**HOT, "batch_size": 3}, 0.5, run=FREQUENT, ensemble={"samples": 1, "replicas": 2})
    assert not attempt(first, tmp_path / "a", Crash(after=4))
    shutil.copytree(tmp_path / "a", tmp_path / "frozen")
    api.execute(then, tmp_path / "whole", start_from=tmp_path / "frozen", quiet=True)
    through_kills(then, tmp_path / "parts", tmp_path / "a", lambda: attempt(first, tmp_path / "a", Crash(after=2)))
    assert read_manifest(tmp_path / "a").checkpoint != read_manifest(tmp_path / "frozen").checkpoint  # type: ignore[union-attr]
    assert result.write(tmp_path / "parts").read_bytes() == (tmp_path / "whole" / "result.nc").read_bytes()


def test_starts_are_kept_as_long_as_needed(tmp_path: Path) -> None:
    """Until a sample is finished, where its horizon can't grow; else for good."""
    run = FREQUENT | {"extendable": False}
    spec = spec_of(QUENCH, 0.2, "pspin", ensemble={"samples": 3, "replicas": 1}, run=run)
    ran(spec, tmp_path / "a")
    held: set[int] = set()

    def look() -> None:
        manifest = read_manifest(tmp_path / "b")
        assert manifest is not None
        assert [blob.about["sample"] for blob in manifest.starts] == list(range(manifest.done, 3))
        held.add(len(manifest.starts))

    through_kills(spec, tmp_path / "b", tmp_path / "a", look)
    assert held == {1, 2, 3}
    assert sorted(path.name.split("-")[1] for path in (tmp_path / "b" / "checkpoints").iterdir()) == ["final.safetensors"] * 3


def test_the_result_says_where_it_began_and_names_no_place(tmp_path: Path) -> None:
    ran(spec_of(HOT, 0.5), tmp_path / "a")
    ds = glassyrun.run(spec_of(HOT, 0.5), tmp_path / "b", start_from=tmp_path / "a", quiet=True)
    about = json.loads(ds.attrs["started_from"])
    assert about.keys() == {"spec", "state", "step", "time", "what"}
    assert (about["step"], about["time"], about["what"]) == (10, 0.5, "state")
    assert about["state"] == state_digest(final(tmp_path / "a"))
    everything = (tmp_path / "b" / "manifest.json").read_text() + str(ds.attrs)
    assert str(tmp_path) not in everything
    assert "started_from" not in glassyrun.run(spec_of(HOT, 0.5), quiet=True).attrs


def test_another_origin_is_another_run(tmp_path: Path) -> None:
    spec = spec_of(HOT, 0.5)
    for seed in (1, 2):
        ran(spec_of(HOT, 0.5, seed=seed), tmp_path / f"{seed}")
    ran(spec, tmp_path / "b", tmp_path / "1")
    assert api.execute(spec, tmp_path / "b", start_from=tmp_path / "1", quiet=True).already_done
    ran(spec, tmp_path / "plain")
    for directory, origin in (("b", tmp_path / "2"), ("b", None), ("plain", tmp_path / "1")):
        with pytest.raises(Refusal, match=r"the run was begun from .*, now from .*give the same --from") as caught:
            api.execute(spec, tmp_path / directory, start_from=origin, quiet=True)
        assert ("no other run" in str(caught.value)) == (origin is None or directory == "plain")
    assert not api.execute(spec, tmp_path / "b", start_from=tmp_path / "2", quiet=True, fresh=True).already_done


@pytest.mark.parametrize("finished", [False, True])
def test_it_goes_on_where_the_other_run_is_not_there_any_more(
    finished: bool, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """From its own copy, to the same bytes; one that has none yet can't."""
    spec = spec_of(HOT, 0.5, run=FREQUENT, ensemble={"samples": 2, "replicas": 2})
    ran(spec, tmp_path / "a")
    ran(spec, tmp_path / "whole", tmp_path / "a")
    ran(spec, tmp_path / "parts", tmp_path / "a") if finished else stopped(spec, tmp_path / "parts", tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    capsys.readouterr()
    outcome = api.execute(spec, tmp_path / "parts", start_from=tmp_path / "a", quiet=True)
    assert outcome.already_done == finished
    assert "holds no run" in (told := capsys.readouterr().err)
    assert "goes on from its own copy" in told
    assert outcome.result.read_bytes() == (tmp_path / "whole" / "result.nc").read_bytes()
    for fresh, place in ((True, "parts"), (False, "new")):
        with pytest.raises(StorageError, match="holds no run"):
            api.execute(spec, tmp_path / place, start_from=tmp_path / "a", quiet=True, fresh=fresh)
    assert (tmp_path / "parts" / "result.nc").exists()


def test_it_goes_on_where_the_other_run_has_grown_since(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """With the one State that it was begun from; also while the other run's samples stand at different steps."""
    spec, other = (spec_of(HOT, horizon, ensemble={"samples": 2, "replicas": 2}, run=FREQUENT) for horizon in (0.5, 1.0))
    ran(spec, tmp_path / "a")
    ran(spec, tmp_path / "whole", tmp_path / "a")
    for name in ("parts", "others"):
        stopped(spec, tmp_path / name, tmp_path / "a")
    other = other.model_copy(update={"schedule": spec.schedule.model_copy(update={"horizon": 1.0})})
    store = Store.open(tmp_path / "a", dump_spec(spec))
    setting, crash = grow(store, Setting.of(other), [("schedule.horizon", 0.5, 1.0)], Crash()), Crash(after=4)
    with numerics(other), pytest.raises(Killed):
        other.system.solver().run(Experiment(setting, store, crash, crash.stop))
    store.close()
    capsys.readouterr()
    api.execute(spec, tmp_path / "parts", start_from=tmp_path / "a", quiet=True)
    assert "its samples stand at the steps 10, " in (told := capsys.readouterr().err)
    assert "goes on from its own copy" in told
    api.execute(other, tmp_path / "a", quiet=True)
    api.execute(spec, tmp_path / "others", start_from=tmp_path / "a", quiet=True)
    assert "that run has gone on since" in capsys.readouterr().err
    for name in ("parts", "others"):
        assert (tmp_path / name / "result.nc").read_bytes() == (tmp_path / "whole" / "result.nc").read_bytes()


def stopped(spec: Spec, directory: Path, origin: Path) -> None:
    """A run that began elsewhere and was killed in its first sample."""
    store, crash = Store.open(directory, dump_spec(spec)), Crash(after=3)
    began = Origin.read(origin, spec.ensemble.samples, but=directory)
    with numerics(spec), pytest.raises(Killed):
        spec.system.solver().run(Experiment(Setting.of(spec, origin=began), store, crash, crash.stop))
    store.close()


def test_another_seed_of_the_same_system_is_told_loudly(tmp_path: Path) -> None:
    """Its couplings are others, so x comes from another disorder."""
    ran(spec_of(QUENCH, 0.2, "pspin", seed=1), tmp_path / "a")
    told = glassyrun.run(spec_of(QUENCH, 0.2, "pspin", seed=2), start_from=tmp_path / "a", quiet=True).attrs["warnings"]
    assert "begins from a run that has another disorder: its seed was 1, now it is 2" in told
    assert str(tmp_path) not in told
    other = spec_of(QUENCH, 0.2, system={"kind": "quadratic", "n": 12})
    told = glassyrun.run(other, start_from=tmp_path / "a", quiet=True).attrs["warnings"]
    assert 'begins from a run of another system, "pspin"' in told
    assert "warnings" not in glassyrun.run(spec_of(HOT, 0.2, "pspin", seed=1), start_from=tmp_path / "a", quiet=True).attrs


def test_from_single_to_double_precision(tmp_path: Path) -> None:
    first = ran(spec_of(SGD, 5.0, run={"dtype": "float32"}), tmp_path / "a")
    second = ran(spec_of(SGD, 1.0, run={"dtype": "float64"}), tmp_path / "b", tmp_path / "a")
    assert first.x.dtype == torch.float32
    assert second.x.dtype == second.dynamics["velocity"].dtype == torch.float64
    system = Setting.of(spec_of(SGD, 1.0, run={"dtype": "float64"})).system(0)
    velocity = 0.5 * first.dynamics["velocity"].double() + system.gradient(State(first.x.double())).gradient
    torch.testing.assert_close(second.dynamics["velocity"], velocity, rtol=1e-13, atol=1e-14)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("a", {"ensemble": {"replicas": 3}}, "that run has 2 replicas of 5 degrees of freedom, expected 3 of 5"),
    ("a", {"system": {"kind": "quadratic", "n": 6}}, "that run has 2 replicas of 5 degrees of freedom, expected 2 of 6"),
    ("a", {"ensemble": {"replicas": 2, "samples": 2}}, "holds States of 1 sample, expected 2"),
    ("a", {"system": {"kind": "pspin", "n": 5}}, "do not lie on this system's sphere"),
    ("a@0.25", {}, "that run kept no configurations; add"),
    ("a@soon", {}, "found 'soon' after the @, expected a waiting time such as"),
    ("kept@0.2", {}, "found t_w = 0.2, expected a waiting time of that run; the nearest is 0.25"),
    ("kept@nan", {}, "found 'nan' after the @, expected a waiting time such as"),
    ("kept@inf", {}, "found 'inf' after the @, expected a waiting time such as"),
    ("diverged", {}, "that run diverged"),
    ("nothing", {}, "holds no run"),
    ("b", {}, "is the directory of this run"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    api.execute(spec_of(HOT, 0.5), place / "a", quiet=True)
    api.execute(spec_of(HOT, 0.5, observables=[{"kind": "configurations", "name": "x"}]), place / "kept", quiet=True)
    with pytest.raises(glassyrun.Diverged):
        api.execute(spec_of({**QUENCH, "dt": 50.0}, 5000.0), place / "diverged", quiet=True)
    return place


@pytest.mark.parametrize(("origin", "changes", "told"), REFUSED)
def test_what_does_not_fit_is_one_sentence(runs: Path, origin: str, changes: dict[str, Any], told: str) -> None:
    spec = spec_of(HOT, 0.5, **changes)
    try:
        with pytest.raises((Refusal, StorageError), match=r"^--from") as caught:
            api.execute(spec, runs / "b", start_from=runs / origin, quiet=True)
    finally:
        shutil.rmtree(runs / "b", ignore_errors=True)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_can_be_mended_in_place_and_leaves_no_litter(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal):
        api.execute(spec_of(HOT, 0.5, ensemble={"replicas": 3}), tmp_path / "b", start_from=runs / "a", quiet=True)
    api.execute(spec_of(HOT, 0.5), tmp_path / "b", start_from=runs / "a", quiet=True)
    manifest = read_manifest(tmp_path / "b")
    assert manifest is not None
    files = {path.relative_to(tmp_path / "b").as_posix() for path in (tmp_path / "b").glob("*/*")}
    assert files == {blob.file for blob in manifest.blobs()}


def test_what_was_killed_before_it_measured_anything_may_be_another_run(runs: Path, tmp_path: Path) -> None:
    """Another origin, another spec: the copy of where the first one was to begin is not left behind."""
    spec, place = spec_of(HOT, 0.5), tmp_path / "b"
    for origin, following in (("a", spec_of(HOT, 0.5)), ("kept", spec_of(HOT, 0.5)), ("a", spec_of(HOT, 0.4))):
        store = Store.open(place, dump_spec(spec))
        crash = Crash(after=1)
        experiment = Experiment(Setting.of(spec, origin=Origin.read(runs / origin, 1, but=place)), store, crash, crash.stop)
        with numerics(spec), pytest.raises(Killed):
            spec.system.solver().run(experiment)
        store.close()
        assert len(list((place / "checkpoints").iterdir())) == 1
        spec = following
    api.execute(spec, place, start_from=runs / "a", quiet=True)
    kinds = sorted(path.name.split("-")[1] for path in (place / "checkpoints").iterdir())
    assert kinds == ["final.safetensors", "start.safetensors"]


@pytest.mark.parametrize("call", [*range(14), 20, 30, 40])
def test_a_full_disk_loses_neither_starts_nor_final_states(
    call: int, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th fsync fails; once there is room again the same command ends with the same bytes."""
    stages = [{**SGD, "until": 2.0}, HOT]
    spec = spec_of(QUENCH, 2.1, dynamics=stages, run=FREQUENT)
    left, true = [call], os.fsync

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise OSError(errno.ENOSPC, "No space left on device")
        true(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with contextlib.suppress(StorageError):
        api.execute(spec, tmp_path / "b", start_from=runs / "a", quiet=True)
    assert left[0] < 0
    monkeypatch.setattr(files.os, "fsync", true)
    api.execute(spec, tmp_path / "b", start_from=runs / "a", quiet=True)
    api.execute(spec, tmp_path / "whole", start_from=runs / "a", quiet=True)
    assert (tmp_path / "b" / "result.nc").read_bytes() == (tmp_path / "whole" / "result.nc").read_bytes()
    assert state_digest(final(tmp_path / "b")) == state_digest(final(tmp_path / "whole"))


def test_a_run_begins_from_configurations_that_another_kept(runs: Path) -> None:
    """x as it was at t_w, and nothing of the memory."""
    kept = glassyrun.run(spec_of(HOT, 0.5, observables=[{"kind": "configurations", "name": "x"}]), quiet=True).x
    observables = [{"kind": "configurations"}]
    again = glassyrun.run(spec_of(SGD, 5.0, observables=observables), start_from=f"{runs / 'kept'}@0.25", quiet=True)
    assert (again.configurations.sel(t_w=0).values == kept.sel(t_w=0.25).values).all()
    about = json.loads(again.attrs["started_from"])
    assert (about["step"], about["time"], about["what"]) == (5, 0.25, "configurations")


def test_the_newest_state_of_a_run_of_an_older_format_is_not_guessed(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "a", tmp_path / "old")
    raw = json.loads((tmp_path / "old" / "manifest.json").read_text())
    (last,) = raw.pop("finals")
    del raw["starts"]
    raw["format"] = 1
    (tmp_path / "old" / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(Refusal, match="made by a version that kept no final States"):
        glassyrun.run(spec_of(HOT, 0.5), start_from=tmp_path / "old", quiet=True)
    assert result.assemble(tmp_path / "old").attrs["complete"] == 1
    del last["about"]["time"]
    (tmp_path / "old" / "manifest.json").write_text(json.dumps(raw | {"complete": False, "checkpoint": last}))
    with pytest.raises(Refusal, match="made by a version that kept no final States"):
        glassyrun.run(spec_of(HOT, 0.5), start_from=tmp_path / "old", quiet=True)
