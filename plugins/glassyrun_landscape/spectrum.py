"""All eigenvalues of the Hessian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Refusal, Snapshot, System, Variable
from glassyrun_landscape.curvature import Curvature, CurvatureOptions, tangent_dimension

MOST_DOF = 5_000
"""Degrees of freedom beyond which all eigenvalues take too long."""
AT_ONCE = 1 << 18
"""Numbers of all vectors together that the Hessian is applied to at once."""


class HessianSpectrumOptions(CurvatureOptions):
    """All eigenvalues of the Hessian at x(t_w), in increasing order, and its index, the number of negative ones.

    On the sphere of P∇²HP − (x·∇H/N)P, without the direction of x. NAME_shift is −x·∇H/N, around which the N − 1 eigenvalues of a p-spin lie,
    for N → ∞ in a semicircle of half-width √(2p(p−1)) (Cavagna, Giardina and Parisi, PRB 57, 11251 (1998)). Each waiting time costs
    dof products with the Hessian a replica, of about two gradients each, and the eigenvalues of a matrix of dof²; `hessian_lanczos` is for
    what is too large for that.
    """

    components: ClassVar[bool] = True
    looks: ClassVar[bool] = True

    kind: Literal["hessian_spectrum"] = "hessian_spectrum"

    def build(self, context: Context, system: System) -> HessianSpectrum:
        self.refuse_strange(system)
        if system.dof > MOST_DOF:
            raise Refusal(
                f"observables.{self.label}: all eigenvalues of {system.dof} degrees of freedom take too long, at most {MOST_DOF} are allowed; "
                'take kind = "hessian_lanczos"'
            )
        self.refuse_large(6 * 8 * system.dof**2, "take a smaller system", context.device)
        subset = self.subset(context, system)
        about = self.described_terms(subset, system)
        dim = "mode" if self.name is None else f"{self.name}_mode"
        modes = {dim: range(tangent_dimension(system))}
        variables = {
            self.label: Variable("eigenvalue of the Hessian", "1", ("replica", dim), modes, about),
            f"{self.label}_index": Variable("number of negative eigenvalues of the Hessian", attributes=about),
            f"{self.label}_shift": Variable("shift of the Hessian's spectrum by the constraint", attributes=about),
        }
        return HessianSpectrum(self.label, subset, self.step, variables)


@attrs.define(slots=False)
class HessianSpectrum(Observable):
    """Eigenvalues [replica, mode], their number below 0 and −x·∇H/N, [replica] each; in float64."""

    label: str
    subset: Int[Tensor, " term"] | None
    step: float | None
    variables: Mapping[str, Variable]
    grid: ClassVar[Grid] = "t_w"

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        batch = None if self.subset is None else self.subset.expand(now.state.replicas, -1)
        curvature = Curvature(now.system, now.state, batch, self.step)
        dimension = tangent_dimension(now.system)
        values = torch.stack([torch.linalg.eigvalsh(matrix) for matrix in hessians(curvature)])[:, :dimension]
        return {
            self.label: values,
            f"{self.label}_index": (values < 0).sum(1).double(),
            f"{self.label}_shift": curvature.shift,
        }


def hessians(curvature: Curvature) -> list[Float[Tensor, "dof dof"]]:
    """The Hessian of each replica as a symmetric matrix in float64; the normal of a sphere is an eigenvector far above all others."""
    x = curvature.state.x.double()
    found = []
    for replica, matrix in enumerate(_stacked(curvature) if not curvature.state.system else _together(curvature)):
        matrix = (matrix + matrix.T) / 2
        normal = x[replica] - curvature.system.manifold.project(x[replica : replica + 1], x[replica : replica + 1])[0]
        squared = normal.square().sum()
        if squared > 0.5 * x[replica].square().sum():  # a sphere; in flat space every direction is tangent
            far = 1 + 4 * torch.linalg.matrix_norm(matrix)
            matrix = matrix + far * torch.outer(normal, normal) / squared
        found.append(matrix)
    return found


def _stacked(curvature: Curvature) -> list[Tensor]:
    """Replica by replica, many columns at once: of a System without memory, all rows of a State are alike."""
    x = curvature.state.x
    most = max(1, AT_ONCE // x.shape[1])
    matrices = []
    for replica in range(len(x)):
        parts = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).split(most)
        matrices.append(torch.cat([curvature.rows(replica, len(part)).product(part).double() for part in parts]))
    return matrices


def _together(curvature: Curvature) -> list[Tensor]:
    """One column of all replicas at a time, each with its own memory."""
    x = curvature.state.x
    axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    columns = [curvature.product(axis.expand_as(x)).double() for axis in axes]
    return list(torch.stack(columns, 1).unbind(0))
