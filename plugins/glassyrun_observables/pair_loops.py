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
def add_up(x, past, begin, end, sums):  # type: ignore[no-untyped-def]
    """sums[:] = Σ x·x′, x², x′², δ², δ⁴ over `begin` … `end` − 1, δ = x − x′, all in float64."""
    product = norm = norm_past = second = fourth = 0.0
    for k in range(np.uint64(begin), np.uint64(end)):
        here, there = np.float64(x[k]), np.float64(past[k])
        product += here * there
        norm += here * here
        norm_past += there * there
        square = (here - there) * (here - there)
        second += square
        fourth += square * square
    sums[0], sums[1], sums[2], sums[3], sums[4] = product, norm, norm_past, second, fourth
