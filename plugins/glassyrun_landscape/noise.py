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


class NoiseSpectrumOptions(CurvatureOptions):
    """Leading eigenvalues of the covariance of the mini-batch gradient at x(t_w), and the curvature along their directions.

    From `batches` independent mini-batches of the run's own law, K of them, with the divisor K − 1: at most K − 1 eigenvalues are not 0, and
    the leading ones are too large by about the trace over K. NAME_curvature is u·∇²H u of each unit eigenvector u. NAME_alignment is its
    mean with the eigenvalues as weights, over the mean of all directions, tr ∇²H/dof, which is estimated from `probes` random
    vectors: above 1 noise goes where the energy is curved (Zhu et al., ICML 2019). Costs batches mini-batches and
    2 (leading + probes) gradients over all terms, or over `terms` of them, and keeps K vectors of dof numbers a replica. NaN under a
    stage that looks at all terms.
    """

    components: ClassVar[bool] = True
    looks: ClassVar[bool] = True

    kind: Literal["noise_spectrum"] = "noise_spectrum"
    batches: Annotated[int, described("independent mini-batches K", ge=2, le=100_000)] = 50
    leading: Annotated[int, described("how many eigenvalues", ge=1, le=1_000)] = 5
    probes: Annotated[int, described("random vectors for the trace of the Hessian", ge=1, le=100_000)] = 10

    def build(self, context: Context, system: System) -> NoiseSpectrum:
        self.refuse_strange(system)
        if self.leading > min(self.batches - 1, tangent_dimension(system)):
            raise Refusal(
                f"observables.{self.label}.leading: found {self.leading}, but {self.batches} batches and {system.dof} degrees of freedom "
                f"have only {min(self.batches - 1, tangent_dimension(system))} eigenvalues; lower it"
            )
        kept = self.batches * context.journey.replicas * system.dof * context.dtype.itemsize
        self.refuse_large(kept, "take fewer batches or replicas", context.device)
        subset = self.subset(context, system)
        about = {"estimate": f"from {self.batches} independent batches"}
        hessian = about | self.described_terms(subset, system)
        rank = "direction" if self.name is None else f"{self.name}_direction"
        ranks = {rank: range(self.leading)}
        variables = {
            self.label: Variable("eigenvalue of the covariance of the mini-batch gradient", "1", ("replica", rank), ranks, about),
            f"{self.label}_trace": Variable("trace of the covariance of the mini-batch gradient", attributes=about),
            f"{self.label}_curvature": Variable("curvature along its eigenvector", "1", ("replica", rank), ranks, hessian),
            f"{self.label}_alignment": Variable("curvature along the noise over the mean curvature", attributes=hessian),
        }
        return NoiseSpectrum(self, subset, context.stream("batches"), context.stream("probes"), variables)


@attrs.define(slots=False)
class NoiseSpectrum(Observable):
    """Eigenvalues and curvatures, [replica, direction]; trace and alignment, [replica]; in float64."""

    options: NoiseSpectrumOptions
    subset: Int[Tensor, " term"] | None
    stream: Stream
    probes: Stream
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
        off = self._deviations(now, law)
        values, directions = principal(off, self.options.leading)
        batch = None if self.subset is None else self.subset.expand(replicas, -1)
        curvature = Curvature(now.system, now.state, batch, self.options.step)
        along = torch.stack([_bend(curvature, direction) for direction in directions], 1)
        weighed = (values * along).sum(1) / values.sum(1)
        return {
            label: values,
            f"{label}_trace": off.double().square().sum((0, 2)) / (len(off) - 1),
            f"{label}_curvature": along,
            f"{label}_alignment": weighed / (self._trace(curvature) / now.state.x.shape[1]),
        }

    def _deviations(self, now: Snapshot, law: Batches) -> Float[Tensor, "batch replica dof"]:
        """g_k − ḡ of batches of the reading's own, tangent on a sphere."""
        x, own = now.state.x, self.stream.child(now.state.step)
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
            streams = [self.probes.child(k).child(replica) for replica in range(len(x))]
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
