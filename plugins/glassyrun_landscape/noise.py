"""Which directions the noise of mini-batches has, and how curved the energy is along them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import (
    Batches,
    Context,
    Dynamics,
    Grid,
    Observable,
    Reference,
    Refusal,
    Schedule,
    Snapshot,
    Stream,
    System,
    Variable,
    described,
    replica_normals,
)
from glassyrun_landscape.curvature import Curvature, CurvatureOptions, tangent_dimension
from glassyrun_landscape.lanczos import lanczos, refuse_steps

ROUNDING = 100
"""Rounding errors, relative to the largest eigenvalue, up to which an eigenvalue is none."""


class NoiseSpectrumOptions(CurvatureOptions):
    """Leading eigenvalues of the covariance of the mini-batch gradient at x(t_w), and the curvature along their directions.

    From `batches` independent mini-batches of the run's own law, K of them, with the divisor K − 1: at most K − 1 eigenvalues are not 0, and
    the leading ones are too large by about the trace over K. NAME_curvature is u·∇²H u of each unit eigenvector u. NAME_alignment is its
    mean with the eigenvalues as weights, over the mean of all directions, tr ∇²H/dof, which is estimated from `probes` random
    vectors: above 1 noise goes where the energy is curved (Zhu et al., ICML 2019). With `eigenvectors`, NAME_overlap is (u·v)² with each of
    the eigenvectors v of the Hessian of largest eigenvalue, and NAME_subspace is the overlap of the spaces that u and v span, tr(P_u P_v) over
    the smaller dimension (Gur-Ari, Roberts and Dyer 2018); NAME_hessian and NAME_hessian_error are the eigenvalues and |∇²H v − λv|,
    from `steps` steps of Lanczos. Costs batches mini-batches and leading + probes products with the Hessian of all terms, or of `terms` of
    them, and `steps` more for eigenvectors; keeps K vectors of dof numbers a replica, or `steps`. NaN under a stage that looks at all terms.
    """

    components: ClassVar[bool] = True
    looks: ClassVar[bool] = True

    kind: Literal["noise_spectrum"] = "noise_spectrum"
    batches: Annotated[int, described("independent mini-batches K", ge=2, le=100_000)] = 50
    leading: Annotated[int, described("how many eigenvalues", ge=1, le=1_000)] = 5
    probes: Annotated[int, described("random vectors for the trace of the Hessian", ge=1, le=100_000)] = 10
    eigenvectors: Annotated[
        int,
        described("how many eigenvectors of the Hessian the directions of the noise are held against; 0: none", ge=0, le=1_000),
    ] = 0
    steps: Annotated[int, described("steps of Lanczos for these eigenvectors", ge=2, le=10_000)] = 40

    def build(self, context: Context, system: System) -> NoiseSpectrum:
        self.refuse_strange(system)
        dimension = tangent_dimension(system)
        if self.leading > min(self.batches - 1, dimension):
            raise Refusal(
                f"observables.{self.label}.leading: found {self.leading}, but {self.batches} batches and {system.dof} degrees of freedom "
                f"have only {min(self.batches - 1, dimension)} eigenvalues; lower it"
            )
        if self.eigenvectors:
            refuse_steps(self.label, self.steps, dimension, "eigenvectors", self.eigenvectors)
        # the basis of Lanczos is there before the batches, of which it leaves the eigenvectors
        most = self.eigenvectors + max(self.batches + self.leading, self.steps if self.eigenvectors else 0)
        kept = most * context.journey.replicas * system.dof * context.dtype.itemsize
        remedy = "take fewer batches, steps or replicas" if self.eigenvectors else "take fewer batches or replicas"
        self.refuse_large(kept, remedy, context.device)
        subset = self.subset(context, system)
        streams = {name: context.stream(name) for name in ("batches", "probes", "eigenvectors")}
        return NoiseSpectrum(self, subset, streams, self._variables(self.described_terms(subset, system), dimension))

    def _variables(self, terms: dict[str, str], dimension: int) -> dict[str, Variable]:
        prefix = "" if self.name is None else f"{self.name}_"
        rank, vector = f"{prefix}direction", f"{prefix}eigenvector"
        about = {"estimate": f"from {self.batches} independent batches"}
        ranks, vectors = {rank: range(self.leading)}, {vector: range(self.eigenvectors)}
        hessian, lanczos = about | terms, terms | {"steps": str(self.steps)}
        each = about | lanczos | {"chance": 1 / dimension}
        spaces = about | lanczos | {"chance": max(self.leading, self.eigenvectors) / dimension}
        of: dict[str, Variable] = {
            "": Variable("eigenvalue of the covariance of the mini-batch gradient", "1", ("replica", rank), ranks, about),
            "_trace": Variable("trace of the covariance of the mini-batch gradient", attributes=about),
            "_curvature": Variable("curvature along its eigenvector", "1", ("replica", rank), ranks, hessian),
            "_alignment": Variable("curvature along the noise over the mean curvature", attributes=hessian),
        }
        if self.eigenvectors:
            of |= {
                "_hessian": Variable("large eigenvalue of the Hessian", "1", ("replica", vector), vectors, lanczos),
                "_hessian_error": Variable("bound of its error", "1", ("replica", vector), vectors, lanczos),
                "_overlap": Variable(
                    "squared overlap of eigenvectors of noise and Hessian", "1", ("replica", rank, vector), ranks | vectors, each
                ),
                "_subspace": Variable("overlap of the leading spaces of noise and Hessian", attributes=spaces),
            }
        return {f"{self.label}{suffix}": variable for suffix, variable in of.items()}


@attrs.define(slots=False)
class NoiseSpectrum(Observable):
    """Eigenvalues and curvatures, [replica, direction]; overlaps, [replica, direction, eigenvector]; trace, alignment, [replica]; in float64."""

    options: NoiseSpectrumOptions
    subset: Int[Tensor, " term"] | None
    streams: Mapping[str, Stream]
    variables: Mapping[str, Variable]
    grid: ClassVar[Grid] = "t_w"

    def suits(self, stages: Sequence[Dynamics], schedule: Schedule) -> None:
        if all(stage.batches is None for stage in stages):
            raise Refusal(
                f"observables.{self.options.label}: every step looks at all terms, so that the gradient has no noise; "
                "give dynamics.batch_size, or leave this observable out"
            )

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        law, label, replicas = now.dynamics.batches, self.options.label, now.state.replicas
        if law is None:
            shapes = {name: (replicas, *(len(of.coords[dim]) for dim in of.dims[1:])) for name, of in self.variables.items()}
            return {name: now.state.x.new_full(shape, torch.nan, dtype=torch.float64) for name, shape in shapes.items()}
        batch = None if self.subset is None else self.subset.expand(replicas, -1)
        curvature = Curvature(now.system, now.state, batch, self.options.step)
        hessian = self._eigenvectors(curvature) if self.options.eigenvectors else None
        off = self._deviations(now, law)
        values, directions = principal(off, self.options.leading)
        trace = sum(one.double().square().sum(1) for one in off) / (len(off) - 1)
        del off
        along = torch.stack([_bend(curvature, direction) for direction in directions], 1)
        weighed = (values * along).sum(1) / values.sum(1)
        found = {
            "": values,
            "_trace": trace,
            "_curvature": along,
            "_alignment": weighed / (self._trace(curvature) / now.state.x.shape[1]),
        }
        if hessian is not None:
            bent, errors, vectors = hessian
            overlap = overlaps(values, directions, vectors)
            common = overlap.sum((1, 2)) / min(overlap.shape[1:])
            found |= {"_hessian": bent, "_hessian_error": errors, "_overlap": overlap, "_subspace": common}
        return {f"{label}{suffix}": value for suffix, value in found.items()}

    def _eigenvectors(self, curvature: Curvature) -> tuple[Tensor, Tensor, Float[Tensor, "rank replica dof"]]:
        """Largest eigenvalues of the Hessian, |∇²H v − λv|, and eigenvectors."""
        x = curvature.state.x
        streams = [self.streams["eigenvectors"].child(replica) for replica in range(len(x))]
        start = curvature.system.manifold.project(x, replica_normals(streams, x.shape[1], x, curvature.state.step))
        return lanczos(curvature.product, start, self.options.steps).leading(self.options.eigenvectors)

    def _deviations(self, now: Snapshot, law: Batches) -> Float[Tensor, "batch replica dof"]:
        """g_k − ḡ of batches of the reading's own, tangent on a sphere."""
        x, own = now.state.x, self.streams["batches"].child(now.state.step)
        slopes = x.new_empty((self.options.batches, *x.shape))
        for k in range(self.options.batches):
            batch = Batches(own.child(k), law.terms, law.size, law.sampling, ahead=1).draw(0, len(x), x.device)
            slopes[k] = now.system.manifold.project(x, now.system.gradient(now.state, batch).gradient)
        return slopes.sub_(slopes.mean(0, dtype=torch.float64).to(x.dtype))

    def _trace(self, curvature: Curvature) -> Float[Tensor, " replica"]:
        """tr of the Hessian, from random signs (Hutchinson 1990)."""
        x = curvature.state.x
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for k in range(self.options.probes):
            streams = [self.streams["probes"].child(k).child(replica) for replica in range(len(x))]
            signs = torch.where(replica_normals(streams, x.shape[1], x, curvature.state.step) < 0, -1.0, 1.0).to(x.dtype)
            total += _bend(curvature, signs)
        return total / self.options.probes


def _bend(curvature: Curvature, vectors: Float[Tensor, "replica dof"]) -> Float[Tensor, " replica"]:
    """v·∇²H v in float64."""
    return (vectors.double() * curvature.product(vectors).double()).sum(1)


def principal(
    off: Float[Tensor, "batch replica dof"], count: int
) -> tuple[Float[Tensor, "replica rank"], Float[Tensor, "rank replica dof"]]:
    """The leading eigenvalues of Σ off offᵀ/(K − 1), in decreasing order, and unit eigenvectors.

    By the matrix of inner products of the K vectors, which has the same eigenvalues.
    """
    gram = torch.einsum("krd,lrd->rkl", off, off).double() / (len(off) - 1)
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(1)[:, :count].clamp(min=0), vectors.flip(2)[:, :, :count]
    directions = torch.einsum("rki,krd->ird", vectors.to(off.dtype), off)
    length = torch.linalg.vector_norm(directions, dim=2, keepdim=True)
    return values, directions / torch.where(length > 0, length, 1.0)


def overlaps(
    values: Float[Tensor, "replica direction"],
    directions: Float[Tensor, "direction replica dof"],
    vectors: Float[Tensor, "vector replica dof"],
) -> Float[Tensor, "replica direction vector"]:
    """(u·v)² of unit vectors in float64; NaN where there is no direction, because its eigenvalue is rounding."""
    within = values > ROUNDING * torch.finfo(directions.dtype).eps * values[:, :1]
    squared = torch.einsum("ird,jrd->rij", directions, vectors).double().square()
    return squared.where(within.unsqueeze(2), torch.nan)
