"""Where the degrees of freedom live: flat space or a sphere."""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

Vectors = Float[Tensor, "replica dof"]


class Manifold(ABC):
    """A space with a tangent projection, a retraction and free Brownian motion on it."""

    @abstractmethod
    def project(self, x: Vectors, v: Vectors) -> Vectors:
        """The part of `v` tangent to the manifold at `x`."""

    @abstractmethod
    def retract(self, x: Vectors) -> Vectors:
        """The point of the manifold next to `x`."""

    @abstractmethod
    def diffuse(self, x: Vectors, noise: Vectors, variance: Float[Tensor, ""]) -> Vectors:
        """Free Brownian motion from `x`, right to second weak order in `variance`.

        `variance` is that of one component in flat space, 2Tτ after a time τ; `noise` is standard normal.
        """

    @abstractmethod
    def drift(self, x: Vectors) -> Float[Tensor, " replica"]:
        """How far `x` is from the manifold, relative to its size; zero in exact arithmetic."""


@attrs.frozen
class Flat(Manifold):
    """Euclidean space."""

    def project(self, x: Vectors, v: Vectors) -> Vectors:
        return v

    def retract(self, x: Vectors) -> Vectors:
        return x

    def diffuse(self, x: Vectors, noise: Vectors, variance: Float[Tensor, ""]) -> Vectors:
        return x + noise * variance.sqrt().to(x.dtype)

    def drift(self, x: Vectors) -> Float[Tensor, " replica"]:
        return x.new_zeros(x.shape[0])


@attrs.frozen
class Sphere(Manifold):
    """The sphere |x| = radius; radius √N for spherical spins.

    Brownian motion of variance 2Tτ per tangent direction on a sphere of squared radius N damps the mean of x as
    e^{−T(1−1/N)τ} (Ito's Laplacian on the sphere). The rotation x ← a x + √(1−a²) √N n̂ with n̂ a uniform tangent unit
    vector and a = e^{−T(1−1/N)τ} has this mean and the right second moments to second order in τ.
    """

    radius: float

    def project(self, x: Vectors, v: Vectors) -> Vectors:
        along = (x * v).sum(1, keepdim=True) / (x * x).sum(1, keepdim=True)
        return v - along * x

    def retract(self, x: Vectors) -> Vectors:
        return x * (self.radius / torch.linalg.vector_norm(x, dim=1, keepdim=True))

    def diffuse(self, x: Vectors, noise: Vectors, variance: Float[Tensor, ""]) -> Vectors:
        dof = x.shape[1]
        tangent = self.project(x, noise)
        direction = tangent * (self.radius / torch.linalg.vector_norm(tangent, dim=1, keepdim=True))
        exponent = variance * (0.5 * (dof - 1) / self.radius**2)
        cosine = torch.exp(-exponent).to(x.dtype)
        sine = torch.sqrt(-torch.expm1(-2 * exponent)).to(x.dtype)
        return self.retract(cosine * x + sine * direction)

    def drift(self, x: Vectors) -> Float[Tensor, " replica"]:
        squared = x.double().square().sum(1)
        return squared / self.radius**2 - 1
