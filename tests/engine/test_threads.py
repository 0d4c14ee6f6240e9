"""Parts on several threads: all of them run, in a fixed order of results, and a fault in one is told."""

from __future__ import annotations

import signal
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


def test_what_was_interrupted_while_it_waited_is_no_answer_to_the_next():
    """Ctrl-C in a notebook: the call ends while another thread still works; the next one must wait for its own parts."""
    ready, gate, finished = threading.Event(), threading.Event(), threading.Event()
    asking = threading.get_ident()

    def interrupted(part: int) -> None:
        if part == 0:
            ready.set()  # nothing is left to do on this thread but to wait
        else:
            ready.wait(30)
            signal.pthread_kill(asking, signal.SIGINT)
            gate.wait(30)

    def next_one(part: int) -> None:
        if part == 0:
            gate.set()
        else:
            for _ in range(1_000_000):  # in Python, so that the asking thread has every chance not to wait
                pass
            finished.set()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            together(interrupted, 2)
    finally:
        signal.signal(signal.SIGINT, before)
    together(next_one, 2)
    assert finished.is_set()
