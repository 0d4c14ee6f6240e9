"""Timing things side by side: in turns, so that a busy machine hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

CALLS = 5
"""Calls of a candidate in a row: the first ones still feel the threads of the one before, which wait in a busy loop."""


def fastest(candidates: Mapping[str, Callable[[], object]], seconds: float = 4.0, least: int = 3) -> dict[str, float]:
    """The shortest time of each, in seconds, over rounds in which each runs a few times in a row."""
    best = dict.fromkeys(candidates, float("inf"))
    begin, rounds = time.perf_counter(), 0
    while rounds < least or time.perf_counter() - begin < seconds:
        for name, candidate in candidates.items():
            for _ in range(CALLS):
                start = time.perf_counter()
                candidate()
                best[name] = min(best[name], time.perf_counter() - start)
        rounds += 1
    return best
