"""Two checkpoints: a damaged one costs the time since the one before, and no bit. What a stranger's directory says is not believed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine.test_resume import attempt, bytes_of
from tests.engine_tools import PAIRS, Crash, load, tables

import glassyrun
from glassyrun import api, result, trajectories
from glassyrun.manifest import Manifest, read_manifest, sealed
from glassyrun.spec.model import Spec

OFTEN = {"checkpoint_seconds": 1e-9}


def manifest_of(directory: Path) -> Manifest:
    manifest = read_manifest(directory)
    assert manifest is not None
    return manifest


def spec_of(system: str = "quadratic", moves: str = "sgd", /, **run: Any) -> Spec:
    return load(tables(system, moves, steps=6, run=OFTEN | run, ensemble={"samples": 1, "replicas": 2}))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


DAMAGES: dict[str, Callable[[Path], None]] = {"flipped": flipped, "cut": cut, "absent": Path.unlink}


@pytest.mark.parametrize(("system", "moves"), PAIRS)
@pytest.mark.parametrize("extendable", [True, False])
def test_the_checkpoint_before_gives_the_same_bytes(system: str, moves: str, extendable: bool, tmp_path: Path) -> None:
    """At each stop the newest is damaged, so that all steps are done from the one before."""
    steps = 6 if system == "cnn" else 9
    spec = load(
        tables(system, moves, steps=steps, run=OFTEN | {"extendable": extendable}, ensemble={"samples": 1, "replicas": 2})
    )
    assert attempt(spec, tmp_path / "whole", Crash())
    damages, told = list(DAMAGES.values()), 0
    for round_ in range(12):
        crash = Crash(after=4)
        if attempt(spec, tmp_path / "parts", crash):
            break
        told += len(crash.warnings)
        newest, before = (manifest_of(tmp_path / "parts").checkpoint, manifest_of(tmp_path / "parts").previous)
        assert newest is not None
        assert before is not None
        damages[round_ % 3](tmp_path / "parts" / newest.file)
    assert told >= (1 if system == "cnn" else 2)
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")
    assert manifest_of(tmp_path / "parts").checkpoint is manifest_of(tmp_path / "parts").previous is None


def test_the_warning_names_the_file(tmp_path: Path) -> None:
    spec = spec_of()
    assert not attempt(spec, tmp_path, Crash(after=4))
    newest = manifest_of(tmp_path).checkpoint
    assert newest is not None
    flipped(tmp_path / newest.file)
    crash = Crash()
    assert attempt(spec, tmp_path, crash)
    (warning,) = crash.warnings
    assert newest.file in warning
    assert "goes on from the checkpoint before" in warning


def test_the_damaged_one_is_never_the_one_before(tmp_path: Path) -> None:
    """Killed right after it fell back: what is damaged is not named any more."""
    spec = spec_of()
    assert not attempt(spec, tmp_path, Crash(after=4))
    newest, before = manifest_of(tmp_path).checkpoint, manifest_of(tmp_path).previous
    assert newest is not None
    flipped(tmp_path / newest.file)
    assert not attempt(spec, tmp_path, Crash(after=1))
    assert manifest_of(tmp_path).checkpoint == before
    assert manifest_of(tmp_path).previous is None
    assert not (tmp_path / newest.file).exists()


def test_two_damaged_checkpoints_are_one_sentence(tmp_path: Path) -> None:
    spec = spec_of()
    assert not attempt(spec, tmp_path, Crash(after=4))
    before = (tmp_path / "manifest.json").read_bytes()
    manifest = manifest_of(tmp_path)
    assert manifest.checkpoint is not None
    assert manifest.previous is not None
    cut(tmp_path / manifest.checkpoint.file)
    flipped(tmp_path / manifest.previous.file)
    with pytest.raises(glassyrun.StorageError, match=f"{manifest.checkpoint.file}.*{manifest.previous.file}.*--fresh"):
        api.execute(spec, tmp_path, quiet=True)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_a_reference_that_only_the_newest_needs_may_be_damaged(tmp_path: Path) -> None:
    """It was remembered after the checkpoint before, and is remembered again."""
    spec = spec_of()
    assert attempt(spec, tmp_path / "whole", Crash())
    assert not attempt(spec, tmp_path / "run", Crash(after=4))
    manifest = manifest_of(tmp_path / "run")
    assert manifest.previous is not None
    late = [blob for blob in manifest.references if blob.about["since"] > manifest.previous.about["step"]]
    assert late
    flipped(tmp_path / "run" / late[0].file)
    crash = Crash()
    assert attempt(spec, tmp_path / "run", crash)
    assert late[0].file in crash.warnings[0]
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")
    named = manifest_of(tmp_path / "run").references
    assert len({blob.about["t_w"] for blob in named}) == len(named)


def test_a_reference_that_both_need_is_missed(tmp_path: Path) -> None:
    spec = spec_of()
    assert not attempt(spec, tmp_path, Crash(after=5))
    (first,) = (blob for blob in manifest_of(tmp_path).references if blob.about["since"] == 0)
    (tmp_path / first.file).unlink()
    with pytest.raises(glassyrun.StorageError, match=first.file):
        api.execute(spec, tmp_path, quiet=True)


def test_litter_of_a_killed_commit_is_removed(tmp_path: Path) -> None:
    spec = spec_of()
    assert not attempt(spec, tmp_path, Crash(after=3))
    litter = [
        tmp_path / "shards" / "00000990-measured.safetensors",
        tmp_path / "checkpoints" / ".00000991-state.safetensors.part",
    ]
    mine = tmp_path / "shards" / "mine.safetensors"
    for path in (*litter, mine):
        path.write_bytes(b"half")
    assert attempt(spec, tmp_path, Crash())
    assert not any(path.exists() for path in litter)
    assert mine.exists()


@pytest.mark.parametrize(
    ("wait", "last", "passed", "due"), [(60, 0.5, 61, True), (60, 2, 61, False), (60, 2, 201, True), (1e-9, 2, 1, True)]
)
def test_commits_take_no_more_than_a_hundredth(
    wait: float, last: float, passed: float, due: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from glassyrun.experiment import Experiment, Setting
    from glassyrun.spec.load import dump_spec
    from glassyrun.store import Store

    spec = spec_of(checkpoint_seconds=float(wait))
    store = Store.open(tmp_path, dump_spec(spec))
    trajectory = trajectories.Trajectory.begin(Experiment(Setting.of(spec), store, Crash()), 0)
    store.close()
    monkeypatch.setattr(trajectories.time, "monotonic", lambda: 1000.0 + passed)
    trajectory.committed, trajectory.commit_seconds = 1000.0, last
    assert trajectory.commit_due == due


# What a stranger's directory may say.


def set_at(raw: Any, path: str, value: Any) -> None:
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        raw = raw[part]
    raw[last] = value


HOSTILE = [
    ("shards.0.file", "../../victim"),
    ("shards.0.file", "/etc/passwd"),
    ("shards.0.file", "shards/../../victim/00000001-measured.safetensors"),
    ("shards.0.file", "checkpoints/00000001-state.safetensors"),
    ("shards.0.file", "shards/00000001-measured.safetensors\n"),
    ("checkpoint.file", "shards/00000001-measured.safetensors"),
    ("shards.0.size", -1),
    ("shards.0.size", 1e30),
    ("shards.0.size", "12"),
    ("shards.0.size", True),
    ("shards.0.digest", "zz"),
    ("shards.0.about.sample", 7),
    ("shards.0.about.sample", -1),
    ("shards.0.about", {}),
    ("references.0.about.t_w", 99),
    ("references.0.about.labels", "msd"),
    ("checkpoint.about.step", "3"),
    ("checkpoint.about.event", 10**6),
    ("checkpoint.about.step", 10**6),
    ("checkpoint.about.living", [{"t_w": 0, "since": 0, "step": 0, "labels": ["msd"]}]),
    ("checkpoint.about.disorder", ["a"]),
    ("axes.time.values", "0"),
    ("axes.time.values", [0.0, float("nan")]),
    ("axes.time_step.values", [1]),
    ("axes.time.along", "nothing"),
    ("axes", {}),
    ("variables.energy.grid", ["t_w", "time", "t"]),
    ("variables.energy.dims", ["a/b"]),
    ("variables.energy.dtype", "object"),
    ("variables.energy.coords", {"x": {"range": [0, 10, 0]}}),
    ("attributes.threads", "many"),
    ("attributes.versions", "["),
    ("attributes.plugins", '{"a": {"b": 1}}'),
    ("attributes.seed", {"a": 1}),
    ("spec", "= ["),
    ("done", -1),
    ("done", 2),
    ("serial", 0),
    ("complete", "yes"),
    ("failure", 3),
    ("failure", "two\nlines"),
    ("failure", "\x1b[31mred"),
    ("attributes.warnings", "\x1b]0;title\x07"),
    ("surprise", 1),
]


@pytest.mark.parametrize(("field", "value"), HOSTILE)
def test_a_hostile_manifest_is_one_sentence(field: str, value: Any, tmp_path: Path) -> None:
    """Neither the run nor `collect` believes it, and nothing outside is touched."""
    spec = spec_of()
    directory, victim = tmp_path / "run", tmp_path / "victim"
    victim.write_text("mine")
    assert not attempt(spec, directory, Crash(after=5))
    raw = json.loads((directory / "manifest.json").read_text())
    raw["previous"] = None
    set_at(raw, field, value)
    del raw["digest"]
    (directory / "manifest.json").write_bytes(sealed(raw))  # a stranger knows how to
    with pytest.raises(glassyrun.StorageError) as caught:
        api.execute(spec, directory, quiet=True)
    assert "\n" not in str(caught.value)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff\xfe", b'{"format": 3', b'{"format": ' + b"9" * 5000 + b"}", b"null", b"3"]
)
def test_no_json_of_a_run(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(glassyrun.StorageError, match=r"manifest\.json"):
        result.assemble(tmp_path)


@pytest.mark.parametrize("seed", range(30))
def test_a_flipped_digit_of_the_manifest_is_noticed(seed: int, tmp_path: Path) -> None:
    """Coordinates, indices and steps are numbers like any other: valid JSON is not enough."""
    chance = random.Random(seed)
    assert not attempt(spec_of(), tmp_path, Crash(after=3))
    path = tmp_path / "manifest.json"
    content = bytearray(path.read_bytes())
    digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    place = chance.choice(digits)
    content[place] = ord(str((int(chr(content[place])) + 1) % 10))
    path.write_bytes(content)
    with pytest.raises(glassyrun.StorageError, match=r"manifest\.json"):
        result.assemble(tmp_path)


def test_a_manifest_of_another_size_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "manifest.json", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(glassyrun.StorageError, match="at most"):
        result.assemble(tmp_path)


def test_links_are_not_followed_out_of_the_directory(tmp_path: Path) -> None:
    spec, directory = spec_of(), tmp_path / "run"
    assert not attempt(spec, directory, Crash(after=5))
    outside = tmp_path / "outside"
    (directory / "shards").rename(outside)
    (directory / "shards").symlink_to(outside)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    with pytest.raises(glassyrun.StorageError, match="leads out of the run directory"):
        api.execute(spec, directory, quiet=True)
    with pytest.raises(glassyrun.StorageError, match="leads out of the run directory"):
        api.execute(spec, directory, quiet=True, fresh=True)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before


@pytest.mark.parametrize("name", ["log.jsonl", ".manifest.json.part"])
def test_nothing_is_written_through_a_link(name: str, tmp_path: Path) -> None:
    spec, directory = spec_of(), tmp_path / "run"
    assert not attempt(spec, directory, Crash(after=5))
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (directory / name).unlink(missing_ok=True)
    (directory / name).symlink_to(victim)
    if name == "log.jsonl":  # a sidecar stops no run
        api.execute(spec, directory, quiet=True)
    else:
        with pytest.raises(glassyrun.StorageError, match="symbolic link"):
            api.execute(spec, directory, quiet=True)
    assert victim.read_text() == "mine"
