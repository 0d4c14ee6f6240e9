"""Timing things side by side: in turns, so that a busy machine hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

CALLS = 5
"""Calls of a candidate in a row: the first ones still feel the threads of the one before, which wait in a busy loop."""


def fastest(
    candidates: Mapping[str, Callable[[], object]],
    seconds: float = 4.0,
    least: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """The shortest time of each, in seconds of a clock, over rounds in which each runs a few times in a row."""
    best = dict.fromkeys(candidates, float("inf"))
    begin, rounds = clock(), 0
    while rounds < least or clock() - begin < seconds:
        for name, candidate in candidates.items():
            for _ in range(CALLS):
                start = clock()
                candidate()
                best[name] = min(best[name], clock() - start)
        rounds += 1
    return best
