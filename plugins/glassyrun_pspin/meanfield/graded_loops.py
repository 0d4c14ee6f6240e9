"""Values of C and R anywhere in t ≥ t′, from rows that are graded towards t′ = t and t′ = 0."""

from __future__ import annotations

from math import expm1, log1p
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Float


class History(NamedTuple):
    """C and R up to a time, as the compiled loops read them.

    Up to time `seam` they lie on a square grid, `dense` [t, t′, C or R] of spacing `spacing`, and on a finer one for the first eight of
    its steps. Rows lie at t = c (e^{m δ_v} − 1) for
    m = first, first + 1, … in `rows` [side, row, column, C or R]: column j of side 0 is the lag t − t′ = a (e^{j δ_u} − 1), of
    side 1 that t′. Each side serves its half of a row.
    """

    fine: Float[np.ndarray, "t t_w 2"]
    fine_spacing: float
    dense: Float[np.ndarray, "t t_w 2"]
    spacing: float
    seam: float
    rows: Float[np.ndarray, "2 row column 2"]
    a: float
    du: float
    c: float
    dv: float
    first: int


@numba.njit(cache=True, nogil=True, inline="always")
def weights(f):  # type: ignore[no-untyped-def]
    """Lagrange's weights of the points 0, 1, 2, 3 for a value at f."""
    a, b, c = f - 1, f - 2, f - 3
    return -a * b * c / 6, f * b * c / 2, -f * a * c / 2, f * a * b / 6


@numba.njit(cache=True, nogil=True)
def on_square(values, spacing, t, lag, since):  # type: ignore[no-untyped-def]
    """C and R from a square grid: along t at a fixed lag, or at a fixed t′ if that is the smaller one."""
    near = lag <= since
    x, y = (lag if near else since) / spacing, t / spacing
    n = values.shape[0]
    column = min(max(int(x) - 1, 0), n - 4)
    row = min(max(int(y) - 1, column + 3), n - 4)
    wx, wy = weights(x - column), weights(y - row)
    c = r = 0.0
    for p in range(4):
        for q in range(4):
            j = row + p - column - q if near else column + q
            w = wy[p] * wx[q]
            c += w * values[row + p, j, 0]
            r += w * values[row + p, j, 1]
    return c, r


@numba.njit(cache=True, nogil=True, inline="always")
def six_weights(f):  # type: ignore[no-untyped-def]
    """Lagrange's weights of the points 0 to 5 for a value at f."""
    b, c, d, e, g = f - 1, f - 2, f - 3, f - 4, f - 5
    fb, eg = f * b, e * g
    fbc, deg = fb * c, d * eg
    return -b * c * deg / 120, f * c * deg / 24, -fb * deg / 12, fbc * eg / 12, -fbc * d * g / 24, fbc * d * e / 120


@numba.njit(cache=True, nogil=True)
def column_of(h, n, lag, since):  # type: ignore[no-untyped-def]
    """Side, first column and weights of the six columns, of the first n, that give a value in a row."""
    side = 0 if lag <= since else 1
    x = log1p((lag if side == 0 else since) / h.a) / h.du
    column = min(max(int(x) - 2, 0), n - 6)
    return side, column, six_weights(x - column)


@numba.njit(cache=True, nogil=True)
def in_row(h, k, side, column, w):  # type: ignore[no-untyped-def]
    """C and R in row k."""
    f = h.rows[side, k]
    c = r = 0.0
    for q in range(6):
        c += w[q] * f[column + q, 0]
        r += w[q] * f[column + q, 1]
    return c, r


@numba.njit(cache=True, nogil=True)
def history(h, k, n, t, lag, since):  # type: ignore[no-untyped-def]
    """C and R at t ≤ t_k and t′ = `since` = t − `lag`; and the weight in them of row k, 0 where that is not looked at."""
    if t <= h.seam:
        if t <= 8 * h.spacing:
            c, r = on_square(h.fine, h.fine_spacing, t, lag, since)
        else:
            c, r = on_square(h.dense, h.spacing, t, lag, since)
        return c, r, 0.0
    side, column, w = column_of(h, n, lag, since)
    y = log1p(t / h.c) / h.dv - h.first
    row = min(max(int(y) - 1, 0), k - 3)
    v = weights(y - row)
    c = r = 0.0
    for p in range(4):
        value = in_row(h, row + p, side, column, w)
        c += v[p] * value[0]
        r += v[p] * value[1]
    return c, r, v[3] if row + 3 == k else 0.0


@numba.njit(cache=True, nogil=True)
def begin_row(h, k, t):  # type: ignore[no-untyped-def]
    """Row k from the square grid, where that reaches."""
    for side in range(2):
        for i in range(h.rows.shape[2]):
            z = h.a * expm1(i * h.du)
            if z <= t:
                lag, since = (z, t - z) if side == 0 else (t - z, z)
                h.rows[side, k, i] = on_square(h.dense, h.spacing, t, lag, since)


@numba.njit(cache=True, nogil=True)
def beyond(h, k, n, last, t):  # type: ignore[no-untyped-def]
    """Columns n to `last` of row k, past its middle, from the other side of it: later rows interpolate there."""
    for side in range(2):
        for i in range(n, last):
            z = h.a * expm1(i * h.du)
            if z < t:
                lag, since = (z, t - z) if side == 0 else (t - z, z)
                at, column, w = column_of(h, n, lag, since)
                h.rows[side, k, i] = in_row(h, k, at, column, w)
