"""The sphere on which configurations live that are known by their overlaps only."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import torch
from jaxtyping import Float
from scipy.special import gammaincinv, ndtr
from torch import Tensor

from glassyrun import Refusal, Sphere
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
    """How many axes there were when a row was first asked for, by its first two numbers."""

    @property
    def ricci(self) -> float:
        return 1 - 2 / self.axes.n

    def isotropic(self, normals: Vectors) -> Vectors:
        return torch.stack([self._vector(row) for row in normals]) * self.radius

    def memory(self) -> dict[str, Tensor]:
        """Which rows have been asked for, and when, for a checkpoint."""
        rows = (
            torch.frombuffer(bytearray(b"".join(self.seen)), dtype=torch.int64)
            if self.seen
            else torch.zeros(0, dtype=torch.int64)
        )
        return {"rows": rows.reshape(-1, 2), "axes_before": torch.tensor(list(self.seen.values()), dtype=torch.int64)}

    def take_up(self, memory: Mapping[str, Tensor]) -> None:
        """Takes up what `memory` gave, in place of what has been asked for since."""
        self.seen.clear()
        for row, before in zip(memory["rows"].cpu().numpy(), memory["axes_before"].tolist(), strict=True):
            self.seen[row.tobytes()] = before

    def _vector(self, normals: Float[Tensor, " axis"]) -> Float[Tensor, " axis"]:
        """The isotropic vector of R^N, of component variance 1/N, that a row of standard normal numbers stands for."""
        key = normals[:2].contiguous().numpy().tobytes()
        before = self.seen.setdefault(key, self.axes.count)
        n, vector = self.axes.n, torch.zeros_like(normals, dtype=torch.float64)
        rest = n - before
        if not math.isinf(n):
            vector[:before] = normals[:before].double() / math.sqrt(n)
        if rest >= 1:
            if before >= len(vector):
                raise Refusal(
                    f"system.axes: {before + 1} axes are needed by now, and there is room for {len(vector)}; give system.axes a larger "
                    "number, and begin anew"
                )
            vector[before] = _length(float(normals[before]), rest, n)
            self.axes.count = max(self.axes.count, before + 1)
        return vector

    def diffuse(self, x: Vectors, noise: Vectors, variance: Float[Tensor, ""]) -> Vectors:
        """See the base class; the same rotation, by noise of N components."""
        n, squared = self.axes.n, self.radius**2
        tangent = self.project(x, self.isotropic(noise))
        # |z|²/N of a standard normal tangent vector z of R^N
        length = torch.linalg.vecdot(tangent, tangent).unsqueeze(1) / squared
        curve = variance if math.isinf(n) else n * torch.expm1(variance / n)
        exponent = length * (-0.5 * curve)
        across = torch.sqrt(-torch.expm1(2 * exponent) / length)
        return torch.exp(exponent) * x + across * tangent


def _length(normal: float, freedom: int | float, n: int | float) -> float:
    """χ_freedom/√N, the one whose probability is that of `normal`."""
    if math.isinf(n):
        return 1.0
    if freedom < SHARP:
        return math.sqrt(2 * gammaincinv(freedom / 2, ndtr(normal)) / n)
    spread = 2 / (9 * freedom)
    return math.sqrt(freedom / n * (1 - spread + normal * math.sqrt(spread)) ** 3)
