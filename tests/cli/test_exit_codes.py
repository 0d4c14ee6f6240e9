"""Each exit code of docs/errors.md, from a whole run called in this process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glassyrun.readings import Readings
from glassyrun.recorder import Recorder
from glassyrun.store import Store
from glassyrun.trajectories import Trajectory

Say = Callable[..., Any]


def one_line(said: Any) -> str:
    """What was said of the end: one sentence, no traceback."""
    assert "Traceback" not in said.err
    line = said.err.splitlines()[-1]
    assert line.startswith("glassyrun: ")
    return line


def test_0_done_and_done_before(say: Say) -> None:
    assert say("line.toml", "--quiet").code == 0
    assert say("line.toml", "--quiet").code == 0


@pytest.mark.parametrize(
    "arguments", [("line.toml", "--set", "system.n=0"), ("line.toml", "--nothing"), ("line.toml", "--max-wall", "soon")]
)
def test_2_bad_spec_or_usage(say: Say, arguments: tuple[str, ...]) -> None:
    said = say(*arguments)
    assert said.code == 2
    one_line(said)


def test_3_diverged(say: Say) -> None:
    said = say("line.toml", "--set", "dynamics.dt=1000.0", "--set", "schedule.horizon=1e6", "-o", "run")
    assert said.code == 3, said.err
    assert "make dynamics.dt smaller" in one_line(said)
    assert Path("run/result.nc").exists()


def test_4_locked(say: Say, here: Path) -> None:
    store = Store.open(here / "run", "")
    try:
        said = say("line.toml", "-o", "run")
    finally:
        store.close()
    assert said.code == 4
    assert "is running here" in one_line(said)


def test_5_input_or_output(say: Say, here: Path) -> None:
    (here / "file").write_text("in the way")
    said = say("line.toml", "-o", "file/run")
    assert said.code == 5
    assert "-o DIR" in one_line(said)


def test_5_no_memory(say: Say) -> None:
    def hungry(*_: Any) -> None:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "record", hungry)
        said = say("line.toml", "-o", "run")
    assert said.code == 5
    assert "out of memory; take fewer replicas" in one_line(said)
    assert say("line.toml", "-o", "run").code == 0


@contextlib.contextmanager
def signalled(*numbers: signal.Signals) -> Iterator[None]:
    """Signals that come while a sample is measured at its second event."""
    real = Readings.measure

    def measure(readings: Readings, event: Any, now: Any) -> None:
        real(readings, event, now)
        for number in numbers if event.step == 1 else ():
            os.kill(os.getpid(), number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Readings, "measure", measure)
        yield


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_75_stopped_by_a_signal(say: Say, number: signal.Signals) -> None:
    with signalled(number):
        said = say("line.toml", "-o", "run", "--quiet")
    assert said.code == 75
    assert said.err.count("\n") == 1
    assert re.search(rf"stopped by {number.name} at step \d+ of \d+, everything is saved in run; run the same", one_line(said))
    assert say("line.toml", "-o", "run").code == 0


def test_2_a_limit_without_time_for_a_step(say: Say) -> None:
    """This process is older than a second. A batch system that requeues on 75 would do so for ever."""
    said = say("line.toml", "-o", "run", "--max-wall", "1s")
    assert said.code == 2
    assert one_line(said).startswith("glassyrun: --max-wall 1s: leaves no time for a single step")
    assert say("line.toml", "-o", "run", "--max-wall", "1-00:00:00").code == 0


@pytest.mark.parametrize(
    ("second", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 128 + signal.SIGUSR1)]
)
def test_a_second_signal_stops_at_once(say: Say, second: signal.Signals, code: int) -> None:
    with signalled(signal.SIGTERM, second):
        said = say("line.toml", "-o", "run", "--quiet")
    assert (said.code, said.err) == (code, "glassyrun: interrupted\n")
    assert say("line.toml", "-o", "run").code == 0


def test_1_a_mistake_of_ours(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trajectory, "go", lambda self: 1 / 0)
    said = say("line.toml")
    assert said.code == 1
    assert "ZeroDivisionError" in said.err
