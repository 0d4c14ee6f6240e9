"""Where the degrees of freedom live: flat space or a sphere."""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

Vectors = Float[Tensor, "replica dof"]


class Manifold(ABC):
    """A space with a tangent projection, a retraction, parallel transport and free Brownian motion on it."""

    @property
    def ricci(self) -> float:
        """Ricci curvature, the same at all places and in all directions; 0 in flat space."""
        return 0.0

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
    def transport(self, x: Vectors, y: Vectors, v: Vectors) -> Vectors:
        """The tangent vectors `v` at `x`, transported along the shortest path to `y`."""

    def isotropic(self, normals: Vectors) -> Vectors:
        """The random vectors of independent standard normal components that rows of standard normal numbers stand for.

        The rows themselves, unless x is written down in coordinates that don't span the space.
        """
        return normals

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

    def transport(self, x: Vectors, y: Vectors, v: Vectors) -> Vectors:
        return v

    def drift(self, x: Vectors) -> Float[Tensor, " replica"]:
        return x.new_zeros(x.shape[0])


@attrs.frozen
class Sphere(Manifold):
    """The sphere |x| = radius; radius √N for spherical spins.

    Free Brownian motion with variance v = 2Tτ per tangent direction on the sphere of squared radius N in N dimensions has
    ⟨x(τ)⟩ = e^{−T(1−1/N)τ} x and ⟨(x(τ)·x)²⟩ from the second spherical harmonic, e^{−2Tτ}. The step used here,

        x ← cos θ x + sin θ √N n̂,   cos θ = exp(−(e^s − 1) |z|²/2),   s = v/N,

    with z standard normal in the tangent space and n̂ = z/|z|, has the first mean exactly, for every τ (a chi-square average),
    and the second to order τ²: ⟨cos²θ⟩ = (2e^s − 1)^{−(N−1)/2}. A rotation-invariant step is of second weak order for all
    functions if it is so for these two. A rotation by a fixed angle of the same mean misses the second by 2T²τ²/N.
    """

    radius: float

    @property
    def ricci(self) -> float:
        """(N − 2)/N on the sphere of squared radius N in N dimensions."""
        return 1 - 2 / self.radius**2

    def project(self, x: Vectors, v: Vectors) -> Vectors:
        along = torch.linalg.vecdot(x, v).unsqueeze(1) / self.radius**2
        return torch.addcmul(v, along, x, value=-1)

    def retract(self, x: Vectors) -> Vectors:
        return x * (self.radius / torch.linalg.vector_norm(x, dim=1, keepdim=True))

    def diffuse(self, x: Vectors, noise: Vectors, variance: Float[Tensor, ""]) -> Vectors:
        tangent = self.project(x, noise)
        squared = torch.linalg.vecdot(tangent, tangent).double().unsqueeze(1)
        exponent = squared * (torch.expm1(variance / self.radius**2) * -0.5)
        along = torch.exp(exponent).to(x.dtype)
        # sin θ · radius / |z|; the length of the result is right to rounding, and kept so by the retraction of whole steps
        across = torch.sqrt(torch.expm1(2 * exponent) * -(self.radius**2) / squared).to(x.dtype)
        return torch.addcmul(along * x, across, tangent)

    def transport(self, x: Vectors, y: Vectors, v: Vectors) -> Vectors:
        """Along the great circle: v − (v·y)/(N + x·y) (x + y)."""
        share = torch.linalg.vecdot(v, y) / (self.radius**2 + torch.linalg.vecdot(x, y))
        return torch.addcmul(v, share.unsqueeze(1), x + y, value=-1)

    def drift(self, x: Vectors) -> Float[Tensor, " replica"]:
        squared = x.double().square().sum(1)
        return squared / self.radius**2 - 1
