"""The loop of `pair_sums`, compiled by numba."""

from __future__ import annotations

import inspect

import numba
import numpy as np


def _compiled(function):  # type: ignore[no-untyped-def]
    """Sums are vectorised: their order is fixed at compile time. What checkers of run-time types have wrapped is unwrapped."""
    decorate = numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy", cache=True)
    return decorate(inspect.unwrap(function))


@_compiled
def add_up(x, past, begin, end, chunk, sums, first, last):  # type: ignore[no-untyped-def]
    """sums[replica, n] = Σ x·x′, x², x′², δ², δ⁴ over the n-th chunk of `begin` … `end` − 1, δ = x − x′, all in float64.

    Chunks are counted through, replica after replica; `first` … `last` − 1 of them are done.
    """
    chunks = sums.shape[1]
    for task in range(first, last):
        replica, n = task // chunks, task % chunks
        since = begin + n * chunk
        product = norm = norm_past = second = fourth = 0.0
        for k in range(np.uint64(since), np.uint64(min(since + chunk, end))):
            here, there = np.float64(x[replica, k]), np.float64(past[replica, k])
            product += here * there
            norm += here * here
            norm_past += there * there
            square = (here - there) * (here - there)
            second += square
            fourth += square * square
        out = sums[replica, n]
        out[0], out[1], out[2], out[3], out[4] = product, norm, norm_past, second, fourth
