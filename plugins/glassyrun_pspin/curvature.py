"""Products with the Hessian of a p-spin: its gradient is a polynomial along a line, and so a few points of that give the derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Vectors = Float[Tensor, "replica dof"]
TOGETHER = 2**16
"""Numbers in x up to which all points are looked at in one call; beyond, each call has rows enough."""


def derivative_along(
    polynomial: Callable[[Float[Tensor, "row dof"]], Float[Tensor, "row dof"]],
    degree: int,
    x: Vectors,
    vectors: Vectors,
    homogeneous: bool,
) -> Vectors:
    """d/ds of a polynomial map of x at x + s v, s = 0, without an error of the method.

    The odd part of f(x + s v) is a polynomial of s whose coefficients are those of an interpolation. With v scaled to the size of x, values
    at distances of 1/√degree are of the size of f, and the weights of Chebyshev points are of the order of degree^{3/2}: rounding grows no more.

    Args:
        polynomial: f, of rows of any number: here 2 ⌈degree/2⌉ times those of `x`, or `degree` of a homogeneous one.
        degree: highest power of x in f.
        x: where.
        vectors: v of each replica.
        homogeneous: whether all powers are the highest one, so that f(v) is the coefficient of s^degree.
    """
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    size = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    size = torch.where(size > 0, size, 1.0)
    along = vectors * (size / torch.where(length > 0, length, 1.0))
    known = homogeneous and degree % 2 == 1
    places, weights, rest = _rule(degree, known)
    points = [x + sign * place * along for place in places for sign in (1, -1)] + [along] * known
    if x.numel() > TOGETHER:
        values = torch.stack([polynomial(point) for point in points])
    else:
        values = polynomial(torch.cat(points)).view(len(points), *x.shape)
    total = rest * values[-1] if known else torch.zeros_like(x)
    for k, weight in enumerate(weights):
        total = total + weight * (values[2 * k] - values[2 * k + 1])
    return total * (length / size)


@functools.cache
def _rule(degree: int, known: bool) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Places s, weights of f(s) − f(−s), and the weight of the highest coefficient where that is known."""
    count = (degree + 1) // 2 - known
    if count == 0:
        return (), (), 1.0
    places = np.cos((2 * np.arange(count) + 1) * np.pi / (4 * count)) / degree**0.5
    powers = 2 * np.arange(count) + 1
    weights = np.linalg.solve(2 * places ** powers[:, None], np.eye(count)[0])
    rest = -2 * float(weights @ places**degree) if known else 0.0
    return tuple(map(float, places)), tuple(map(float, weights)), rest
