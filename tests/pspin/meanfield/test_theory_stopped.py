"""Asked to stop while it solves, the theory ends within a few rows, and the same command gives what it would have given at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine_tools import load

import glassyrun
from glassyrun import Refusal, api
from glassyrun_pspin.meanfield import fixed, graded
from glassyrun_pspin.meanfield.equations import Equations

SPEC = {
    "system": {"kind": "pspin", "n": float("inf")},
    "dynamics": {"kind": "quench", "dt": 0.1},
    "schedule": {"horizon": 40.0, "t_w": [0.0, 1.0], "t": [0.0, 39.0]},
    "ensemble": {"samples": 2, "replicas": 2},
}
Counted = Callable[..., Any]


def raising(real: Counted, number: signal.Signals, when: int, calls: list[int]) -> Counted:
    """Sends this process a signal at the n-th call, and does what is asked."""

    def call(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == when:
            signal.raise_signal(number)
        return real(*arguments)

    return call


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("owner", "name", "when"),
    [(fixed, "march", 1), (fixed, "march", 5), (graded._March, "newton", 1), (graded._March, "newton", 9)],
)
def test_a_signal_is_heard_within_a_grid(
    owner: Any, name: str, when: int, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(owner, name, raising(getattr(owner, name), number, when, calls))
    with pytest.raises(
        glassyrun.Stopped, match=f"^stopped by {number.name} before the theory was solved; run the same"
    ) as caught:
        api.execute(load(SPEC), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 75
    assert len(calls) == when  # neither another pass nor another block of rows
    monkeypatch.undo()
    whole = api.execute(load(SPEC), tmp_path / "whole", quiet=True).result.read_bytes()
    assert api.execute(load(SPEC), tmp_path / "run", quiet=True).result.read_bytes() == whole


def test_a_limit_of_time_is_heard_within_a_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is over at the third pass of Newton's method; no coarser grid is blamed for it."""
    import time

    calls: list[int] = []
    real, late = graded._March.newton, time.monotonic() + 1e6

    def newton(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            monkeypatch.setattr("glassyrun.stopping.time.monotonic", lambda: late)
        return real(*arguments)

    monkeypatch.setattr(graded._March, "newton", newton)
    with pytest.raises(Refusal, match=r"leaves no time for a single step \(it was over before the theory was solved\)"):
        api.execute(load(SPEC), tmp_path / "run", quiet=True, max_wall=1e5)
    assert len(calls) == 3
    assert '"grid' not in (tmp_path / "run" / "log.jsonl").read_text()


def test_blocks_of_rows_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits row by row, in blocks, and at once."""
    equations = Equations({3: 1.0}, 0.5)
    found = []
    for rows in (1, fixed.AT_ONCE, 1000):
        monkeypatch.setattr(fixed, "AT_ONCE", rows)
        heard: list[int] = []
        found.append((fixed.solve_fixed(equations, 3.0, 0.05, lambda heard=heard: heard.append(1)), len(heard)))
    assert [heard for _, heard in found] == [61, 4, 1]
    for other, _ in found[1:]:
        for name in ("C", "R", "mu", "energy"):
            assert (getattr(found[0][0], name) == getattr(other, name)).all()
