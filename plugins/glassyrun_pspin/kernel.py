"""A compiled pass over the couplings for few replicas.

A matrix product with one column runs at half the memory bandwidth here, and the transposed one after it too. For one
replica, a fused loop reads each coupling once from memory and uses it twice. Threads take fixed ranges of pivots and add into
sums of their own, so the result depends on the number of threads but not on their timing.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

MOST_REPLICAS = 4
"""From here on the matrix products of torch are faster."""
LEAST_WORK = 2**18
"""Couplings per thread below which a second one isn't worth waking."""

Array = NDArray[Any]


def serves(x: Float[Tensor, "replica site"]) -> bool:
    """Whether this kernel is the faster way for such a batch of replicas."""
    return x.device.type == "cpu" and x.shape[0] <= MOST_REPLICAS


@numba.njit(nogil=True, fastmath=True, cache=True)
def _one_row(row, weight, left, slope, gradient):  # type: ignore[no-untyped-def]
    """A row of couplings: its product with `left`; adds it, weighted, onto `slope`."""
    total = row.dtype.type(0)
    for k in range(row.size):
        total += row[k] * left[k]
    if gradient:
        for k in range(row.size):
            slope[k] += weight * row[k]
    return total


@numba.njit(nogil=True, fastmath=True, cache=True)
def _four_rows(rows, stride, columns, weights, left, slope, sums, gradient):  # type: ignore[no-untyped-def]
    """The same for four rows at a time, which loads `left` and `slope` once for the four."""
    a = b = c = d = rows.dtype.type(0)
    first, second = rows[:columns], rows[stride : stride + columns]
    third, fourth = rows[2 * stride : 2 * stride + columns], rows[3 * stride : 3 * stride + columns]
    for k in range(columns):
        value = left[k]
        a += first[k] * value
        b += second[k] * value
        c += third[k] * value
        d += fourth[k] * value
    sums[0], sums[1], sums[2], sums[3] = a, b, c, d
    if gradient:
        w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
        for k in range(columns):
            slope[k] += w0 * first[k] + w1 * second[k] + w2 * third[k] + w3 * fourth[k]


@numba.njit(nogil=True, fastmath=True, cache=True)
def _pivots(store, pivots, begin, end, x, left, right, slope_left, slope_right, slope_x, gradient):  # type: ignore[no-untyped-def]
    """Pivots begin ≤ j < end, all replicas; adds onto the slopes. A block of rows is used by all replicas while in cache."""
    weights, sums = np.zeros(4, store.dtype), np.zeros(4, store.dtype)
    for pivot in range(begin, end):
        start, stride, columns, rows = pivots[pivot]
        row = 0
        while row < rows:
            together = 4 if rows - row >= 4 else 1
            block = store[start + row * stride :]
            for r in range(x.shape[0]):
                spin = x[r, pivot]
                for i in range(together):
                    weights[i] = right[r, row + i] * spin
                if together == 4:
                    _four_rows(block, stride, columns, weights, left[r], slope_left[r], sums, gradient)
                else:
                    sums[0] = _one_row(block[:columns], weights[0], left[r], slope_left[r], gradient)
                for i in range(together):
                    slope_x[r, pivot] += sums[i] * right[r, row + i]
                    slope_right[r, row + i] += sums[i] * spin
            row += together


def sweep(
    store: Float[Tensor, " entry"],
    pivots: Int[Tensor, "pivot 4"],
    x: Float[Tensor, "replica site"],
    left: Float[Tensor, "replica left"],
    right: Float[Tensor, "replica right"],
    gradient: bool,
) -> tuple[Float[Tensor, "replica left"], Float[Tensor, "replica right"], Float[Tensor, "replica site"]]:
    """Derivatives of Σ J · right · x_pivot · left with respect to left, right and x_pivot; without `gradient`, not of left."""
    table = pivots.numpy()
    bounds = _shares(table[:, 2] * table[:, 3], torch.get_num_threads())
    inputs = [np.ascontiguousarray(t.numpy()) for t in (x, left, right)]
    outputs = [[np.zeros_like(a) for a in (inputs[1], inputs[2], inputs[0])] for _ in bounds[1:]]
    data = store.numpy()

    def share(part: int) -> None:
        _pivots(data, table, bounds[part], bounds[part + 1], *inputs, *outputs[part], gradient)

    _together(share, len(outputs))
    return tuple(torch.from_numpy(sum(slopes[1:], start=slopes[0])) for slopes in zip(*outputs, strict=True))  # type: ignore[return-value]


def _shares(work: Array, threads: int) -> list[int]:
    """Ranges of pivots of about equal work."""
    done = work.cumsum()
    parts = int(max(1, min(threads, done[-1] // LEAST_WORK))) if len(done) else 1
    inner = [int(np.searchsorted(done, done[-1] * part / parts)) for part in range(1, parts)]
    return [0, *inner, len(work)]


def _together(share: Callable[[int], None], parts: int) -> None:
    """Runs all parts at once, the first one on this thread."""
    others = [_pool().submit(share, part) for part in range(1, parts)]
    share(0)
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="glassyrun-pspin")


def compiled(x: Float[Tensor, "replica site"]) -> bool:
    """Whether kernels run where `x` lies."""
    return x.device.type == "cpu"


@numba.njit(nogil=True, fastmath=True, cache=True)
def _tuples(sites, values, begin, end, x, slope):  # type: ignore[no-untyped-def]
    """Terms begin ≤ t < end, all replicas; adds the derivative of J x…x onto `slope`."""
    degree, replicas = sites.shape[1], x.shape[1]
    product = np.empty(replicas, x.dtype)
    for term in range(begin, end):
        for k in range(degree):
            product[:] = values[term]
            for other in range(degree):
                if other != k:
                    site = sites[term, other]
                    for r in range(replicas):
                        product[r] *= x[site, r]
            site = sites[term, k]
            for r in range(replicas):
                slope[site, r] += product[r]


def sweep_tuples(
    sites: Int[Tensor, "term degree"], values: Float[Tensor, " term"], x: Float[Tensor, "site replica"]
) -> Float[Tensor, "site replica"]:
    """The gradient of Σ J x…x over tuples of sites; sites first, so that all replicas of a spin lie together."""
    terms = len(values)
    parts = int(max(1, min(torch.get_num_threads(), terms * x.shape[1] // LEAST_WORK)))
    bounds = [terms * part // parts for part in range(parts + 1)]
    inputs = (sites.numpy(), values.numpy())
    spins = x.numpy()
    slopes = [np.zeros_like(spins) for _ in range(parts)]

    def share(part: int) -> None:
        _tuples(*inputs, bounds[part], bounds[part + 1], spins, slopes[part])

    _together(share, parts)
    return torch.from_numpy(sum(slopes[1:], start=slopes[0]))
