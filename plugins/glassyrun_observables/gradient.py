"""Size of the gradient: how far the dynamics is from a stationary point."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
import torch
from jaxtyping import Int
from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Snapshot, SubsetOptions, System, Variable


class GradientOptions(SubsetOptions):
    """Gradient norm |P∇H| / √dof against time, tangent to the sphere where there is one; costs a pass over the terms."""

    components: ClassVar[bool] = False
    kind: Literal["gradient_norm"] = "gradient_norm"

    def build(self, context: Context, system: System) -> GradientNorm:
        subset = self.subset(context, system)
        return GradientNorm(self.label, subset, self.described_terms(subset, system))


@attrs.define(slots=False)
class GradientNorm(Observable):
    """Root mean square component of the tangent gradient of H (total for spins, mean loss for networks)."""

    label: str
    subset: Int[Tensor, " term"] | None
    attributes: dict[str, str]
    grid: ClassVar[Grid] = "time"

    def __attrs_post_init__(self) -> None:
        self.variables = {self.label: Variable("root mean square gradient component", attributes=self.attributes)}

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        batch = None if self.subset is None else self.subset.expand(now.state.replicas, -1)
        slope = now.system.manifold.project(now.state.x, now.system.gradient(now.state, batch).gradient)
        return {self.label: torch.linalg.vector_norm(slope, dim=1, dtype=torch.float64) / slope.shape[1] ** 0.5}
