"""The same dynamics with all couplings written down, many realisations at a time; nothing of glassyrun in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def tensor(degree: int, n: int, count: int, generator: np.random.Generator) -> Array:
    """`count` symmetric Gaussian tensors with ⟨⟨G, u^⊗p⟩⟨G, v^⊗p⟩⟩ = (u·v)^p: an asymmetric one of unit normals, symmetrised."""
    plain = generator.standard_normal((count, *(n,) * degree))
    orders = list(permutations(range(degree)))
    return sum(np.transpose(plain, (0, *(1 + axis for axis in order))) for order in orders) / len(orders)


def forces(tensors: Mapping[int, Array], mixture: Mapping[int, float], x: Array) -> tuple[Array, Array]:
    """V = Σ a_p/√(2N) ⟨G, x^⊗p⟩ and its gradient; x is [realisation, replica, site], of length one."""
    count, replicas, n = x.shape
    value, force = np.zeros((count, replicas)), np.zeros_like(x)
    for degree, whole in tensors.items():
        left = np.einsum("bmi,bri->brm", whole.reshape(count, -1, n), x)
        for _ in range(degree - 2):
            left = np.einsum("brmi,bri->brm", left.reshape(count, replicas, -1, n), x)
        slope = mixture[degree] / math.sqrt(2 * n) * left.reshape(x.shape)
        value += (slope * x).sum(2)
        force += degree * slope
    return value, force


def quench(
    mixture: Mapping[int, float], n: int, count: int, replicas: int, dt: float, steps: int, marks: tuple[int, int], seed: int
) -> Array:
    """E(t₁), E(t₂), C(t₁, t₂) of the first replica and, with several, the overlap of two at t₂: [realisation, reading]. Euler."""
    generator = np.random.default_rng(seed)
    rows: list[Array] = []
    for begin in range(0, count, 1000):
        size = min(1000, count - begin)
        tensors = {degree: tensor(degree, n, size, generator) for degree in mixture}
        x = generator.standard_normal((size, replicas, n))
        x /= np.linalg.norm(x, axis=2, keepdims=True)
        kept: list[tuple[Array, Array]] = []
        for step in range(steps + 1):
            value, force = forces(tensors, mixture, x)
            if step in marks:
                kept.append((-value, x))
            x = x + dt * (force - (force * x).sum(2, keepdims=True) * x)
            x /= np.linalg.norm(x, axis=2, keepdims=True)
        (early, then), (late, now) = kept
        overlap = [(now[:, 0] * now[:, 1]).sum(1)] if replicas > 1 else []
        rows.append(np.stack([early[:, 0], late[:, 0], (then[:, 0] * now[:, 0]).sum(1), *overlap], 1))
    return np.concatenate(rows)
