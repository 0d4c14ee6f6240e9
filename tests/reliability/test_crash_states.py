"""After a power cut a run is there as it was committed, whatever the disk lost of what was not synced."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from glassyrun import files, result
from glassyrun.spec.model import Spec
from tests.reliability.disk import Crash, Disk, Inode, Op, Record, crashes, line, materialised, purpose, syncs, without
from tests.reliability.workload import SMALL, attempt, calls, differs, killed, load

RUN = "runs/run"
OPENED, CONTINUED = 150, 25
"""Crash states that are read, and that are gone on from."""


@pytest.fixture(scope="module")
def spec() -> Spec:
    return load(SMALL)


@attrs.frozen
class Recorded:
    """What a run does to the disk, down to its result."""

    ops: list[Op]
    spec: Spec
    content: bytes


@pytest.fixture(scope="module", params=["begun", "resumed", "grown"])
def recorded(request: pytest.FixtureRequest, spec: Spec, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """From nothing, from where it was killed, or from its end, for a longer horizon."""
    root = tmp_path_factory.mktemp("recorded")
    if request.param == "resumed":
        assert killed(spec, root / RUN, calls(spec, tmp_path_factory.mktemp("counted") / "run") // 2)
    if request.param == "grown":
        shutil.copytree(whole, root / RUN)
        spec = load(SMALL, schedule={**SMALL["schedule"], "horizon": 9.0})
    with Record.of(root) as record:
        assert attempt(spec, root / RUN) == (0, "")
    return Recorded(record.ops, spec, (root / RUN / "result.nc").read_bytes())


@pytest.fixture(scope="module")
def ops(recorded: Recorded) -> list[Op]:
    return recorded.ops


def faults(ops: Sequence[Op]) -> list[str]:
    return sorted({f"{crash.fault} after change {crash.moment}" for crash in crashes(ops, RUN) if crash.fault})


def first_fault(ops: Sequence[Op]) -> Crash | None:
    return next((crash for crash in crashes(ops, RUN) if crash.fault), None)


def test_every_crash_state_is_the_last_commit_or_the_one_under_way(ops: list[Op]) -> None:
    states = list(crashes(ops, RUN))
    assert len(states) > 500
    assert len({crash.state for crash in states}) > 8  # commits that were shown
    assert not faults(ops)


def test_what_a_crash_leaves_can_be_read_and_gone_on_from(recorded: Recorded, tmp_path: Path) -> None:
    """By the program itself, from the disk."""
    states, generator = list(crashes(recorded.ops, RUN)), random.Random(5)
    assert attempt(recorded.spec, tmp_path / "whole") == (0, "")
    truth = result.assemble(tmp_path / "whole")
    for number, crash in enumerate(generator.sample(states, OPENED)):
        place = materialised(crash.files, tmp_path / str(number)) / RUN
        if crash.state > 0:
            assert not result.assemble(place).variables or differs(place, truth) is None
        if number < CONTINUED:
            assert attempt(recorded.spec, place) == (0, "")
            assert (place / "result.nc").read_bytes() == recorded.content
        shutil.rmtree(tmp_path / str(number), ignore_errors=True)
    assert (tmp_path / "whole" / "result.nc").read_bytes() == recorded.content


def test_no_fsync_can_be_left_out(ops: list[Op]) -> None:
    """The record of a program that lacks one of them shows faults: the check sees each."""
    lines = syncs(ops, line)
    assert len(lines) >= 2  # of the content and of the name, however many files go that way
    blind = [place for place in lines if first_fault(without(ops, place, line)) is None]
    assert not blind, blind


def test_no_purpose_of_an_fsync_can_be_left_out(ops: list[Op]) -> None:
    """Nor may one be left out for the sake of one kind of file alone, but for two names that the next file's fsync makes durable."""
    purposes = syncs(ops, purpose)
    assert len(purposes) >= 8
    followed = ("/spec.toml", "/result.nc")
    twice = {purpose(op) for before, op in pairwise(ops) if op.kind == "syncdir" and before.path.endswith(followed)}
    blind = [place for place in purposes if place not in twice and first_fault(without(ops, place, purpose)) is None]
    assert not blind, blind


def test_a_program_that_syncs_no_directory_is_seen(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code itself broken, not its record."""
    monkeypatch.setattr(files, "sync_directory", lambda directory: None)
    with Record.of(tmp_path) as record:
        attempt(spec, tmp_path / RUN)
    assert first_fault(record.ops) is not None


def test_a_program_that_writes_in_place_is_seen(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renamed before it is synced: a manifest may be torn."""

    def renamed_first(path: Path, content: bytes) -> str:
        with open(path.with_suffix(".part"), "wb") as file:
            file.write(content)
            path.with_suffix(".part").replace(path)
            files.os.fsync(file.fileno())
        files.sync_directory(path.parent)
        return files.digest(content)

    monkeypatch.setattr("glassyrun.store.write_whole", renamed_first)
    with Record.of(tmp_path) as record:
        attempt(spec, tmp_path / RUN)
    assert first_fault(record.ops) is not None


def shown(*ops: Op) -> set[tuple[tuple[str, bytes], ...]]:
    disk = Disk()
    for op in ops:
        disk.do(op)
    return {tuple(sorted(state.items())) for state in disk.crashes(random.Random(0))}


def test_the_model_loses_what_is_not_synced() -> None:
    file = Inode(0)
    made, written = Op("name", "a", file), Op("write", "a", file, b"1234")
    assert shown(made, written) == {(), (("a", b""),), (("a", b"12"),), (("a", b"1234"),), (("a", bytes(4)),)}
    assert shown(made, written, Op("sync", "a", file)) == {(), (("a", b"1234"),)}
    assert shown(made, Op("syncdir", ""), written, Op("sync", "a", file)) == {(("a", b"1234"),)}
    moved = Op("name", "b", file, gone="a")
    assert shown(made, Op("syncdir"), moved) == {(("a", b""),), (("b", b""),)}
    assert shown(made, Op("syncdir"), moved, Op("gone", gone="b")) == {(("a", b""),), (("b", b""),), ()}


def test_the_model_loses_a_folder_with_all_that_is_in_it() -> None:
    file, folder = Inode(0), Op("name", "d")
    inside = (Op("name", "d/a", file), Op("write", "d/a", file, b"1"), Op("sync", "d/a", file), Op("syncdir", "d"))
    assert shown(folder, *inside) == {(), (("d/a", b"1"),)}
    assert shown(folder, *inside, Op("syncdir", "")) == {(("d/a", b"1"),)}
