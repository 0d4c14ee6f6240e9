"""One owner of a run directory, also where locks don't reach, and whoever died is no owner."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

import glassyrun
from glassyrun import heartbeat, owner
from glassyrun.heartbeat import Heartbeat, read_sidecar, text, write_sidecar
from glassyrun.owner import Owner, Possession
from glassyrun.store import Store


class Watcher:
    """Waits without time: what happens meanwhile is up to a function."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.meanwhile, self.waited, self.told = meanwhile, 0.0, list[str]()

    def pause(self, seconds: float) -> None:
        self.waited += seconds
        self.meanwhile()

    def take(self, directory: Path) -> Possession:
        return Possession.take(directory, self.told.append, self.pause)


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no locks."""

    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def leave(directory: Path, **changes: Any) -> Owner:
    """What an owner leaves behind that had no time to tidy up: its record and its last beat."""
    record = attrs.evolve(Owner.here(), **changes)
    write_sidecar(directory / "owner.json", attrs.asdict(record))
    write_sidecar(directory / "status.json", {"token": record.token, "beat": 7})
    return record


def beating(directory: Path) -> Callable[[], None]:
    def beat() -> None:
        status = read_sidecar(directory / "status.json") or {}
        write_sidecar(directory / "status.json", {**status, "beat": status["beat"] + 1})

    return beat


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[[bool], int]]:
    """Another process of this machine that owns the directory, and dies without a word where it is told to."""
    children: list[int] = []

    def start(dies: bool) -> int:
        ready, written = os.pipe()
        pid = os.fork()
        if pid == 0:
            held = Possession.take(tmp_path)
            os.write(written, b"!" if held else b"")
            if not dies:
                signal.pause()
            os._exit(9)
        assert os.read(ready, 1) == b"!"
        os.close(ready)
        os.close(written)
        if dies:
            os.waitpid(pid, 0)
        else:
            children.append(pid)
        return pid

    yield start
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("locks", [True, False])
def test_whoever_comes_second_is_told_who_runs_there(
    locks: bool, other: Callable[[bool], int], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not locks:
        request.getfixturevalue("no_flock")
    pid, watcher = other(False), Watcher()
    with pytest.raises(
        glassyrun.Locked, match=rf"another process is running here \(host .+, pid {pid}, since \d+-.*-o DIR"
    ) as caught:
        watcher.take(tmp_path)
    assert caught.value.exit_code == 4
    assert watcher.waited == 0
    assert (tmp_path / "lock.soft").exists() != locks


@pytest.mark.parametrize("locks", [True, False])
def test_a_process_of_this_machine_that_died_is_no_owner(
    locks: bool, other: Callable[[bool], int], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """At once: nobody waits."""
    if not locks:
        request.getfixturevalue("no_flock")
    pid, watcher = other(True), Watcher()
    left = Owner.read(tmp_path)
    assert left is not None
    assert (left.pid, left.gone) == (pid, True)
    watcher.take(tmp_path).release()
    assert (watcher.waited, watcher.told) == (0, [])


def test_a_pid_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    assert leave(tmp_path).gone is False
    assert leave(tmp_path, began="1").gone is True
    assert leave(tmp_path, machine="elsewhere").gone is None


@pytest.mark.parametrize("locks", [True, False])
def test_the_heart_of_another_host_beats(locks: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Also where this host's locks know nothing of it, as on NFS without a lock daemon."""
    if not locks:
        request.getfixturevalue("no_flock")
        soft(tmp_path)
    leave(tmp_path, host="far", machine="elsewhere", pid=4)
    watcher = Watcher(beating(tmp_path))
    with pytest.raises(glassyrun.Locked, match=r"host far, pid 4"):
        watcher.take(tmp_path)
    assert watcher.waited == heartbeat.BEAT_SECONDS
    assert (read_sidecar(tmp_path / "owner.json") or {})["host"] == "far"
    request.getfixturevalue("monkeypatch").undo()
    with pytest.raises(glassyrun.Locked):
        watcher.take(tmp_path)  # the lock was given back, and it is the heart again that keeps one out


@pytest.mark.parametrize("locks", [True, False])
def test_the_heart_of_another_host_stands_still(locks: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not locks:
        request.getfixturevalue("no_flock")
        soft(tmp_path)
    leave(tmp_path, host="far", machine="elsewhere", pid=4)
    watcher = Watcher()
    possession = watcher.take(tmp_path)
    assert watcher.waited >= owner.STILL_SECONDS
    assert "may be running here (host far, pid 4" in watcher.told[0]
    assert "takes the run over" in watcher.told[1]
    possession.check()
    possession.release()
    watcher = Watcher()
    watcher.take(tmp_path).release()  # after an orderly end nobody waits
    assert watcher.waited == 0


def soft(directory: Path) -> None:
    """The lock file that a process of another host holds."""
    (directory / "lock.soft").write_text("4\nfar\n123\n")


def test_of_two_that_wait_for_a_dead_owner_one_goes_on(tmp_path: Path, no_flock: None) -> None:
    soft(tmp_path)
    leave(tmp_path, host="far", machine="elsewhere", pid=4)
    first: list[Possession] = []

    def meanwhile() -> None:
        if not first:
            first.append(Watcher().take(tmp_path))

    with pytest.raises(glassyrun.Locked):
        Watcher(meanwhile).take(tmp_path)
    first[0].check()
    first[0].release()


def test_a_process_of_another_host_with_the_same_pid_is_another_one(tmp_path: Path) -> None:
    """In containers the number is small, and the same everywhere."""
    leave(tmp_path, host="far", machine="elsewhere", pid=os.getpid())
    with pytest.raises(glassyrun.Locked, match="host far"):
        Watcher(beating(tmp_path)).take(tmp_path)


def test_who_was_taken_over_keeps_no_readings_and_finishes_nothing(tmp_path: Path) -> None:
    """Its manifest is older than that of the process which runs there now."""
    store = Store.open(tmp_path, "")
    before = (tmp_path / "manifest.json").read_bytes()
    leave(tmp_path, host="far", machine="elsewhere", pid=4)
    for write in (lambda: store.keep({"value/energy": torch.zeros(1)}, {"sample": 0}), store.finish):
        with pytest.raises(glassyrun.Locked):
            write()
    assert (tmp_path / "manifest.json").read_bytes() == before
    store.close()


def test_who_slept_while_another_took_over_leaves_it_alone(tmp_path: Path) -> None:
    possession = Possession.take(tmp_path)
    leave(tmp_path, host="far", machine="elsewhere", pid=4)
    with pytest.raises(glassyrun.Locked, match=r"has taken this run over \(host far, pid 4"):
        possession.check()
    before = (tmp_path / "status.json").read_bytes()
    possession.heart.beat()
    possession.release()
    assert (tmp_path / "status.json").read_bytes() == before
    assert (tmp_path / "owner.json").exists()


def test_a_record_that_was_removed_is_written_again(tmp_path: Path) -> None:
    possession = Possession.take(tmp_path)
    (tmp_path / "owner.json").unlink()
    possession.check()
    assert Owner.read(tmp_path) == possession.owner
    possession.release()
    assert not (tmp_path / "owner.json").exists()


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir()
    possession = Possession.take(place)
    place.rename(tmp_path / "away")
    with pytest.raises(
        glassyrun.StorageError, match=r"run: the run directory is gone \(No such file.*\); bring it or its mount"
    ) as caught:
        possession.check()
    assert caught.value.exit_code == 5
    possession.heart.beat()
    possession.release()
    assert not place.exists()


def test_an_error_that_is_no_lack_of_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int, operation: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(glassyrun.StorageError, match="lock: locking failed: Input/output error"):
        Possession.take(tmp_path)


HOSTILE: list[bytes] = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"[" * 50_000,
    b"{" * 70_000,
    b'{"pid": ' + b"9" * 5000 + b"}",
    b'{"pid": 1e999, "since": 1}',
    b'{"pid": 5, "since": NaN}',
    b'{"pid": -1, "since": 0}',
    b'{"pid": true, "since": 0}',
    b'{"pid": [], "since": {}}',
    b'{"pid": 7, "since": 1e300, "host": 3, "machine": null, "began": {}, "command": "\\u001b[2J"}',
]


@pytest.mark.parametrize("name", ["owner.json", "status.json"])
@pytest.mark.parametrize("content", HOSTILE)
def test_what_a_stranger_wrote_there_does_no_harm(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    said = str(Owner.read(tmp_path))
    assert said.isprintable()
    Watcher().take(tmp_path).release()


@pytest.mark.parametrize("name", ["owner.json", "status.json", ".owner.json.part", ".status.json.part"])
@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_links_pipes_and_directories_in_the_way(name: str, kind: str, tmp_path: Path) -> None:
    """Nothing behind a link is read or written, and nobody hangs at a pipe."""
    place, outside = tmp_path / "run", tmp_path / "outside"
    place.mkdir()
    outside.write_text('{"pid": 1, "since": 1, "host": "outside"}')
    if kind == "link":
        (place / name).symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(place / name)
    else:
        (place / name).mkdir()
    assert Owner.read(place) is None
    try:
        Watcher().take(place).release()
    except glassyrun.StorageError as error:
        assert "owner.json" in str(error)  # noqa: PT017 -- only a directory may be in the way
        assert kind == "directory"
    assert json.loads(outside.read_text())["host"] == "outside"


def test_a_heart_beats_by_itself_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 1e-4)
    possession = Possession.take(tmp_path)
    heart = possession.heart
    heart.tell(step=4, energy=-0.5)
    while heart.beats < 3:
        pass
    possession.release()
    status = read_sidecar(tmp_path / "status.json")
    assert status is not None
    assert (status["beat"], status["step"], status["energy"], status["phase"]) == (heart.beats, 4, -0.5, "ended")
    assert not heart._thread.is_alive()
    assert stat.S_ISREG((tmp_path / "status.json").stat().st_mode)


def test_a_full_disk_stops_no_heart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    possession = Possession.take(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(heartbeat.os, "replace", full)
    possession.heart.beat()
    monkeypatch.undo()
    possession.heart.beat()
    assert (read_sidecar(tmp_path / "status.json") or {})["beat"] == possession.heart.beats
    possession.release()


def test_text_is_fit_for_a_terminal() -> None:
    assert text("a\x1b[31mb\n") == "a?[31mb?"
    assert text(3) == ""
    assert len(text("x" * 1000)) == 200


def test_a_heart_without_a_record_is_silent(tmp_path: Path) -> None:
    Heartbeat(tmp_path, "mine").beat()
    assert list(tmp_path.iterdir()) == []
