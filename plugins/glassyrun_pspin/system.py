"""The spherical p-spin: H = −Σ_p Σ J x…x on the sphere Σx² = N."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Evaluation, Sphere, State, Stream, System, replica_normals
from glassyrun_pspin.couplings import Couplings
from glassyrun_pspin.curvature import derivative_along

CHUNK = 2**18
"""Terms of a mini-batch, over all replicas, that are worked out at a time."""


@attrs.define(eq=False, slots=False)
class PSpin(System):
    """One realisation of the couplings. The terms are the couplings, degree after degree."""

    n: int
    parts: tuple[Couplings, ...]
    context: Context
    planted: Float[Tensor, " site"] | None = None
    """The start of all replicas of this sample, where it was planted."""
    provenance: Mapping[str, str] = attrs.field(factory=dict)
    mixture: Mapping[int, float] = attrs.field(factory=dict)
    """a_p of each degree."""
    warnings: Sequence[str] = ()
    bottom: float | None = None
    """Energy per spin of the ground state for N → ∞, where it is known."""
    capturable = True

    def __attrs_post_init__(self) -> None:
        self.dof, self.terms = self.n, sum(part.terms for part in self.parts)
        self.blocks = {"spins": slice(0, self.n)}
        self.energy_scale, self.energy_name = float(self.n), "energy per spin"
        self.manifold = Sphere(math.sqrt(self.n))

    def initial(self, streams: Sequence[Stream]) -> State:
        """Uniform points on the sphere, or the planted configuration for every replica."""
        if self.planted is not None:
            return State(self.planted.repeat(len(streams), 1))
        # on the host, so that they are the same to the bit on every device
        normals = replica_normals(streams, self.n, torch.empty(0, dtype=self.context.dtype))
        return State(self.manifold.retract(normals).to(self.context.device))

    @torch.no_grad()
    def energy(self, state: State, terms: Int[Tensor, " term"] | None = None) -> Float[Tensor, " replica"]:
        x = state.x
        if terms is None:
            return -sum((part.contract(x) for part in self.parts), start=x.new_zeros(len(x)))
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for couplings, sites in self._pieces(terms, len(x)):
            products = couplings.expand(len(x), -1)
            for k in range(sites.shape[-1]):
                products = products * x.index_select(1, sites[:, k])
            total += products.sum(1, dtype=torch.float64)
        return (-self.terms / len(terms) * total).to(x.dtype)

    @torch.no_grad()
    def gradient(self, state: State, batch: Int[Tensor, "replica term"] | None = None) -> Evaluation:
        x = state.x
        if batch is not None:
            return self._estimate(x, batch)
        energy, gradient = torch.zeros(len(x), dtype=torch.float64, device=x.device), torch.zeros_like(x)
        for part in self.parts:
            slope = part.slope(x)
            # Each part is homogeneous of degree p, so its slope gives its energy (Euler).
            energy -= (x.double() * slope.double()).sum(1) / part.degree
            gradient -= slope
        return Evaluation(energy.to(x.dtype), gradient)

    @torch.no_grad()
    def hessian_product(
        self, state: State, vectors: Float[Tensor, "replica dof"], batch: Int[Tensor, "replica term"] | None = None
    ) -> Float[Tensor, "replica dof"]:
        """∇²H v of each replica in flat coordinates, to rounding; costs up to p gradients, two for p = 3."""
        x = state.x
        if batch is not None:
            highest, pure = max(part.degree for part in self.parts), len(self.parts) == 1
            return derivative_along(self._slopes_of(batch), highest - 1, x, vectors, pure)
        total = torch.zeros_like(x)
        for part in self.parts:
            total -= derivative_along(part.slope, part.degree - 1, x, vectors, True)
        return total

    def _slopes_of(self, batch: Int[Tensor, "replica term"]) -> Callable[[Tensor], Tensor]:
        """The gradient as the terms of a batch have it, at any number of points of each replica, one after another."""
        return lambda points: self._estimate(points, batch.repeat(len(points) // len(batch), 1)).gradient

    def _estimate(self, x: Float[Tensor, "replica dof"], batch: Int[Tensor, "replica term"]) -> Evaluation:
        energy, gradient = torch.zeros(len(x), dtype=torch.float64, device=x.device), torch.zeros_like(x)
        rows = torch.arange(len(x), device=x.device).unsqueeze(1) * self.n
        flat = gradient.view(-1)
        for couplings, sites in self._pieces(batch, len(x)):
            spins = [x.gather(1, sites[..., k]) for k in range(sites.shape[-1])]
            for k, spin in enumerate(spins):
                others = couplings
                for other in (*spins[:k], *spins[k + 1 :]):
                    others = others * other
                # index_add_ adds in a fixed order on the CPU, and sorts first on a GPU where determinism is asked for.
                flat.index_add_(0, (rows + sites[..., k]).reshape(-1), others.reshape(-1))
                if k == 0:
                    energy += (others * spin).sum(1, dtype=torch.float64)
        factor = -self.terms / batch.shape[1]
        return Evaluation((factor * energy).to(x.dtype), gradient.mul_(factor))

    def _pieces(self, terms: Int[Tensor, "*shape"], replicas: int) -> Iterator[tuple[Tensor, Tensor]]:
        """J and sites of the given terms, a limited number at a time, one degree after the other.

        In a mixture each degree sees all terms, with J = 0 for those of other degrees: no shape then depends on the draw.
        """
        step = max(1, CHUNK // replicas)
        first = 0
        for part in self.parts:
            for piece in terms.split(step, -1):
                mine = (piece >= first) & (piece < first + part.terms)
                couplings, sites = part.pick(torch.where(mine, piece - first, 0))
                yield torch.where(mine, couplings, 0), sites
            first += part.terms
