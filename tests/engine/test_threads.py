"""Parts on several threads: all of them run, in a fixed order of results, and a fault in one is told."""

from __future__ import annotations

import threading

import pytest

from glassyrun import together


def test_all_parts_run_at_once():
    meeting = threading.Barrier(3, timeout=30)
    arrived: list[int] = []

    def share(part: int) -> None:
        meeting.wait()  # passes only if all three are there at the same time
        arrived.append(part)

    together(share, 3)
    assert sorted(arrived) == [0, 1, 2]


@pytest.mark.parametrize("bad", [0, 1])
def test_a_fault_is_raised_when_no_part_works_any_more(bad):
    raised, finished = threading.Event(), threading.Event()

    def share(part: int) -> None:
        if part == bad:
            raised.set()
            raise ValueError(f"part {part}")
        raised.wait(30)
        sum(range(100_000))  # longer than the other part takes to fail
        finished.set()

    with pytest.raises(ValueError, match=f"part {bad}"):
        together(share, 2)
    assert finished.is_set()
    finished.clear()
    together(lambda part: finished.set() if part == 1 else None, 2)  # the worker is fit for the next task
    assert finished.is_set()
