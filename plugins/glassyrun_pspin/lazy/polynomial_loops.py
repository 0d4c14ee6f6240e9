"""Loops over the coefficients of a homogeneous polynomial, compiled by numba.

Coefficients lie block after block, one a direction: block a holds all monomials y_{i1} … y_{ip} with a = i1 ≥ i2 ≥ … ≥ ip, the
last index fastest. So the coefficients of a new direction come behind all others, and those of monomials with the same leading
indices are one stretch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def compiled(function: Callable[..., Any]) -> Any:
    """Sums are vectorised, in an order fixed at compile time. What checkers of run-time types have wrapped is unwrapped."""
    decorate = numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy", cache=True)
    return decorate(inspect.unwrap(function))


@compiled
def _stretch(coefficients, at, lead, unit, row):  # type: ignore[no-untyped-def]
    """Coefficients with the leading indices `lead`, times unit · √(p! / Π m!), m the multiplicities of a monomial's indices."""
    run, shared, permutations = 1, 1.0, 1.0
    for k in range(1, len(lead)):
        run = run + 1 if lead[k] == lead[k - 1] else 1
        shared *= run
        permutations *= k + 1
    permutations *= len(lead) + 1
    end = lead[-1]
    scale = unit * np.sqrt(permutations / shared)
    for c in range(np.uint64(end)):
        row[c] = scale * coefficients[np.uint64(at) + c]
    row[end] = scale / np.sqrt(run + 1.0) * coefficients[at + end]
    return end + 1


@compiled
def _follows(lead):  # type: ignore[no-untyped-def]
    """Moves on to the next leading indices with the same largest one; False behind the last."""
    k = len(lead) - 1
    while k > 0 and lead[k] == lead[k - 1]:
        lead[k] = 0
        k -= 1
    if k == 0:
        return False
    lead[k] += 1
    return True


@compiled
def contract(coefficients, degree, first, last, y, unit, value, slope, sloped):  # type: ignore[no-untyped-def]
    """Adds value and slopes of Σ unit · √(p!/Π m!) · coefficient · y_{i1} … y_{ip} over the blocks first … last − 1; p ≥ 2.

    `coefficients` begin with block `first`; `y` is [configuration, direction], `value` [configuration] and `slope`
    [configuration, direction], which is left alone unless `sloped`.
    """
    lead, row, at = np.zeros(degree - 1, np.int64), np.empty(last, np.float64), 0
    for a in range(first, last):
        lead[:] = 0
        lead[0] = a
        going = True
        while going:
            length = _stretch(coefficients, at, lead, unit, row)
            at += length
            for r in range(y.shape[0]):
                product, inner = 1.0, 0.0
                for k in range(degree - 1):
                    product *= y[r, lead[k]]
                for c in range(np.uint64(length)):
                    inner += row[c] * y[r, c]
                value[r] += product * inner
                if not sloped:
                    continue
                for c in range(np.uint64(length)):
                    slope[r, c] += product * row[c]
                for k in range(degree - 1):
                    others = inner
                    for j in range(degree - 1):
                        others *= y[r, lead[j]] if j != k else 1.0
                    slope[r, lead[k]] += others
            going = _follows(lead)
