"""Loops over triangular matrices that have room to grow, compiled by numba: libraries copy such a matrix before they solve."""

from __future__ import annotations

from glassyrun_pspin.lazy.polynomial_loops import compiled


@compiled
def forward(lower, count, solution):  # type: ignore[no-untyped-def]
    """Solves L x = b in place of b, with the first `count` rows of a lower triangle L."""
    for i in range(count):
        known = 0.0
        for j in range(i):
            known += lower[i, j] * solution[j]
        solution[i] = (solution[i] - known) / lower[i, i]


@compiled
def backward(lower, count, solution):  # type: ignore[no-untyped-def]
    """Solves Lᵀ x = b in place of b."""
    for k in range(count):
        i = count - 1 - k
        solution[i] /= lower[i, i]
        own = solution[i]
        for j in range(i):
            solution[j] -= lower[i, j] * own


@compiled
def unpack(packed, diagonal, matrix):  # type: ignore[no-untyped-def]
    """A square matrix from the rows of its lower triangle, the diagonal scaled, zeros above."""
    at = 0
    for i in range(len(matrix)):
        for j in range(i + 1):
            matrix[i, j] = packed[at + j]
        matrix[i, i] *= diagonal
        matrix[i, i + 1 :] = 0
        at += i + 1
