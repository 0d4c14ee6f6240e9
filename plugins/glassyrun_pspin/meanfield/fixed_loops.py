"""The compiled loops of the fixed-step scheme: one right-hand side reads each row of C and R once."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, inline="always")
def polynomial(coefficients, x):  # type: ignore[no-untyped-def]
    """Σ_k c_k x^k by Horner's rule."""
    value = 0.0
    for k in range(len(coefficients) - 1, -1, -1):
        value = value * x + coefficients[k]
    return value


@numba.njit(cache=True, nogil=True, fastmath=True)
def row_sums(rest, row, weights):  # type: ignore[no-untyped-def]
    """rest += weight · row, and Σ weights · row, in one pass; the last element of `row` belongs to the sum alone."""
    total, last, own = 0.0, len(row) - 1, weights[len(row) - 1]
    for u in range(last):
        rest[u] += own * row[u]
        total += weights[u] * row[u]
    return total + own * row[last]


@numba.njit(cache=True, nogil=True, fastmath=True)
def response_sums(rest, row, sigma, d):  # type: ignore[no-untyped-def]
    """rest += σ · row, and Σ d · row with half weights at both ends."""
    total, last, own = 0.0, len(row) - 1, sigma[len(row) - 1]
    for u in range(last):
        rest[u] += own * row[u]
        total += d[u] * row[u]
    return total + 0.5 * (d[last] * row[last] - d[0] * row[0])


@numba.njit(cache=True, nogil=True, inline="always")
def ends(first, second, before, last, n):  # type: ignore[no-untyped-def]
    """What Gregory's third-order rule adds to the trapezoidal one over n intervals of unit length; Simpson's where n = 2."""
    if n < 2:
        return 0.0
    return (second - first + before - last) / (6.0 if n == 2 else 12.0)


@numba.njit(cache=True, nogil=True)
def kernels_of(C, R, i, h, kernels, temperature, beta, d, sigma, halved):  # type: ignore[no-untyped-def]
    """D and Σ of row i, Σ with half weights at its ends; gives μ and E at t_i."""
    memory, energy = np.empty(i + 1), np.empty(i + 1)
    for s in range(i + 1):
        c, r = C[i, s], R[i, s]
        d[s], sigma[s] = polynomial(kernels[1], c), polynomial(kernels[2], c) * r
        halved[s] = sigma[s]
        energy[s] = d[s] * r
        memory[s] = energy[s] + sigma[s] * c
    halved[0] *= 0.5
    halved[i] *= 0.5 if i else 0.0
    start = C[i, 0]
    mu = temperature + beta * polynomial(kernels[1], start) * start + h * integral(memory)
    return mu, -beta * polynomial(kernels[0], start) - h * integral(energy)


@numba.njit(cache=True, nogil=True)
def integral(values):  # type: ignore[no-untyped-def]
    """∫ over unit intervals between all values, of third order."""
    n = len(values) - 1
    if n == 0:
        return 0.0
    return values.sum() - 0.5 * (values[0] + values[n]) + ends(values[0], values[1], values[n - 1], values[n], n)


@numba.njit(cache=True, nogil=True)
def slope(C, R, i, h, kernels, temperature, beta, into_c, into_r):  # type: ignore[no-untyped-def]
    """∂C(t_i, t_j)/∂t and ∂R(t_i, t_j)/∂t for all j ≤ i; gives μ and E at t_i.

    `into_c` and `into_r` [time] take the slopes. At j = i they are the limits t′ → t from below. Integrals end at t_j, where
    C has a cusp and R a step.
    """
    d, sigma, halved = np.empty(i + 1), np.empty(i + 1), np.empty(i + 1)
    mu, energy = kernels_of(C, R, i, h, kernels, temperature, beta, d, sigma, halved)
    start = beta * polynomial(kernels[1], C[i, 0])
    into_c[: i + 1] = 0.0
    into_r[: i + 1] = 0.0
    for s in range(i + 1):
        own = row_sums(into_c, C[s, : s + 1], halved)
        into_c[s] += own
        if s > 0:
            into_c[s] += response_sums(into_r, R[s, : s + 1], sigma, d)
    for j in range(i + 1):
        c = r = 0.0
        if j < i:
            r = 0.5 * (sigma[j] - sigma[i] * R[i, j])
            n, b = i - j, sigma[i - 1]
            c += ends(sigma[j] * C[j, j], sigma[j + 1] * C[j + 1, j], b * C[i - 1, j], sigma[i] * C[i, j], n)
            r += ends(sigma[j] * R[j, j], sigma[j + 1] * R[j + 1, j], b * R[i - 1, j], sigma[i] * R[i, j], n)
        if j > 0:
            n = j - 1
            c += ends(sigma[0] * C[j, 0], sigma[1] * C[j, 1], sigma[n] * C[j, n], sigma[j] * C[j, j], j)
            c += ends(d[0] * R[j, 0], d[1] * R[j, 1], d[n] * R[j, n], d[j] * R[j, j], j)
        into_c[j] = -mu * C[i, j] + h * (into_c[j] + c) + start * C[j, 0]
        into_r[j] = -mu * R[i, j] + h * (into_r[j] + r) if j < i else -mu * R[i, j]
    return mu, energy


@numba.njit(cache=True, nogil=True)
def along(C, R, mu, i, j, h, kernels, temperature, beta):  # type: ignore[no-untyped-def]
    """∂C(t_i, t_j)/∂t′ at fixed t_i, j ≤ i.

    ∂C(t,t′)/∂t′ = −μ(t′) C + ∫₀^t′ Σ(t′,s) C(t,s) ds + ∫₀^t D(t′,s) R(t,s) ds + β_i f′(C(t′,0)) C(t,0) + 2T R(t,t′)
    """
    total = 0.0
    before, after = np.empty(j + 1), np.empty(i + 1 - j)
    for s in range(j + 1):
        c = C[j, s]
        before[s] = polynomial(kernels[1], c) * R[i, s] + polynomial(kernels[2], c) * R[j, s] * C[i, s]
    for s in range(j, i + 1):
        after[s - j] = polynomial(kernels[1], C[s, j]) * R[i, s]
    total = h * (integral(before) + integral(after)) + beta * polynomial(kernels[1], C[j, 0]) * C[i, 0]
    return total - mu[j] * C[i, j] + 2 * temperature * R[i, j]


@numba.njit(cache=True, nogil=True)
def diagonal(C, R, mu, i, h, kernels, temperature, beta):  # type: ignore[no-untyped-def]
    """C(t_i, t_i) from C(t_i, t_{i−1}) along t′: nothing holds it at 1 but the equations themselves."""
    here = along(C, R, mu, i, i - 1, h, kernels, temperature, beta)
    end = along(C, R, mu, i, i, h, kernels, temperature, beta)
    if i == 1:
        return C[i, i - 1] + 0.5 * h * (here + end)
    behind = along(C, R, mu, i, i - 2, h, kernels, temperature, beta)
    return C[i, i - 1] + h * (5 * end + 8 * here - behind) / 12


@numba.njit(cache=True, nogil=True)
def first_step(begin, h, now, end, old, i):  # type: ignore[no-untyped-def]
    """The value at (t_i, t_{i−1}) from that on the diagonal, with the slope one step further extrapolated from older t′.

    The slope at lag 2h is smooth in t. Heun's rule would leave an error of h³ in every row, h² on the diagonal at T > 0.
    """
    further = 3 * end[i - 2] - 3 * now[i - 3] + old[i - 4]
    return begin + h * (5 * now[i - 1] + 8 * end[i - 1] - further) / 12


@numba.njit(cache=True, nogil=True)
def march(C, R, mu, energy, h, kernels, temperature, beta, slopes, begin, end):  # type: ignore[no-untyped-def]
    """Rows begin ≤ i < end by a predictor (Adams-Bashforth, 2nd order) and corrector (Adams-Moulton, 3rd); fills C, R [time, time ≤], μ, E.

    The first step after t′ has no slope before it, and `first_step` takes one after it; in the first rows it is Heun's. `slopes`
    [2, C or R, time] has those of the last two rows, of row i at i mod 2, and is 0 at first.
    """
    end_c, end_r = np.empty(len(mu)), np.empty(len(mu))
    if begin == 0:
        C[0, 0] = R[0, 0] = 1.0
        mu[0], energy[0] = slope(C, R, 0, h, kernels, temperature, beta, slopes[0, 0], slopes[0, 1])
    for i in range(max(begin, 1), end):
        now_c, now_r = slopes[(i - 1) % 2, 0], slopes[(i - 1) % 2, 1]
        old_c, old_r = slopes[i % 2, 0], slopes[i % 2, 1]
        for j in range(i):
            e = 0.5 * h if j < i - 1 else 0.0
            C[i, j] = C[i - 1, j] + h * now_c[j] + e * (now_c[j] - old_c[j])
            R[i, j] = R[i - 1, j] + h * now_r[j] + e * (now_r[j] - old_r[j])
        C[i, i], R[i, i] = C[i - 1, i - 1], 1.0
        if i > 3:  # the slope at lag h is smooth in t
            C[i, i - 1] = C[i - 1, i - 1] + 0.5 * h * (now_c[i - 1] + 2 * now_c[i - 2] - old_c[i - 3])
            R[i, i - 1] = R[i - 1, i - 1] + 0.5 * h * (now_r[i - 1] + 2 * now_r[i - 2] - old_r[i - 3])
        mu[i], energy[i] = slope(C, R, i, h, kernels, temperature, beta, end_c, end_r)
        for j in range(i):
            e = h / 12 if j < i - 1 else 0.0
            C[i, j] = C[i - 1, j] + 0.5 * h * (now_c[j] + end_c[j]) - e * (end_c[j] - 2 * now_c[j] + old_c[j])
            R[i, j] = R[i - 1, j] + 0.5 * h * (now_r[j] + end_r[j]) - e * (end_r[j] - 2 * now_r[j] + old_r[j])
        if i > 3:
            j = i - 1
            C[i, j] = first_step(C[j, j], h, now_c, end_c, old_c, i)
            R[i, j] = first_step(R[j, j], h, now_r, end_r, old_r, i)
        mu[i], energy[i] = slope(C, R, i, h, kernels, temperature, beta, old_c, old_r)
        C[i, i] = diagonal(C, R, mu, i, h, kernels, temperature, beta)
