"""The sphere on which configurations live that are known by their overlaps only."""

from __future__ import annotations

import math

import attrs
import torch
from jaxtyping import Float
from scipy.special import gammaincinv, ndtr
from torch import Tensor

from glassyrun import Sphere
from glassyrun_pspin.lazy.axes import Overlaps

Vectors = Float[Tensor, "replica axis"]
SHARP = 1e6
"""Degrees of freedom from which on Wilson and Hilferty's cube is right to ten digits."""


@attrs.frozen(eq=False)
class FrameSphere(Sphere):
    """The sphere |x| = `radius` in axes that are added as they are needed; its noise is that of N dimensions.

    A row of standard normal numbers stands for one noise vector, the same row for the same vector, whoever asks: twins that share
    their noise share its axis as well.
    """

    axes: Overlaps
    seen: dict[bytes, int] = attrs.field(factory=dict, repr=False)
    """How many axes there were when a row was first asked for."""

    def isotropic(self, normals: Float[Tensor, " axis"]) -> Float[Tensor, " axis"]:
        """The isotropic vector of R^N, of component variance 1/N, that a row of standard normal numbers stands for."""
        key = normals[:8].contiguous().numpy().tobytes()
        before = self.seen.setdefault(key, self.axes.count)
        n, vector = self.axes.n, torch.zeros_like(normals, dtype=torch.float64)
        rest = n - before
        if not math.isinf(n):
            vector[:before] = normals[:before].double() / math.sqrt(n)
        if rest >= 1:
            vector[before] = _length(float(normals[before]), rest, n)
            self.axes.count = max(self.axes.count, before + 1)
        return vector

    def diffuse(self, x: Vectors, noise: Vectors, variance: Float[Tensor, ""]) -> Vectors:
        """See the base class; the same rotation, by noise of N components."""
        n, squared = self.axes.n, self.radius**2
        step = torch.stack([self.isotropic(row) for row in noise]) * self.radius
        tangent = self.project(x, step)
        # |z|²/N of a standard normal tangent vector z of R^N
        length = torch.linalg.vecdot(tangent, tangent).unsqueeze(1) / squared
        curve = variance if math.isinf(n) else n * torch.expm1(variance / n)
        exponent = length * (-0.5 * curve)
        across = torch.sqrt(-torch.expm1(2 * exponent) / length)
        return torch.exp(exponent) * x + across * tangent


def _length(normal: float, freedom: float, n: float) -> float:
    """χ_freedom/√N, the one whose probability is that of `normal`."""
    if math.isinf(n):
        return 1.0
    if freedom < SHARP:
        return math.sqrt(2 * gammaincinv(freedom / 2, ndtr(normal)) / n)
    spread = 2 / (9 * freedom)
    return math.sqrt(freedom / n * (1 - spread + normal * math.sqrt(spread)) ** 3)
