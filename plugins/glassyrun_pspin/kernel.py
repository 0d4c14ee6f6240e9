"""Passes over the couplings on the CPU, shared out over threads.

A matrix product with one column runs at half the memory bandwidth, and the transposed one after it too; a fused loop reads
each coupling once from memory and uses it twice. Threads take fixed ranges of terms and add into sums of their own, so the
result depends on the number of threads but not on their timing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun_pspin.compiled import Array, sweep_pivots, sweep_tuples
from glassyrun_pspin.layout import vectors

LEAST_WORK = 2**18
"""Couplings times replicas per thread below which another one isn't worth waking."""


def serves(x: Float[Tensor, "replica site"]) -> bool:
    """Whether compiled loops run where `x` lies."""
    return x.device.type == "cpu"


def rectangles(
    store: Float[Tensor, " entry"],
    pivots: Int[Tensor, "pivot 5"],
    x: Float[Tensor, "replica site"],
    left: Float[Tensor, "replica left"],
    right: Float[Tensor, "replica right"],
    gradient: bool,
) -> tuple[Float[Tensor, "replica left"], Float[Tensor, "replica right"], Float[Tensor, "replica site"]]:
    """Derivatives of Σ J · left · x_pivot · right with respect to left, right and x_pivot; the last only without `gradient`."""
    replicas = len(x)
    spins, lefts, rights = _padded(x).T.copy(), _padded(left), _padded(right)
    table, data = pivots.numpy(), store.numpy()
    bounds = _shares(table[:, 2] * table[:, 3], len(lefts))
    slopes = [[np.zeros_like(a) for a in (lefts, rights, spins)] for _ in bounds[1:]]

    def share(part: int) -> None:
        sweep_pivots(data, table, bounds[part], bounds[part + 1], spins, lefts, rights, *slopes[part], gradient)

    _together(share, len(slopes))
    of_left, of_right, of_spins = (torch.from_numpy(_total(parts)) for parts in zip(*slopes, strict=True))
    sites = x.shape[1]
    return of_left[:replicas, : left.shape[1]], of_right[:replicas, : right.shape[1]], of_spins.t()[:replicas, :sites]


def tuples(
    sites: Int[Tensor, "term degree"], values: Float[Tensor, " term"], x: Float[Tensor, "replica site"]
) -> Float[Tensor, "replica site"]:
    """The gradient of Σ J x…x over tuples of sites."""
    spins = x.t().contiguous().numpy()  # sites first, so that all replicas of a spin lie together
    places, couplings = sites.numpy(), values.numpy()
    bounds = _shares(np.ones(len(couplings), np.int64), spins.shape[1])
    slopes = [np.zeros_like(spins) for _ in bounds[1:]]

    def share(part: int) -> None:
        sweep_tuples(places, couplings, bounds[part], bounds[part + 1], spins, slopes[part])

    _together(share, len(slopes))
    return torch.from_numpy(_total(slopes)).t()


def _padded(x: Float[Tensor, "replica column"]) -> Array:
    """Filled up with zeros: several replicas to a multiple of the four that loops take together, columns to whole vectors."""
    short = 0 if len(x) == 1 else -len(x) % 4
    return torch.nn.functional.pad(x, (0, vectors(x.shape[1]) - x.shape[1], 0, short)).contiguous().numpy()


def _total(parts: list[Array] | tuple[Array, ...]) -> Array:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _shares(work: Array, replicas: int) -> list[int]:
    """Bounds of ranges of about equal work, one a thread."""
    done = work.cumsum()
    total = int(done[-1]) if len(done) else 0
    parts = max(1, min(torch.get_num_threads(), total * replicas // LEAST_WORK))
    return [0, *(int(np.searchsorted(done, total * part / parts)) for part in range(1, parts)), len(work)]


def _together(share: Callable[[int], None], parts: int) -> None:
    """Runs all parts at once, the first one on this thread."""
    workers = _workers(parts - 1)
    for part, worker in enumerate(workers, start=1):
        worker.tasks.put((share, part))
    share(0)
    faults = [fault for worker in workers if (fault := worker.done.get()) is not None]
    if faults:
        raise faults[0]


class _Worker:
    """A thread that waits for work; handing it over by two bare queues takes a third of the time of an Executor's futures."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[tuple[Callable[[int], None], int]] = SimpleQueue()
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()
        threading.Thread(target=self._serve, name="glassyrun-pspin", daemon=True).start()

    def _serve(self) -> None:
        while True:
            share, part = self.tasks.get()
            try:
                share(part)
            except BaseException as fault:  # noqa: BLE001 -- raised again by the thread that asked
                self.done.put(fault)
            else:
                self.done.put(None)
            del share  # or it would keep the couplings alive until the next task


_OWN = threading.local()
"""Workers of each asking thread: two runs in one process never wait for each other's answers."""


def _workers(count: int) -> list[_Worker]:
    """`count` workers of this thread and this process; a forked child has none of its parent's threads."""
    if getattr(_OWN, "process", None) != os.getpid():
        _OWN.process, _OWN.workers = os.getpid(), []
    _OWN.workers.extend(_Worker() for _ in range(count - len(_OWN.workers)))
    return _OWN.workers[:count]
