"""Compiled queries of a solution on the graded grid, at any times."""

from __future__ import annotations

import numba
import numpy as np

from glassyrun_pspin.meanfield.fixed_loops import polynomial
from glassyrun_pspin.meanfield.graded_equations import panels, point
from glassyrun_pspin.meanfield.graded_loops import history


@numba.njit(cache=True, nogil=True)
def values(h, k, since, lag):  # type: ignore[no-untyped-def]
    """C and R [query, C or R] at t′ = since and t = since + lag; k is the last row."""
    n = h.rows.shape[2]
    found = np.empty((len(since), 2))
    for q in range(len(since)):
        c, r, _ = history(h, k, n, since[q] + lag[q], lag[q], since[q])
        found[q] = c, r
    return found


@numba.njit(cache=True, nogil=True)
def integrated(h, k, since, lag, width):  # type: ignore[no-untyped-def]
    """∫ R(t, s) ds from s = since to t = since + lag [query]: the response to a field that is switched on at `since`."""
    n = h.rows.shape[2]
    found = np.zeros(len(since))
    for q in range(len(since)):
        if lag[q] <= 0:
            continue
        t = since[q] + lag[q]
        count, reach = panels(h, lag[q], width)
        for index in range(12 * count):
            z, w = point(h, reach, count, index % (6 * count))
            back = z if index < 6 * count else lag[q] - z
            found[q] += w * history(h, k, n, t, back, t - back)[1]
    return found


@numba.njit(cache=True, nogil=True)
def one_time(h, k, times, kernels, temperature, beta, width):  # type: ignore[no-untyped-def]
    """μ and E [time, μ or E] by their integrals over the memory."""
    n = h.rows.shape[2]
    found = np.zeros((len(times), 2))
    for q in range(len(times)):
        t = times[q]
        start = history(h, k, n, t, t, 0.0)[0] if t > 0 else 1.0
        found[q, 0] = temperature + beta * polynomial(kernels[1], start) * start
        found[q, 1] = -beta * polynomial(kernels[0], start)
        count, reach = panels(h, t, width)
        for index in range(12 * count if t > 0 else 0):
            z, w = point(h, reach, count, index % (6 * count))
            lag = z if index < 6 * count else t - z
            c, r, _ = history(h, k, n, t, lag, t - lag)
            f1 = w * polynomial(kernels[1], c)
            found[q, 0] += (f1 + w * polynomial(kernels[2], c) * c) * r
            found[q, 1] -= f1 * r
    return found
