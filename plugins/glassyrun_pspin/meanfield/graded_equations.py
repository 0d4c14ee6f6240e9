"""What the two-time equations leave in a row of the graded grid, and the derivative of that with the row: for Newton's method."""

from __future__ import annotations

from math import ceil, exp, expm1, log1p

import numba
import numpy as np

from glassyrun_pspin.meanfield.fixed_loops import polynomial
from glassyrun_pspin.meanfield.graded_loops import column_of, history, in_row

POINTS, SHARES = (np.array(table) for table in np.polynomial.legendre.leggauss(6))
POINTS, SHARES = (POINTS + 1) / 2, SHARES / 2
"""Gauss-Legendre on [0, 1]."""
LAG = (
    np.array(
        [
            [-137, 300, -300, 200, -75, 12],
            [-12, -65, 120, -60, 20, -3],
            [3, -30, -20, 60, -15, 2],
            [-2, 15, -60, 20, 30, -3],
            [3, -20, 60, -120, 65, 12],
            [-12, 75, -200, 300, -300, 137],
        ],
        dtype=np.float64,
    )
    / 60
)
"""∂/∂u at each of six columns from all of them: of fifth order."""
BACK = 3
"""How many of the six columns lie before the one where the derivative is taken."""
TIME = np.array([3, -16, 36, -48, 25], dtype=np.float64) / 12
"""∂/∂v at row k from rows k − 4 to k: backward differentiation of fourth order."""


@numba.njit(cache=True, nogil=True)
def panels(h, length, width):  # type: ignore[no-untyped-def]
    """Number of panels over half of an interval of this length, each `width` wide in u, and the length of that half in u."""
    reach = log1p(0.5 * length / h.a)
    return max(1, ceil(reach / width)), reach


@numba.njit(cache=True, nogil=True)
def point(h, reach, n, index):  # type: ignore[no-untyped-def]
    """Distance from the end of an interval, and weight, of the Gauss point `index` of 6 n."""
    x = reach * (index // 6 + POINTS[index % 6]) / n
    return h.a * expm1(x), reach / n * SHARES[index % 6] * h.a * exp(x)


@numba.njit(cache=True, nogil=True)
def note(into, n, side, column, w, by_c, by_r):  # type: ignore[no-untyped-def]
    """Adds to a line of the Jacobian what changes with C and R at the columns of a stencil."""
    for q in range(6):
        at = 2 * (side * n + column + q)
        into[at] += w[q] * by_c
        into[at + 1] += w[q] * by_r


@numba.njit(cache=True, nogil=True)
def recent(h, k, n, t, lag, since, kernels, width, out, derive, line_c, line_r):  # type: ignore[no-untyped-def]
    """Adds ∫_t′^t Σ(t,s) C(s,t′) ds and ∫_t′^t Σ(t,s) R(s,t′) ds to `out`, and their derivatives to two lines."""
    count, reach = panels(h, lag, width)
    for index in range(12 * count):
        z, w = point(h, reach, count, index % (6 * count))
        later, earlier = (z, lag - z) if index < 6 * count else (lag - z, z)
        s = t - later
        side, column, u = column_of(h, n, later, s)
        c, r = in_row(h, k, side, column, u)
        c2, r2, own = history(h, k, n, s, earlier, since)
        f2, f3 = w * polynomial(kernels[2], c), w * polynomial(kernels[3], c)
        out[0] += f2 * r * c2
        out[1] += f2 * r * r2
        if not derive:
            continue
        note(line_c, n, side, column, u, f3 * r * c2, f2 * c2)
        note(line_r, n, side, column, u, f3 * r * r2, f2 * r2)
        if own != 0.0:
            side, column, u = column_of(h, n, earlier, since)
            note(line_c, n, side, column, u, f2 * r * own, 0.0)
            note(line_r, n, side, column, u, 0.0, f2 * r * own)


@numba.njit(cache=True, nogil=True)
def remote(h, k, n, t, lag, since, kernels, width, out, derive, line_c):  # type: ignore[no-untyped-def]
    """Adds ∫₀^t′ [Σ(t,s) C(t′,s) + D(t,s) R(t′,s)] ds to `out`, and its derivative to a line."""
    count, reach = panels(h, since, width)
    for index in range(12 * count):
        z, w = point(h, reach, count, index % (6 * count))
        back, s = (z, since - z) if index < 6 * count else (since - z, z)
        side, column, u = column_of(h, n, lag + back, s)
        c, r = in_row(h, k, side, column, u)
        c2, r2, own = history(h, k, n, since, back, s)
        f1, f2, f3 = w * polynomial(kernels[1], c), w * polynomial(kernels[2], c), w * polynomial(kernels[3], c)
        out[0] += f2 * r * c2 + f1 * r2
        if not derive:
            continue
        note(line_c, n, side, column, u, f3 * r * c2 + f2 * r2, f2 * c2)
        if own != 0.0:
            side, column, u = column_of(h, n, back, s)
            note(line_c, n, side, column, u, f2 * r * own, f1 * own)


@numba.njit(cache=True, nogil=True)
def memory_of_start(h, k, n, lag, since, kernels, beta, out, derive, line_c):  # type: ignore[no-untyped-def]
    """Adds β_i f′(C(t,0)) C(t′,0), and its derivative."""
    start = h.rows[1, k, 0, 0]
    c, _, own = history(h, k, n, since, since, 0.0)
    if lag == 0.0:
        c, own = start, 1.0
    out[0] += beta * polynomial(kernels[1], start) * c
    if derive:
        line_c[2 * n] += beta * (polynomial(kernels[2], start) * c + polynomial(kernels[1], start) * own)


@numba.njit(cache=True, nogil=True)
def multiplier(h, k, n, t, kernels, temperature, beta, width, line):  # type: ignore[no-untyped-def]
    """μ and E of row k by their integrals over it; adds the derivative of μ to a line of the Jacobian."""
    mu = energy = 0.0
    count, reach = panels(h, t, width)
    for index in range(12 * count):
        z, w = point(h, reach, count, index % (6 * count))
        lag, since = (z, t - z) if index < 6 * count else (t - z, z)
        side, column, u = column_of(h, n, lag, since)
        c, r = in_row(h, k, side, column, u)
        f1, f2, f3 = w * polynomial(kernels[1], c), w * polynomial(kernels[2], c), w * polynomial(kernels[3], c)
        energy -= f1 * r
        mu += (f1 + f2 * c) * r
        note(line, n, side, column, u, (2 * f2 + f3 * c) * r, f1 + f2 * c)
    start = h.rows[1, k, 0, 0]
    line[2 * n] += beta * (polynomial(kernels[2], start) * start + polynomial(kernels[1], start))
    mu += temperature + beta * polynomial(kernels[1], start) * start
    return mu, energy - beta * polynomial(kernels[0], start)


@numba.njit(cache=True, nogil=True)
def residual(h, k, n, t, mu, kernels, beta, width, left, derive, jacobian, begin, stride):  # type: ignore[no-untyped-def]
    """What the equations for C and R leave at the n columns of each side of row k, and its derivative.

    `left` [4 n + 1] and `jacobian` [4 n + 1, 4 n + 1] are in the order side, column, C or R, and μ last. What lies on the diagonal
    t′ = t is given: C = R = 1. Nodes are independent of each other; this call takes each `stride`-th.
    """
    vdot = 1 / ((t + h.c) * h.dv)
    for node in range(begin, 2 * n, stride):
        side, i = node // n, node % n
        line_c, line_r = jacobian[2 * node if derive else 0], jacobian[2 * node + 1 if derive else 1]
        if derive:
            jacobian[2 * node : 2 * node + 2] = 0.0
        if node == 0:
            left[:2] = 0.0
            if derive:
                line_c[0] = line_r[1] = 1.0
            continue
        z = h.a * expm1(i * h.du)
        lag, since = (z, t - z) if side == 0 else (t - z, z)
        out = np.zeros(2)
        recent(h, k, n, t, lag, since, kernels, width, out, derive, line_c, line_r)
        if since > 0:
            remote(h, k, n, t, lag, since, kernels, width, out, derive, line_c)
        if beta > 0:
            memory_of_start(h, k, n, lag, since, kernels, beta, out, derive, line_c)
        f, first = h.rows[side], min(max(i - BACK, 0), n - 6)
        for q in range(2):
            value = out[q] - mu * f[k, i, q]
            for p in range(5):
                value -= vdot * TIME[p] * f[k - 4 + p, i, q]
            line = line_c if q == 0 else line_r
            if derive:
                line[2 * node + q] -= mu + vdot * TIME[4]
                line[4 * n] = -f[k, i, q]
            for p in range(6 if side == 0 else 0):
                along = LAG[i - first, p] / ((z + h.a) * h.du)
                value -= along * f[k, first + p, q]
                if derive:
                    line[2 * (first + p) + q] -= along
            left[2 * node + q] = value
