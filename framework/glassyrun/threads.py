"""Parts of one computation on several threads: compiled loops that let go of Python's lock, or replicas that run by themselves."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import torch

Share = Callable[[int], None]
Answers = SimpleQueue[tuple[int, BaseException | None]]
"""What each part came to: nothing, or what it raised."""


def together(share: Share, parts: int) -> None:
    """Runs `share(0)` … `share(parts − 1)` at once, the first one on this thread, and returns when all are done.

    Who takes part is fixed, so a result that adds the parts in their order doesn't depend on timing. Within a part torch works
    on one thread.

    Raises:
        BaseException: what the first part that failed raised.
    """
    if parts == 1:
        share(0)
        return
    workers = _workers(parts - 1)
    # answers of this call alone: one that is interrupted while it waits leaves none behind for the next to take for its own
    done: Answers = SimpleQueue()
    faults: dict[int, BaseException | None] = {}
    with torch_alone(1):
        for part, worker in enumerate(workers, start=1):
            worker.tasks.put((share, part, done))
        try:
            share(0)
        except BaseException as fault:  # noqa: BLE001 -- raised below, when no part works on shared arrays any more
            faults[0] = fault
        faults.update(done.get() for _ in workers)
    for _, fault in sorted(faults.items()):
        if fault is not None:
            raise fault


def thread_count() -> int:
    """How many parts `together` should be given here: torch's threads, or those that `torch_alone` left free."""
    return getattr(_OWN, "count", None) or torch.get_num_threads()


@contextlib.contextmanager
def torch_alone(count: int | None = None) -> Iterator[None]:
    """Within, torch works on one thread, and `count` threads (as many as torch had) are left to `together`.

    The threads that torch itself uses wait in a busy loop for a while after each operation, on the very cores that ours need.
    """
    before, outer = torch.get_num_threads(), getattr(_OWN, "count", None)
    _OWN.count = count or thread_count()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _OWN.count = outer
        torch.set_num_threads(before)


class _Worker:
    """A thread that waits for work; handing it over by two bare queues takes a third of the time of an Executor's futures."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[tuple[Share, int, Answers]] = SimpleQueue()
        threading.Thread(target=self._serve, name="glassyrun", daemon=True).start()

    def _serve(self) -> None:
        _OWN.count = 1
        torch.set_num_threads(1)  # OpenMP keeps a number for each thread: or every worker would wake a pool of its own
        while True:
            share, part, done = self.tasks.get()
            answer: tuple[int, BaseException | None] = (part, None)
            try:
                share(part)
            except BaseException as fault:  # noqa: BLE001 -- raised again by the thread that asked
                answer = (part, fault)
            del share  # before the answer: nothing that was asked of here outlives it, and no array is kept until the next task
            done.put(answer)
            del answer


_OWN = threading.local()
"""Workers of each asking thread: two runs in one process never wait for each other's answers."""


def _workers(count: int) -> list[_Worker]:
    """`count` workers of this thread and this process; a forked child has none of its parent's threads."""
    if getattr(_OWN, "process", None) != os.getpid():
        _OWN.process, _OWN.workers = os.getpid(), list[_Worker]()
    _OWN.workers.extend(_Worker() for _ in range(count - len(_OWN.workers)))
    return _OWN.workers[:count]
