"""What goes wrong ends in one sentence, with the right exit code, and keeps what was measured."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from tests.engine_tools import load, tables

import glassyrun
from glassyrun import Observable, ObservableOptions, Snapshot, Variable, api, files, result, saved
from glassyrun.heartbeat import write_sidecar
from glassyrun.readings import Readings
from glassyrun.recorder import Recorder
from glassyrun.schedule import Event
from glassyrun.spec.load import dump_spec
from glassyrun.store import Store
from glassyrun_dynamics.sgd import SGD


def test_too_large_a_step_on_the_sphere_is_found_by_a_rising_energy(tmp_path: Path) -> None:
    """On the sphere nothing overflows; the first bad step is named and what came before is kept."""
    spec = load(
        tables(
            "pspin",
            "quench",
            dynamics={"kind": "quench", "dt": 3.0},
            schedule={"horizon": 300.0, "time": {"from": 0, "to": 300, "n": 101}},
        )
    )
    with pytest.raises(glassyrun.Diverged, match=r"at step \d+ .*rose to .*dynamics.dt smaller") as caught:
        api.execute(spec, tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 3
    ds = result.assemble(tmp_path / "run")
    assert ds.attrs["complete"] == 0
    assert "rose to" in ds.attrs["failure"]
    assert bool(ds.energy.isel(time=0).notnull().all())
    assert (tmp_path / "run" / "result.nc").exists()
    with pytest.raises(glassyrun.Diverged, match="ended before"):
        api.execute(spec, tmp_path / "run", quiet=True)


def test_a_rising_energy_can_be_accepted() -> None:
    dynamics = {"kind": "quench", "dt": 3.0}
    schedule = {"horizon": 30.0}
    ds = glassyrun.run(
        tables("pspin", "quench", dynamics=dynamics, schedule=schedule, run={"rising_energy": "accept"}), quiet=True
    )
    assert ds.energy.notnull().all()


@pytest.mark.parametrize("system", ["quadratic", "cnn"])
def test_infinite_energy_in_flat_space_stops_the_run(system: str, tmp_path: Path) -> None:
    dynamics = {"kind": "sgd", "learning_rate": 1e4, "batch_size": 4}
    with pytest.raises(glassyrun.Diverged, match=r"became .*dynamics.learning_rate smaller"):
        api.execute(load(tables(system, "sgd", steps=60, dynamics=dynamics)), tmp_path / "run", quiet=True)
    assert result.assemble(tmp_path / "run").energy.isel(time=0).notnull().all()


def test_two_runs_in_one_directory(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "sgd"))
    store = Store.open(tmp_path / "run", dump_spec(spec))
    try:
        with pytest.raises(glassyrun.Locked, match="another process is running here") as caught:
            api.execute(spec, tmp_path / "run", quiet=True)
        assert caught.value.exit_code == 4
    finally:
        store.close()
    assert not api.execute(spec, tmp_path / "run", quiet=True).already_done


def test_a_directory_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(glassyrun.StorageError, match=r"-o DIR") as caught:
        api.execute(load(tables("quadratic", "sgd")), tmp_path / "file" / "run", quiet=True)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("call", range(12))
def test_a_full_disk_loses_nothing_that_was_committed(call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The n-th fsync fails as a full disk does; after it is freed, the same command ends with the same bytes."""
    spec = load(tables("quadratic", "sgd", steps=6, run={"checkpoint_seconds": 1e-9}))
    whole = api.execute(spec, tmp_path / "whole", quiet=True).result.read_bytes()
    calls = 0
    real = os.fsync

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 5 * call + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(glassyrun.StorageError, match="disk is full"):
        api.execute(spec, tmp_path / "run", quiet=True)
    monkeypatch.undo()
    assert api.execute(spec, tmp_path / "run", quiet=True).result.read_bytes() == whole


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    api.execute(load(tables("quadratic", "sgd")), tmp_path / "run", quiet=True)
    shard = next((tmp_path / "run" / "shards").glob("*-measured.*"))
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1
    shard.write_bytes(content)
    assert result.assemble(tmp_path / "run").attrs["damaged"] == f"shards/{shard.name}"


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "sgd"))
    api.execute(spec, tmp_path / "run", quiet=True)
    manifest = tmp_path / "run" / "manifest.json"
    for damage in ("{", json.dumps({"format": 99}), "[]", '{"format": 1}'):
        manifest.write_text(damage)
        with pytest.raises(glassyrun.StorageError, match=r"manifest\.json"):
            api.execute(spec, tmp_path / "run", quiet=True)


def test_a_directory_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(glassyrun.StorageError, match="holds no run"):
        api.collect(tmp_path)


def test_what_does_not_fit_is_refused_before_it_is_taken() -> None:
    source = tables("quadratic", "sgd", system={"kind": "quadratic", "n": 20_000, "terms": 100_000_000})
    with pytest.raises(glassyrun.Refusal, match=r"needs about .* GB .* are free"):
        glassyrun.run(source, quiet=True)


def test_a_batch_larger_than_the_system() -> None:
    source = tables("quadratic", "sgd", dynamics={"kind": "sgd", "batch_size": 13})
    with pytest.raises(glassyrun.Refusal, match=r"dynamics.batch_size: found 13, .* only 12 terms"):
        glassyrun.run(source, quiet=True)


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(glassyrun.Refusal, match=r'run.device: found "cuda:99"'):
        glassyrun.run(tables("quadratic", "sgd", run={"device": "cuda:99"}), quiet=True)


@pytest.mark.parametrize("name", ["log.jsonl", "status.json", ".status.json.part"])
@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_what_stands_beside_a_run_does_not_stop_it(name: str, kind: str, tmp_path: Path) -> None:
    """A disk that is full for the log or the heartbeat, a link that leads out: what is measured is committed all the same."""
    spec = load(tables("quadratic", "sgd", steps=4))
    whole = api.execute(spec, tmp_path / "whole", quiet=True).result.read_bytes()
    Store.open(tmp_path / "run", dump_spec(spec)).close()
    outside, place = tmp_path / "outside", tmp_path / "run" / name
    place.unlink(missing_ok=True)
    outside.write_text("mine")
    {"directory": place.mkdir, "link": lambda: place.symlink_to(outside), "pipe": lambda: os.mkfifo(place)}[kind]()
    assert api.execute(spec, tmp_path / "run", quiet=True).result.read_bytes() == whole
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("how", ["gone", "taken over"])
def test_a_directory_that_vanishes_under_a_run(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, nothing is made anew in its place, and where it comes back the run goes on."""
    spec = load(tables("quadratic", "sgd", steps=6, run={"checkpoint_seconds": 1e-9}))
    whole = api.execute(spec, tmp_path / "whole", quiet=True).result.read_bytes()
    run, away, real = tmp_path / "run", tmp_path / "away", Readings.measure

    def measure(readings: Readings, event: Event, now: Snapshot) -> None:
        if event.step == 3:
            run.rename(away)
            if how == "taken over":
                Store.open(run, dump_spec(spec)).close()
                write_sidecar(run / "owner.json", {"pid": 1, "since": 0, "host": "far", "token": "other"})
        real(readings, event, now)

    monkeypatch.setattr(Readings, "measure", measure)
    kind, said = (glassyrun.Locked, "taken this run over") if how == "taken over" else (glassyrun.StorageError, "is gone")
    with pytest.raises(kind, match=said):
        api.execute(spec, run, quiet=True)
    monkeypatch.undo()
    if how == "gone":
        assert not run.exists()
        away.rename(run)
        assert api.execute(spec, run, quiet=True).result.read_bytes() == whole
    else:
        assert not list((run / "shards").iterdir())


NO_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."
    ),
]


@pytest.mark.parametrize("error", NO_MEMORY)
@pytest.mark.parametrize("where", ["step", "reading", "checkpoint"])
def test_memory_that_runs_out_on_the_way(
    error: Exception, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit code 5; what was measured is kept, and on a machine with more memory the run goes on to the same bits."""
    spec = load(tables("quadratic", "sgd", steps=8, run={"checkpoint_seconds": 1e-9 if where == "checkpoint" else 60.0}))
    whole = api.execute(spec, tmp_path / "whole", quiet=True).result.read_bytes()
    place, name = {"step": (SGD, "advance"), "reading": (Recorder, "record"), "checkpoint": (saved, "checkpoint")}[where]
    real, calls = getattr(place, name), []

    def hungry(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == {"step": 5, "reading": 150, "checkpoint": 5}[where]:
            raise error
        return real(*arguments)

    monkeypatch.setattr(place, name, hungry)
    with pytest.raises(glassyrun.OutOfMemory, match="out of memory; take fewer replicas or waiting times") as caught:
        api.execute(spec, tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    ds = result.assemble(tmp_path / "run")
    assert ds.energy.isel(time=slice(0, 5 if where == "checkpoint" else 3)).notnull().all()
    assert ds.attrs["complete"] == 0
    assert api.execute(spec, tmp_path / "run", quiet=True).result.read_bytes() == whole
    assert capfd.readouterr().err == ""


def test_memory_that_runs_out_again_while_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load(tables("quadratic", "sgd", steps=8))

    def hungry(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(SGD, "advance", hungry)
    monkeypatch.setattr(Recorder, "drain", hungry)
    with pytest.raises(glassyrun.OutOfMemory):
        api.execute(spec, tmp_path / "run", quiet=True)


class _Rude(Observable):
    grid = "time"

    def __init__(self, answer: object) -> None:
        self.variables, self.answer = {"rude": Variable("rude")}, answer

    def read(self, now: object, then: object) -> dict[str, torch.Tensor]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


class _RudeOptions(ObservableOptions):
    """Returns nonsense."""

    kind: str = "rude"
    which: str

    def build(self, context: object, system: object) -> _Rude:
        answers = {
            "raises": RuntimeError("boom"),
            "name": {"other": torch.zeros(2)},
            "shape": {"rude": torch.zeros(3)},
            "type": {"rude": 1.0},
        }
        return _Rude(answers[self.which])


@pytest.mark.parametrize(
    ("which", "said"), [("raises", "RuntimeError.*boom"), ("name", "announced"), ("shape", r"shape \(2,\)"), ("type", "float")]
)
def test_an_observable_that_misbehaves_is_named(which: str, said: str, tmp_path: Path) -> None:
    plain = load(tables("quadratic", "sgd"))
    spec = plain.model_copy(update={"observables": [*plain.observables, _RudeOptions(which=which)]})
    with pytest.raises(glassyrun.GlassyrunError, match=f"observables.rude.*{said}"):
        api.execute(spec, tmp_path / "run", quiet=True)
