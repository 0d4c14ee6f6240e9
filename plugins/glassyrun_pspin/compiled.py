"""Loops over the couplings, compiled by numba. Written out by hand where sums must stay in registers.

`fastmath` lets the sums of products be vectorised; the order is fixed at compile time, so the same machine gives the same
bits. Indices are unsigned because numba else checks each for a negative one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CHUNK = 65536
"""Couplings that all groups of replicas use before the next ones: they stay in the second-level cache meanwhile."""


def compiled(function: Callable[..., Any]) -> Any:
    """Compiles `function` itself, without what checkers of run-time types have wrapped around it."""
    return numba.njit(nogil=True, fastmath=True, cache=True)(inspect.unwrap(function))


@compiled
def _one_row(store: Array, at: int, columns: int, near: Array, slope: Array, weight: float, gradient: bool) -> float:
    """The product of a row of couplings with `near`; adds the row, weighted, onto `slope`."""
    total = store.dtype.type(0)
    for k in range(columns):
        total += store[at + k] * near[k]
    if gradient:
        for k in range(columns):
            slope[k] += weight * store[at + k]
    return total


@compiled
def _four_rows(store, at, stride, columns, near, near_slope, far, far_slope, row, spin, gradient):  # type: ignore[no-untyped-def]
    """Four rows, one replica: both products while the couplings are in the first-level cache; gives the pivot's slope."""
    at1, at2, at3 = at + stride, at + stride + stride, at + stride + stride + stride
    a = b = c = d = store.dtype.type(0)
    for k in range(columns):
        v = near[k]
        a += store[at + k] * v
        b += store[at1 + k] * v
        c += store[at2 + k] * v
        d += store[at3 + k] * v
    f0, f1, f2, f3 = far[row], far[row + 1], far[row + 2], far[row + 3]
    far_slope[row] += a * spin
    far_slope[row + 1] += b * spin
    far_slope[row + 2] += c * spin
    far_slope[row + 3] += d * spin
    if gradient:
        w0, w1, w2, w3 = f0 * spin, f1 * spin, f2 * spin, f3 * spin
        for k in range(columns):
            near_slope[k] += w0 * store[at + k] + w1 * store[at1 + k] + w2 * store[at2 + k] + w3 * store[at3 + k]
    return a * f0 + b * f1 + c * f2 + d * f3


@compiled
def _four_by_four(store, at, stride, columns, near, near_slope, far, far_slope, row, spins, pivot_slope, gradient):  # type: ignore[no-untyped-def]
    """Four rows, four replicas: a 4×4 block of a matrix product in sixteen registers, and its transpose."""
    at1, at2, at3 = at + stride, at + stride + stride, at + stride + stride + stride
    n0, n1, n2, n3 = near[0], near[1], near[2], near[3]
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = store.dtype.type(0)
    c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = store.dtype.type(0)
    for k in range(columns):
        a, b, c, d = store[at + k], store[at1 + k], store[at2 + k], store[at3 + k]
        v0, v1, v2, v3 = n0[k], n1[k], n2[k], n3[k]
        a0 += a * v0
        b0 += b * v0
        c0 += c * v0
        d0 += d * v0
        a1 += a * v1
        b1 += b * v1
        c1 += c * v1
        d1 += d * v1
        a2 += a * v2
        b2 += b * v2
        c2 += c * v2
        d2 += d * v2
        a3 += a * v3
        b3 += b * v3
        c3 += c * v3
        d3 += d * v3
    sums = ((a0, b0, c0, d0), (a1, b1, c1, d1), (a2, b2, c2, d2), (a3, b3, c3, d3))
    for r in range(4):
        for i in range(4):
            far_slope[r, row + i] += sums[r][i] * spins[r]
            pivot_slope[r] += sums[r][i] * far[r, row + i]
    if gradient:
        g0, g1, g2, g3 = near_slope[0], near_slope[1], near_slope[2], near_slope[3]
        s0, s1, s2, s3 = spins[0], spins[1], spins[2], spins[3]
        f0, f1, f2, f3 = far[0, row:], far[1, row:], far[2, row:], far[3, row:]
        wa0, wb0, wc0, wd0 = f0[0] * s0, f0[1] * s0, f0[2] * s0, f0[3] * s0
        wa1, wb1, wc1, wd1 = f1[0] * s1, f1[1] * s1, f1[2] * s1, f1[3] * s1
        wa2, wb2, wc2, wd2 = f2[0] * s2, f2[1] * s2, f2[2] * s2, f2[3] * s2
        wa3, wb3, wc3, wd3 = f3[0] * s3, f3[1] * s3, f3[2] * s3, f3[3] * s3
        for k in range(columns):
            a, b, c, d = store[at + k], store[at1 + k], store[at2 + k], store[at3 + k]
            g0[k] += wa0 * a + wb0 * b + wc0 * c + wd0 * d
            g1[k] += wa1 * a + wb1 * b + wc1 * c + wd1 * d
            g2[k] += wa2 * a + wb2 * b + wc2 * c + wd2 * d
            g3[k] += wa3 * a + wb3 * b + wc3 * c + wd3 * d


@compiled
def _rows(store, at, stride, columns, begin, end, near, near_slope, far, far_slope, spins, pivot_slope, gradient):  # type: ignore[no-untyped-def]
    """Rows begin ≤ row < end of a rectangle for one replica, or for four."""
    width = np.uint64(columns) * np.uint64(16)
    row = begin
    while row < end:
        here = np.uint64(at + row * stride)
        if end - row < 4:
            for r in range(spins.size):
                weight = far[r, row] * spins[r]
                total = _one_row(store, here, width, near[r], near_slope[r], weight, gradient)
                far_slope[r, row] += total * spins[r]
                pivot_slope[r] += total * far[r, row]
            row += 1
        else:
            step = np.uint64(stride)
            if spins.size == 1:
                pivot_slope[0] += _four_rows(
                    store, here, step, width, near[0], near_slope[0], far[0], far_slope[0], row, spins[0], gradient
                )
            else:
                _four_by_four(store, here, step, width, near, near_slope, far, far_slope, row, spins, pivot_slope, gradient)
            row += 4


@compiled
def sweep_pivots(store, pivots, begin, end, spins, left, right, left_slope, right_slope, pivot_slope, gradient):  # type: ignore[no-untyped-def]
    """Pivots begin ≤ j < end for one replica or a multiple of four; spins and their slope are [site, replica]."""
    replicas = spins.shape[1]
    group = 1 if replicas == 1 else 4
    for pivot in range(begin, end):
        at, stride, columns, rows, flipped = pivots[pivot]
        if columns == 0 or rows == 0:
            continue
        columns = (columns + 15) // 16  # whole vectors: what lies behind the columns of a row is zero
        chunk = max(4, CHUNK // (16 * columns) // 4 * 4)
        for first in range(0, rows, chunk):
            last = min(first + chunk, rows)
            for r in range(0, replicas, group):
                low, low_slope = left[r : r + group], left_slope[r : r + group]
                high, high_slope = right[r : r + group], right_slope[r : r + group]
                spin, slope = spins[pivot, r : r + group], pivot_slope[pivot, r : r + group]
                if flipped:
                    _rows(store, at, stride, columns, first, last, high, high_slope, low, low_slope, spin, slope, gradient)
                else:
                    _rows(store, at, stride, columns, first, last, low, low_slope, high, high_slope, spin, slope, gradient)


@compiled
def sweep_tuples(sites, values, begin, end, spins, slope):  # type: ignore[no-untyped-def]
    """Terms begin ≤ t < end, all replicas; adds the derivative of J x…x onto `slope`; both are [site, replica]."""
    degree, replicas = sites.shape[1], spins.shape[1]
    product = np.empty(replicas, spins.dtype)
    for term in range(begin, end):
        for k in range(degree):
            product[:] = values[term]
            for other in range(degree):
                if other != k:
                    site = sites[term, other]
                    for r in range(replicas):
                        product[r] *= spins[site, r]
            site = sites[term, k]
            for r in range(replicas):
                slope[site, r] += product[r]
