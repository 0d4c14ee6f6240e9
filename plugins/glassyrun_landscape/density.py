"""Extreme eigenvalues and spectral density of the Hessian of systems that are too large for all eigenvalues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import attrs
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from glassyrun import (
    Context,
    Grid,
    Observable,
    Reference,
    Snapshot,
    Stream,
    System,
    Variable,
    described,
    replica_normals,
)
from glassyrun_landscape.curvature import Curvature, CurvatureOptions, tangent_dimension
from glassyrun_landscape.lanczos import Tridiagonal, lanczos, refuse_steps


class HessianLanczosOptions(CurvatureOptions):
    """Extreme eigenvalues of the Hessian at x(t_w) by Lanczos, and its spectral density by stochastic Lanczos quadrature.

    Each of `probes` random vectors is the start of `steps` steps of Lanczos. Nodes and weights of all of them are a quadrature of the
    density of eigenvalues (Ubaru, Chen and Saad 2017; Ghorbani, Krishnan and Xiao, ICML 2019): the share of eigenvalues in an interval is
    the mean over probes of the weights of the nodes in it. The extreme eigenvalues are those of the first probe; NAME_largest_error and
    NAME_smallest_error bound how far each is from an eigenvalue. NAME_flat is the share of directions whose curvature is at most `flat` times
    the width of the spectrum, largest less smallest. Dear: each waiting time costs probes × steps products with the Hessian of all terms, or
    of `terms` of them, and such a product costs about two gradients.
    """

    components: ClassVar[bool] = True
    looks: ClassVar[bool] = True

    kind: Literal["hessian_lanczos"] = "hessian_lanczos"
    steps: Annotated[int, described("steps of Lanczos from each probe", ge=2, le=10_000)] = 40
    probes: Annotated[int, described("random vectors", ge=1, le=10_000)] = 4
    extreme: Annotated[int, described("how many of the largest and of the smallest eigenvalues", ge=1, le=1_000)] = 3
    flat: Annotated[
        float, described("largest modulus of the curvature of a flat direction, as a share of the spectrum's width", gt=0, lt=1)
    ] = 1e-3

    def build(self, context: Context, system: System) -> HessianLanczos:
        self.refuse_strange(system)
        refuse_steps(self.label, self.steps, tangent_dimension(system), "extreme", self.extreme)
        basis = self.steps * context.journey.replicas * system.dof * context.dtype.itemsize
        self.refuse_large(basis, "take fewer steps or replicas", context.device)
        subset = self.subset(context, system)
        return HessianLanczos(self, subset, context.stream("probes"), self._variables(self.described_terms(subset, system)))

    def _variables(self, about: dict[str, str]) -> dict[str, Variable]:
        prefix = "" if self.name is None else f"{self.name}_"
        rank, probe, node = f"{prefix}rank", f"{prefix}probe", f"{prefix}node"
        ranks = {rank: range(self.extreme)}
        nodes = {probe: range(self.probes), node: range(self.steps)}
        width = about | {"flat": f"{self.flat:.12g} of the width of the spectrum"}
        of: Mapping[str, Variable] = {
            "largest": Variable("large eigenvalue of the Hessian", "1", ("replica", rank), ranks, about),
            "largest_error": Variable("bound of its error", "1", ("replica", rank), ranks, about),
            "smallest": Variable("small eigenvalue of the Hessian", "1", ("replica", rank), ranks, about),
            "smallest_error": Variable("bound of its error", "1", ("replica", rank), ranks, about),
            "node": Variable("node of the spectral density of the Hessian", "1", ("replica", probe, node), nodes, about),
            "weight": Variable("its weight", "1", ("replica", probe, node), nodes, about),
            "flat": Variable("share of flat directions", attributes=width),
            "negative": Variable("share of directions of negative curvature", attributes=about),
        }
        return {f"{self.label}_{name}": variable for name, variable in of.items()}


@attrs.define(slots=False)
class HessianLanczos(Observable):
    """Extreme eigenvalues, [replica, rank]; nodes and weights, [replica, probe, node]; shares, [replica]."""

    options: HessianLanczosOptions
    subset: Int[Tensor, " term"] | None
    stream: Stream
    variables: Mapping[str, Variable]
    grid: ClassVar[Grid] = "t_w"

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        batch = None if self.subset is None else self.subset.expand(now.state.replicas, -1)
        curvature = Curvature(now.system, now.state, batch, self.options.step)
        ritz = [self._from_probe(curvature, now.state.step, k).ritz() for k in range(self.options.probes)]
        nodes, weights = (torch.stack([found[part] for found in ritz], 1) for part in (0, 1))
        values = extremes(*ritz[0], self.options.extreme)
        width = values["largest"][:, 0] - values["smallest"][:, 0]
        within = nodes.abs() <= self.options.flat * width[:, None, None]
        values |= {
            "node": nodes,
            "weight": weights,
            "flat": (weights * within).sum((1, 2)) / self.options.probes,
            "negative": (weights * (nodes < 0)).sum((1, 2)) / self.options.probes,
        }
        return {f"{self.options.label}_{name}": value for name, value in values.items()}

    def _from_probe(self, curvature: Curvature, step: int, number: int) -> Tridiagonal:
        x = curvature.state.x
        streams = [self.stream.child(number).child(replica) for replica in range(len(x))]
        probe = curvature.system.manifold.project(x, replica_normals(streams, x.shape[1], x, step))
        return lanczos(curvature.product, probe, self.options.steps)


def extremes(
    values: Float[Tensor, "replica step"],
    weights: Float[Tensor, "replica step"],
    errors: Float[Tensor, "replica step"],
    count: int,
) -> dict[str, Float[Tensor, "replica rank"]]:
    """The largest Ritz values in decreasing order, the smallest in increasing order, and their errors; NaN where there are no more."""
    there = weights > 0
    found: dict[str, Tensor] = {}
    for name, sign in (("largest", -1), ("smallest", 1)):
        order = torch.where(there, sign * values, torch.inf).argsort(dim=1, stable=True)[:, :count]
        known = there.gather(1, order)
        found[name] = torch.where(known, values.gather(1, order), torch.nan)
        found[f"{name}_error"] = torch.where(known, errors.gather(1, order), torch.nan)
    return found


def spectral_density(nodes: ArrayLike, weights: ArrayLike, at: ArrayLike, width: float) -> NDArray[np.float64]:
    """The density of eigenvalues at the places `at`, from nodes and weights of some probes, each node a Gaussian of standard deviation `width`.

    Args:
        nodes: [probe, node], such as `ds.hessian_lanczos_node` of one replica and waiting time.
        weights: of the same shape; those of a probe sum to 1.
        at: places, [place].
        width: in the units of the eigenvalues.
    """
    nodes, weights = np.atleast_2d(np.asarray(nodes)), np.atleast_2d(np.asarray(weights))
    places = np.asarray(at, dtype=np.float64)[:, None, None]
    peaks = np.exp(-0.5 * ((places - nodes) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return (peaks * weights).sum((1, 2)) / len(nodes)
