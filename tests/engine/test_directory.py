"""A run directory is claimed with care: nothing of a user's is overwritten, and nothing of another run's is mixed in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.engine.test_resume import attempt
from tests.engine_tools import Crash, Killed, load, tables

import glassyrun
from glassyrun import api, result


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["spec.toml", "notes.txt", "checkpoints/model.pt", "result.nc"])
def test_files_that_no_run_wrote_are_left_alone(name: str, fresh: bool, tmp_path: Path) -> None:
    mine = tmp_path / "run" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(glassyrun.StorageError, match="holds files that no run wrote"):
        api.execute(load(tables("quadratic", "sgd")), tmp_path / "run", quiet=True, fresh=fresh)
    assert mine.read_text() == "mine"


def test_fresh_removes_a_run_and_nothing_else(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "sgd"))
    api.execute(spec, tmp_path / "run", quiet=True)
    for name in ("notes.txt", "shards/mine.safetensors", "summary.png"):
        (tmp_path / "run" / name).write_text("mine")
    old = {path.read_bytes() for path in (tmp_path / "run" / "shards").glob("0*")}
    api.execute(load(tables("quadratic", "sgd", seed=8)), tmp_path / "run", quiet=True, fresh=True)
    for name in ("notes.txt", "shards/mine.safetensors", "summary.png"):
        assert (tmp_path / "run" / name).read_text() == "mine"
    assert result.assemble(tmp_path / "run").attrs["seed"] == 8
    assert len(old) > 2
    assert old.isdisjoint(path.read_bytes() for path in (tmp_path / "run" / "shards").glob("0*"))


def test_a_kill_while_fresh_clears_leaves_a_directory_to_go_on_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each file that is removed; once it took the rest of the old run for a stranger's files."""
    spec, other = (load(tables("quadratic", "sgd", seed=seed)) for seed in (3, 8))
    unlink, left = Path.unlink, 0
    for allowed in range(40):
        api.execute(spec, tmp_path / "run", quiet=True, fresh=True)
        calls = iter(range(allowed))

        def dying(path: Path, missing_ok: bool = False, calls: Iterator[int] = calls) -> None:
            if next(calls, None) is None:
                raise Killed
            unlink(path, missing_ok)

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(Path, "unlink", dying)
            api.execute(other, tmp_path / "run", quiet=True, fresh=True)
            break
        api.execute(other, tmp_path / "run", quiet=True)
        assert result.assemble(tmp_path / "run").attrs["seed"] == 8
        left += 1
    assert left > 5


def test_a_refused_spec_can_be_mended_in_place(tmp_path: Path) -> None:
    wrong = load(tables("quadratic", "sgd", dynamics={"kind": "sgd", "batch_size": 100}))
    with pytest.raises(glassyrun.Refusal, match="batch_size"):
        api.execute(wrong, tmp_path / "run", quiet=True)
    assert not api.execute(load(tables("quadratic", "sgd")), tmp_path / "run", quiet=True).already_done


def data_folder(place: Path, images: int) -> Path:
    """A made-up cifar10.npz of the right form."""
    place.mkdir()
    chance = np.random.default_rng(images)
    arrays = {
        f"{part}_x": chance.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        for part, count in (("train", images), ("test", 20))
    }
    labels = {f"{part}_y": np.arange(count) % 10 for part, count in (("train", images), ("test", 20))}
    np.savez(place / "cifar10.npz", **arrays, **labels)
    return place


def test_a_run_does_not_go_on_with_another_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spec is the same, the folder is not: the bits that follow would be those of no run at all."""
    system = {"kind": "cnn", "channels": [2, 3], "hidden": 8, "data": {"kind": "cifar10"}}
    spec = load(tables("cnn", "sgd", system=system, run={"checkpoint_seconds": 1e-9}))
    one, other = data_folder(tmp_path / "one", 40), data_folder(tmp_path / "other", 60)
    monkeypatch.setenv("GLASSYRUN_DATA", str(one))
    assert not attempt(spec, tmp_path / "run", Crash(after=4))
    with pytest.raises(glassyrun.Refusal, match=r"begun on another disorder or data set .*data_sha256"):
        api.execute(spec, tmp_path / "run", data_root=other, quiet=True)
    assert api.execute(spec, tmp_path / "run", data_root=one, quiet=True).result.exists()


def test_a_data_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, told in (("typo", "there is no such folder"), ("file", "is a file")):
        with pytest.raises(glassyrun.StorageError, match=told):
            glassyrun.run(tables("cnn", "sgd"), data=tmp_path / name, quiet=True)
    assert not (tmp_path / "typo").exists()


def test_the_last_step_is_looked_at_too() -> None:
    """One step far too long: the energy at its end is 3·10¹¹, and no later step would have looked at it."""
    dynamics = {"kind": "quench", "dt": 1e5}
    source = tables("quadratic", "quench", dynamics=dynamics, schedule={"horizon": 1e5, "time": [0.0], "t_w": [0.0], "t": [1e5]})
    with pytest.raises(glassyrun.Diverged, match="rose to"):
        glassyrun.run(source, quiet=True)


def test_an_infinite_start_is_not_blamed_on_the_time_step() -> None:
    source = tables("quadratic", "quench", system={"kind": "quadratic", "n": 3, "noise": 1e30}, run={"dtype": "float32"})
    with pytest.raises(glassyrun.Diverged, match="the start of sample 0"):
        glassyrun.run(source, quiet=True)


def test_weight_decay_on_a_sphere_is_refused() -> None:
    with pytest.raises(glassyrun.Refusal, match="weight_decay"):
        glassyrun.run(tables("pspin", "sgd", dynamics={"kind": "sgd", "weight_decay": 0.1}), quiet=True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_is_what_is_foreseen() -> None:
    """Many readings of a large x: no temporary and no displacement outlives its reading."""
    import subprocess
    import sys

    code = """
import glassyrun, sys
from glassyrun.experiment import Setting
def peak():
    return 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
def source(n, points):
    grid = {"from": 0.0, "to": 30.0, "n": points}
    return {
        "system": {"kind": "quadratic", "n": n, "terms": 2}, "dynamics": {"kind": "sgd", "batch_size": 1, "learning_rate": 1e-5},
        "schedule": {"horizon": 60.0, "time": [0.0], "t_w": grid, "t": grid}, "ensemble": {"replicas": 4},
        "observables": [{"kind": "msd"}, {"kind": "overlap"}, {"kind": "displacement"}],
    }
glassyrun.run(source(10, 31), quiet=True)
idle = peak()
glassyrun.run(source(20000, 31), quiet=True)
setting = Setting.of(glassyrun.load(source(20000, 31)))
print(peak() - idle, setting.memory(setting.footprint()))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    taken, foreseen = map(int, out.split())
    assert taken < 1.5 * foreseen + 10e6, (taken, foreseen)


def test_readings_beyond_one_buffer_come_back_in_order() -> None:
    ds = glassyrun.run(
        tables(
            "quadratic",
            "sgd",
            steps=700,
            observables=[{"kind": "energy"}],
            schedule={"horizon": 700.0, "time": {"from": 0.0, "to": 700.0, "n": 701}, "t_w": [0.0], "t": [0.0]},
        ),
        quiet=True,
    )
    few = glassyrun.run(
        tables(
            "quadratic",
            "sgd",
            steps=700,
            observables=[{"kind": "energy"}],
            schedule={"horizon": 700.0, "time": [0.0, 255.0, 256.0, 257.0, 512.0, 700.0], "t_w": [0.0], "t": [0.0]},
        ),
        quiet=True,
    )
    np.testing.assert_array_equal(ds.energy.sel(time=few.time), few.energy)
    assert torch.isfinite(torch.from_numpy(ds.energy.values)).all()


def test_a_run_without_its_manifest_is_called_one(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "sgd"))
    api.execute(spec, tmp_path, quiet=True)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(glassyrun.StorageError, match=r"holds a run whose manifest\.json is gone; restore that file"):
        api.execute(spec, tmp_path, quiet=True)
