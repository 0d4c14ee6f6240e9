"""What a user sees where there is no terminal: lines that say where a run is and when it will end."""

from __future__ import annotations

import re
import sys
import time

import pytest
from tests.engine_tools import tables

import glassyrun
from glassyrun.progress import Reporter, reporter

LINE = re.compile(r"(.*): step (\d+) of (\d+), energy (\S+), (\S+) steps/s, (\S+) s left")


class Clock:
    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def said(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, int, int, float, float, float]]:
    """The progress lines of stderr; stdout must stay empty."""
    captured = capsys.readouterr()
    assert captured.out == ""
    found = [LINE.fullmatch(line) for line in captured.err.splitlines()]
    return [(m[1], int(m[2]), int(m[3]), float(m[4]), float(m[5]), float(m[6])) for m in found if m]


def at_even_pace(lines: Reporter, clock: Clock, first: int, last: int, rate: int) -> None:
    """`rate` steps a second, an update each second."""
    for step in range(first + rate, last + 1, rate):
        clock.now += 1.0
        lines.update(step, -step / 1000)


def test_lines_tell_step_energy_pace_and_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = reporter()
    lines.begin("sample 1 of 2", 500)
    at_even_pace(lines, clock, 0, 500, 10)
    told = said(capsys)
    assert [step for _, step, *_ in told] == [100, 200, 300, 400, 500]
    for title, step, total, energy, rate, left in told:
        assert title == "sample 1 of 2"
        assert total == 500
        assert energy == pytest.approx(-step / 1000)
        assert rate == pytest.approx(10)
        assert left == pytest.approx((500 - step) / 10)


def test_a_resumed_run_counts_its_own_steps_only(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """900 of 1000 steps were done before: 4 steps a second leave 25 s, 15 s, 5 s, 0 s."""
    lines = reporter()
    lines.begin("run", 1000, 900)
    at_even_pace(lines, clock, 900, 1000, 4)
    told = said(capsys)
    assert [rate for *_, rate, _ in told] == pytest.approx([4] * len(told))
    assert [left for *_, left in told] == pytest.approx([15, 5, 0])


def test_the_end_is_always_told_and_what_is_in_between_is_not(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = reporter()
    lines.begin("run", 50)
    at_even_pace(lines, clock, 0, 50, 10)
    assert [(step, left) for _, step, _, _, _, left in said(capsys)] == [(50, 0)]


def test_a_run_without_a_terminal_ends_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    ds = glassyrun.run(tables("quadratic", "quench", ensemble={"replicas": 1}))
    (*_, (_, step, total, energy, rate, left)) = said(capsys)
    assert (step, total) == (12, 12)
    assert float(ds.energy[0, 0, -1]) <= energy * 1.0001
    assert energy <= float(ds.energy[0, 0, 0]) * 1.0001
    assert rate > 0
    assert left == 0


def test_quiet_means_warnings_only(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = reporter(quiet=True)
    quiet.begin("run", 50)
    at_even_pace(quiet, clock, 0, 50, 1)
    quiet.end()
    assert capsys.readouterr() == ("", "")
    quiet.warn("made-up data")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "WARNING: made-up data\n"


def test_lines_warn_too(capsys: pytest.CaptureFixture[str]) -> None:
    reporter().warn("made-up data")
    assert "WARNING: made-up data" in capsys.readouterr().err


def test_a_bar_on_a_terminal_warns_and_stays_off_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = reporter()
    bar.begin("run", 50)
    bar.update(20, -0.5)
    bar.warn("made-up data")
    bar.update(50, -0.75)
    bar.end()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "made-up data" in captured.err
    assert "50/50 steps" in captured.err
    assert "-0.75" in captured.err
