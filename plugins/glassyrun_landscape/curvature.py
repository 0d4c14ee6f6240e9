"""The Hessian as an operator: what it makes of a vector, on any manifold."""

from __future__ import annotations

import functools
from typing import Annotated, Protocol, runtime_checkable

import attrs
import psutil
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Flat, Refusal, Sphere, State, SubsetOptions, System, described

Vectors = Float[Tensor, "replica dof"]

STEPS = {torch.float64: 6e-6, torch.float32: 1e-3}
"""Displacement over |x|: the cube root of the rounding error in float64, where error of rounding and of the method are equal; less than
that in float32, where networks are not smooth over 0.5 % of |x|."""


@runtime_checkable
class Curved(Protocol):
    """A System that gives products with its own Hessian, of an energy that is looked at as `gradient` does."""

    def hessian_product(self, state: State, vectors: Vectors, batch: Int[Tensor, "replica term"] | None = None) -> Vectors:
        """∇²H v of each replica, in flat coordinates."""
        ...


class CurvatureOptions(SubsetOptions):
    """Fields `terms` and `step`: how the Hessian is looked at."""

    step: Annotated[
        float | None,
        described(
            "displacement to both sides in differences of gradients, as a share of |x|; default: no differences where the system gives "
            "products with its Hessian (p-spin, networks), and else 6e-6 in float64, 1e-3 in float32",
            gt=0,
            le=1,
        ),
    ] = None

    def refuse_strange(self, system: System) -> None:
        """Raises a Refusal where x has not the components of a configuration, or lives on an unknown manifold."""
        if system.degrees_of_freedom != system.dof:
            raise Refusal(
                f"observables.{self.label}: x is written down in coordinates that don't span the space of this system, so that it has no "
                "Hessian here; leave this observable out"
            )
        if not isinstance(system.manifold, Flat | Sphere):
            raise Refusal(
                f"observables.{self.label}: the Hessian is known in flat space and on a sphere, not on a "
                f"{type(system.manifold).__name__}; leave this observable out"
            )

    def refuse_large(self, needed: int, remedy: str, device: torch.device) -> None:
        """Raises a Refusal where what is needed, in bytes, is not free."""
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
        if needed > free:
            raise Refusal(
                f"observables.{self.label}: needs {needed / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free on {device}; {remedy}"
            )


def tangent_dimension(system: System) -> int:
    """Dimension of the tangent space."""
    return system.dof - (0 if isinstance(system.manifold, Flat) else 1)


@attrs.frozen(eq=False, slots=False)
class Curvature:
    """The Hessian on the manifold at x: P∇²HP − (x·∇H/N)P on the sphere of squared radius N, ∇²H in flat space.

    A System that is `Curved` gives ∇²H v itself. Of any other, and where `step` is given, the Hessian is the derivative of the tangent gradient
    P∇H along the manifold, and so is taken from it by central differences at R(x ± δv): wrong by O(δ²) and by rounding/δ, with no formula
    of the manifold in it. Nothing is touched; the System's memory is that of the State.
    """

    system: System
    state: State
    batch: Int[Tensor, "replica term"] | None = None
    step: float | None = None
    """δ as a share of |x|."""
    known: Float[Tensor, " replica"] | None = None
    """The shift, where it is known already."""

    def product(self, vectors: Vectors) -> Vectors:
        """The Hessian times the tangent part of each row."""
        tangent = self.system.manifold.project(self.state.x, vectors)
        if self.step is None and isinstance(self.system, Curved):
            return self._exact(self.system, tangent)
        return self._difference(tangent)

    def _exact(self, system: Curved, tangent: Vectors) -> Vectors:
        bent = system.hessian_product(self.state, tangent, self.batch)
        if isinstance(self.system.manifold, Flat):
            return bent
        return self.system.manifold.project(self.state.x, bent) + self.shift.to(bent.dtype).unsqueeze(1) * tangent

    def _difference(self, tangent: Vectors) -> Vectors:
        x = self.state.x
        step = self.step or STEPS.get(x.dtype, 1e-3)
        length = torch.linalg.vector_norm(tangent, dim=1, keepdim=True)
        size = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        moved = step * torch.where(size > 0, size, 1.0)
        along = tangent * (moved / torch.where(length > 0, length, 1.0))
        difference = self._slope(x + along) - self._slope(x - along)
        return self.system.manifold.project(x, difference) * (length / (2 * moved))

    def _slope(self, x: Vectors) -> Vectors:
        """P∇H at the point of the manifold next to x."""
        at = State(self.system.manifold.retract(x), self.state.step, self.state.system)
        return self.system.manifold.project(at.x, self.system.gradient(at, self.batch).gradient)

    @functools.cached_property
    def shift(self) -> Float[Tensor, " replica"]:
        """−x·∇H/|x|², by which the sphere shifts the spectrum, −pE for a pure p-spin; 0 in flat space. In float64."""
        if self.known is not None:
            return self.known
        x = self.state.x.double()
        if isinstance(self.system.manifold, Flat):
            return x.new_zeros(len(x))
        slope = self.system.gradient(self.state, self.batch).gradient
        return -(x * slope).sum(1) / x.square().sum(1)

    def rows(self, replica: int, count: int) -> Curvature:
        """The Hessian of one replica, for as many vectors at once; of a State without memory alone."""
        assert not self.state.system
        batch = None if self.batch is None else self.batch[replica].expand(count, -1)
        state = State(self.state.x[replica].expand(count, -1), self.state.step)
        return attrs.evolve(self, state=state, batch=batch, known=self.shift[replica].expand(count))
