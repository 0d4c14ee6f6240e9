"""A limit of wall time: read as people and batch systems write it, and kept early enough."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine_tools import load, tables

import glassyrun
from glassyrun import State, api, stopping
from glassyrun.stopping import WallLimit, duration, process_age, wall_limit
from glassyrun.trajectories import Trajectory
from glassyrun_dynamics.sgd import SGD

GOOD = [
    ("3600", 3600),
    ("0.5", 0.5),
    ("90m", 5400),
    ("1h30m", 5400),
    ("1.5h", 5400),
    ("2d", 172800),
    ("1d2h3m4s", 93784),
    ("1H30M", 5400),
    ("90:00", 5400),
    ("01:30:00", 5400),
    ("100:00:00", 360000),
    ("1-00:00:00", 86400),
    ("1-0", 86400),
    ("2-12:30", 217800),
    (" 10s ", 10),
]
BAD = ["", "0", "0s", "-5", "ten", "1h30", "30m1h", "1:2:3:4", "01:60:00", "00:00:61", "1-24:00:00", "1-", "nan", "inf", "1e3"]
BAD += ["٣", "9" * 60, "1d" * 30, "101y", "99999999999s", "1:\x1b[31m", "1h\n30m"]


@pytest.mark.parametrize(("text", "seconds"), GOOD)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_duration_gets_one_sentence(text: str) -> None:
    with pytest.raises(
        glassyrun.Refusal, match=r"^--max-wall: found '.*', expected a duration such as 3600 \(seconds\)"
    ) as caught:
        duration(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with contextlib.suppress(glassyrun.Refusal):
        assert 0 < duration(text) <= stopping.LONGEST


@pytest.mark.parametrize("given", [0, -1.0, float("nan"), float("inf"), "1h"])
def test_max_wall_from_python_is_a_number_of_seconds(given: Any, tmp_path: Path) -> None:
    with pytest.raises(glassyrun.Refusal, match="max_wall: found"):
        api.run(load(tables("quadratic", "sgd")), tmp_path / "run", max_wall=given, quiet=True)


def test_max_wall_needs_a_directory() -> None:
    with pytest.raises(glassyrun.Refusal, match="max_wall without a directory"):
        api.run(load(tables("quadratic", "sgd")), max_wall=3.0, quiet=True)


def test_the_age_of_a_process_does_not_follow_the_clock_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = process_age()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 < before <= process_age() < before + 60


class Clock:
    """Time that only steps and commits take."""

    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def cost(monkeypatch: pytest.MonkeyPatch, clock: Clock, step: float, commit: float, build: float = 0.0) -> None:
    """What steps, commits and building take."""
    advance, make, begin = SGD.advance, Trajectory.commit, Trajectory.begin

    def slow_advance(dynamics: SGD, system: Any, state: State, n: int, watch: Any = None) -> None:
        advance(dynamics, system, state, n, watch)
        clock.now += n * step

    def slow_commit(trajectory: Trajectory, **how: Any) -> None:
        began = clock.now
        make(trajectory, **how)
        clock.now += commit
        trajectory.commit_seconds = clock.now - began

    def slow_begin(experiment: Any, sample: int) -> Trajectory:
        clock.now += build
        return begin(experiment, sample)

    monkeypatch.setattr(SGD, "advance", slow_advance)
    monkeypatch.setattr(Trajectory, "commit", slow_commit)
    monkeypatch.setattr(Trajectory, "begin", slow_begin)


@pytest.mark.parametrize(("step", "commit", "limit"), [(0.01, 0.0, 5.1), (4.0, 0.0, 59.0), (4.0, 10.0, 61.0)])
def test_a_run_ends_before_its_limit_and_goes_on(
    step: float, commit: float, limit: float, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is saved before the time is over, and not much earlier than the last chunk and the commit ask for."""
    points = {"horizon": 40.0, "time": [0.0, 40.0], "t_w": [0.0], "t": [0.0, 40.0]}
    spec = load(tables("quadratic", "sgd", schedule=points, run={"checkpoint_seconds": 5.0}))
    whole = api.execute(spec, tmp_path / "whole", quiet=True).result.read_bytes()
    cost(monkeypatch, clock, step, commit)
    begun = clock.now
    with pytest.raises(glassyrun.Stopped, match=rf"stopped by max_wall = {limit:g} s at step \d+ of 40") as caught:
        api.execute(spec, tmp_path / "run", quiet=True, max_wall=limit)
    assert caught.value.exit_code == 75
    assert clock.now - begun <= limit
    if step > 1:
        assert clock.now - begun >= limit - stopping.SPARE - 2.5 * step - 2 * commit - 5
    assert api.execute(spec, tmp_path / "run", quiet=True).result.read_bytes() == whole


def test_a_sample_is_not_begun_that_can_not_be_built_in_time(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost(monkeypatch, clock, step=1.0, commit=0.0, build=30.0)
    spec = load(tables("quadratic", "sgd", steps=2, ensemble={"samples": 5, "replicas": 2}))
    with pytest.raises(glassyrun.Stopped, match=r"stopped by max_wall = 110 s before sample 4 of 5; .* to go on$"):
        api.execute(spec, tmp_path / "run", quiet=True, max_wall=110.0)
    assert clock.now == 96.0


def test_what_a_first_commit_will_take_is_guessed(clock: Clock) -> None:
    limit = WallLimit(100.0, "")
    limit.begin(500_000_000)
    assert limit.margin == stopping.SPARE + 2 * 500_000_000 / stopping.SLOW_DISK
    limit.committed(20.0)
    assert limit.margin == stopping.SPARE + 40


def test_a_limit_that_is_over_runs_nothing(tmp_path: Path) -> None:
    limit = WallLimit(1.0, "--max-wall 1s", time.monotonic() - 100)
    with pytest.raises(
        glassyrun.Refusal,
        match=r"^--max-wall 1s: leaves no time for a single step \(it was over before the run began\); give more$",
    ):
        api.execute(load(tables("quadratic", "sgd")), tmp_path / "run", quiet=True, max_wall=limit)
    assert not (tmp_path / "run").exists()


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 10**15, 10**9))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))
    assert api.execute(load(tables("quadratic", "sgd")), tmp_path / "run", quiet=True, max_wall=3600).result.exists()


def test_a_limit_counts_from_the_beginning_of_the_process() -> None:
    limit = WallLimit.of_process("1h")
    assert limit.seconds == 3600
    assert limit.begun < time.monotonic()
    assert wall_limit(limit) is limit
    assert wall_limit(None) is None
