"""The compiled march of the graded scheme: integrals over the memory, and sweeps over the nodes of a row."""

from __future__ import annotations

from math import ceil, exp, expm1, log1p

import numba
import numpy as np

from glassyrun_pspin.meanfield.fixed_loops import polynomial
from glassyrun_pspin.meanfield.graded_loops import history, in_row

GAUSS = (
    (0.0694318442029737, 0.1739274225687269),
    (0.3300094782075719, 0.3260725774312731),
    (0.6699905217924281, 0.3260725774312731),
    (0.9305681557970263, 0.1739274225687269),
)
POINTS = np.array([x for x, _ in GAUSS])
SHARES = np.array([w for _, w in GAUSS])
PANEL = 0.6


@numba.njit(cache=True, nogil=True)
def memory(h, k, t, lag, since, side, i, kernels):
    """∫Σ R, ∫Σ C + ∫D R at t_k and one t′, and their slopes with the values at this node."""
    ir = ic = ar = ac = 0.0
    length = lag
    for half in range(4):
        if half == 2:
            length = since
        if length <= 0:
            continue
        X = log1p(0.5 * length / h.a)
        n = ceil(X / PANEL)
        for panel in range(n):
            for g in range(4):
                x = X * (panel + POINTS[g]) / n
                w = X / n * SHARES[g] * h.a * exp(x)
                z = h.a * expm1(x)
                if half < 2:
                    l1 = z if half == 0 else lag - z
                    l2 = lag - z if half == 0 else z
                    s = t - l1 if half == 0 else since + l2
                    c1, r1, w1 = in_row(h, k, l1, s, side, i)
                    c2, r2, w2 = history(h, k, s, l2, since, side, i)
                else:
                    l2 = z if half == 2 else since - z
                    s = since - z if half == 2 else z
                    c1, r1, w1 = in_row(h, k, lag + l2, s, side, i)
                    c2, r2, w2 = history(h, k, since, l2, s, -1, 0)
                f2 = polynomial(kernels[2], c1)
                f3 = polynomial(kernels[3], c1)
                ic += w * f2 * r1 * c2
                ac += w * f3 * r1 * w1 * c2
                if half < 2:
                    ir += w * f2 * r1 * r2
                    ar += w * f2 * (w1 * r2 + r1 * w2)
                    ac += w * f2 * r1 * w2
                else:
                    ic += w * polynomial(kernels[1], c1) * r2
                    ac += w * f2 * w1 * r2
    return ir, ic, ar, ac


@numba.njit(cache=True, nogil=True)
def multiplier(h, k, t, kernels, temperature, beta):
    """μ and E of row k."""
    m = e = 0.0
    X = log1p(0.5 * t / h.a)
    n = ceil(X / PANEL)
    for half in range(2):
        for panel in range(n):
            for g in range(4):
                x = X * (panel + POINTS[g]) / n
                w = X / n * SHARES[g] * h.a * exp(x)
                z = h.a * expm1(x)
                lag, s = (z, t - z) if half == 0 else (t - z, z)
                c, r, _ = in_row(h, k, lag, s, -1, 0)
                d = polynomial(kernels[1], c) * r
                e -= w * d
                m += w * (d + polynomial(kernels[2], c) * r * c)
    c0 = h.rows[1, k, 0, 0]
    m += temperature + beta * polynomial(kernels[1], c0) * c0
    return m, e - beta * polynomial(kernels[0], c0)


LAG = np.array([[-3, -10, 18, -6, 1], [1, -8, 0, 8, -1], [-1, 6, -18, 10, 3], [3, -16, 36, -48, 25]], dtype=np.float64) / 12
"""∂/∂u at columns 1 to 4 from columns 0 to 4; the last, upwind, serves all later columns too."""
TIME = np.array([3, -16, 36, -48, 25], dtype=np.float64) / 12
"""∂/∂v at row k from rows k − 4 to k."""


@numba.njit(cache=True, nogil=True)
def eliminate(matrix, vector):
    """Solves matrix x = vector in place, by Gauss with pivots."""
    n = len(vector)
    for i in range(n):
        best = i + np.argmax(np.abs(matrix[i:, i]))
        if best != i:
            for j in range(n):
                matrix[i, j], matrix[best, j] = matrix[best, j], matrix[i, j]
            vector[i], vector[best] = vector[best], vector[i]
        for p in range(i + 1, n):
            f = matrix[p, i] / matrix[i, i]
            matrix[p, i:] -= f * matrix[i, i:]
            vector[p] -= f * vector[i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            vector[i] -= matrix[i, j] * vector[j]
        vector[i] /= matrix[i, i]


@numba.njit(cache=True, nogil=True)
def nodes(h, t):
    """How many columns of a side lie within t/2."""
    return int(log1p(0.5 * t / h.a) / h.du) + 1


@numba.njit(cache=True, nogil=True)
def residual(h, k, t, mu, kernels, beta, side, i, out):
    """What the equations of C and R leave at a node, and the diagonal of their Jacobian without ∂/∂u; both into `out` [2, C or R]."""
    f = h.rows[side]
    z = h.a * expm1(i * h.du)
    lag, since = (z, t - z) if side == 0 else (t - z, z)
    ir, ic, ar, ac = memory(h, k, t, lag, since, side, i, kernels)
    if beta > 0:
        c0, _, _ = history(h, k, since, since, 0.0, -1, 0)
        ic += beta * polynomial(kernels[1], h.rows[1, k, 0, 0]) * c0
    vdot, udot = 1 / ((t + h.c) * h.dv), 1 / ((z + h.a) * h.du)
    for q in range(2):
        drift = 0.0
        for p in range(5):
            drift += vdot * TIME[p] * f[k - 4 + p, i, q]
            if side == 0:
                drift += udot * LAG[min(i, 4) - 1, p] * f[k, max(i - 4, 0) + p, q]
        out[0, q] = (ic if q == 0 else ir) - mu * f[k, i, q] - drift
        out[1, q] = mu + vdot * TIME[4] - (ac if q == 0 else ar)


@numba.njit(cache=True, nogil=True)
def first_columns(h, k, t, mu, kernels, beta):
    """Columns 1 to 4 of side 0 together: there the derivative along the lag is central and couples them."""
    matrix, vector, out = np.empty((2, 4, 4)), np.empty((2, 4)), np.empty((2, 2))
    for i in range(1, 5):
        residual(h, k, t, mu, kernels, beta, 0, i, out)
        udot = 1 / ((h.a * expm1(i * h.du) + h.a) * h.du)
        for q in range(2):
            vector[q, i - 1] = out[0, q]
            for j in range(4):
                matrix[q, i - 1, j] = udot * LAG[i - 1, j + 1] + (out[1, q] if j == i - 1 else 0.0)
    for q in range(2):
        eliminate(matrix[q], vector[q])
        for i in range(1, 5):
            h.rows[0, k, i, q] += vector[q, i - 1]
    return np.abs(vector[0]).max(), np.abs(vector[1]).max()


@numba.njit(cache=True, nogil=True)
def sweep(h, k, t, mu, kernels, beta):
    """One Gauss-Seidel pass over row k from t′ = t to t′ = 0; gives the largest change of C and of (t − t′ + a) R."""
    n = nodes(h, t)
    out = np.empty((2, 2))
    change_c, change_r = first_columns(h, k, t, mu, kernels, beta)
    change_r *= h.a
    for side in range(2):
        for step in range(5 if side == 0 else 0, n):
            i = step if side == 0 else n - 1 - step
            residual(h, k, t, mu, kernels, beta, side, i, out)
            z = h.a * expm1(i * h.du)
            own = LAG[3, 4] / ((z + h.a) * h.du) if side == 0 else 0.0
            lag = z if side == 0 else t - z
            dc, dr = out[0, 0] / (out[1, 0] + own), out[0, 1] / (out[1, 1] + own)
            h.rows[side, k, i, 0] += dc
            h.rows[side, k, i, 1] += dr
            change_c, change_r = max(change_c, abs(dc)), max(change_r, abs(dr) * (lag + h.a))
        ghosts(h, k, t, n, 1 - side)
    return change_c, change_r


@numba.njit(cache=True, nogil=True)
def ghosts(h, k, t, n, _side):
    """Columns beyond t/2, that stencils of later rows reach, from the other side of the same row."""
    last = min(h.rows.shape[2], int(log1p(0.5 * t * exp(5 * h.dv) / h.a) / h.du) + 5)
    for side in range(2):
        for i in range(n, last):
            z = h.a * expm1(i * h.du)
            if z < t:
                lag, since = (z, t - z) if side == 0 else (t - z, z)
                c, r, _ = in_row(h, k, lag, since, -1, 0)
                h.rows[side, k, i, 0] = c
                h.rows[side, k, i, 1] = r
