"""Passes over the couplings on the CPU, shared out over threads.

A matrix product with one column runs at half the memory bandwidth, and the transposed one after it too; a fused loop reads
each coupling once from memory and uses it twice. Threads take fixed ranges of terms and add into sums of their own, so the
result depends on the number of threads but not on their timing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import thread_count, together
from glassyrun_pspin.layout import vectors

if TYPE_CHECKING:
    from glassyrun_pspin.compiled import Array

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
    from glassyrun_pspin.compiled import sweep_pivots  # numba is loaded by what needs it

    replicas = len(x)
    spins, lefts, rights = _padded(x).T.copy(), _padded(left), _padded(right)
    table, data = pivots.numpy(), store.numpy()
    bounds = _shares(table[:, 2] * table[:, 3], len(lefts))
    slopes = [[np.zeros_like(a) for a in (lefts, rights, spins)] for _ in bounds[1:]]

    def share(part: int) -> None:
        sweep_pivots(data, table, bounds[part], bounds[part + 1], spins, lefts, rights, *slopes[part], gradient)

    together(share, len(slopes))
    of_left, of_right, of_spins = (torch.from_numpy(_total(parts)) for parts in zip(*slopes, strict=True))
    sites = x.shape[1]
    return of_left[:replicas, : left.shape[1]], of_right[:replicas, : right.shape[1]], of_spins.t()[:replicas, :sites]


def tuples(
    sites: Int[Tensor, "term degree"], values: Float[Tensor, " term"], x: Float[Tensor, "replica site"]
) -> Float[Tensor, "replica site"]:
    """The gradient of Σ J x…x over tuples of sites."""
    from glassyrun_pspin.compiled import sweep_tuples

    spins = x.t().contiguous().numpy()  # sites first, so that all replicas of a spin lie together
    places, couplings = sites.numpy(), values.numpy()
    bounds = _shares(np.ones(len(couplings), np.int64), spins.shape[1])
    slopes = [np.zeros_like(spins) for _ in bounds[1:]]

    def share(part: int) -> None:
        sweep_tuples(places, couplings, bounds[part], bounds[part + 1], spins, slopes[part])

    together(share, len(slopes))
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
    """Bounds of ranges of about equal work, one a thread; the thread that asks has begun before the others are awake."""
    done = work.cumsum()
    total = int(done[-1]) if len(done) else 0
    parts = max(1, min(thread_count(), total * replicas // LEAST_WORK))
    ahead = min(LEAST_WORK / replicas, total / 4) if parts > 1 else 0
    ends = (ahead + (total - ahead) * part / parts for part in range(1, parts))
    return [0, *(int(np.searchsorted(done, end)) for end in ends), len(work)]
