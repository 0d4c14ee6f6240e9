"""The spectrum of the Hessian of a p-spin, as theory has it from the radial force alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

import glassyrun
from glassyrun import Context, Grid, Observable, ObservableOptions, Reference, Refusal, Snapshot, System, Variable


class HessianEdgeOptions(ObservableOptions):
    """Lower edge of the p-spin's Hessian on the sphere, and the fraction of negative eigenvalues, predicted from the radial force.

    P∇²HP − (x·∇H/N)P is a Gaussian matrix with a semicircle of half-width 2√f″(1) around −x·∇H/N, which is −pE for pure p; √(2p(p−1)) =
    3.464 for p = 3. Exact for N → ∞ at a configuration that knows nothing of the matrix but energy and gradient (Kurchan and Laloux, J. Phys. A
    29, 1929 (1996)); the `hessian_spectrum` of a small system shows how well that holds.
    """

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = True

    kind: Literal["hessian_edge"] = "hessian_edge"

    def build(self, context: Context, system: System) -> HessianEdge:
        mixture = getattr(system, "mixture", None)
        if not isinstance(mixture, Mapping):
            raise Refusal(
                f"observables.{self.label}: found a system that is no p-spin, of whose Hessian nothing is predicted; leave it out"
            )
        return HessianEdge(self.label, 2 * math.sqrt(sum(0.5 * a * a * p * (p - 1) for p, a in mixture.items())))


class HessianEdge(Observable):
    """λ_min = −x·∇H/N − 2√f″(1), and the share of the semicircle below zero, [replica] each."""

    grid: ClassVar[Grid] = "time"

    def __init__(self, label: str, half_width: float) -> None:
        self.label, self.half_width = label, half_width
        about = {"half_width": f"{half_width:.12g}"}
        self.variables = {
            label: Variable("lower edge of the Hessian's spectrum, predicted", attributes=about),
            f"{label}_index": Variable("fraction of negative eigenvalues, predicted", attributes=about),
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        x = now.state.x.double()
        slope = now.system.gradient(now.state).gradient.double()
        centre = -torch.linalg.vecdot(x, slope) / torch.linalg.vecdot(x, x)
        return {self.label: centre - self.half_width, f"{self.label}_index": below_zero(centre / self.half_width)}


def below_zero(centre: Float[Tensor, " replica"]) -> Float[Tensor, " replica"]:
    """Share of a semicircle of half-width one below zero."""
    u = (-centre).clamp(-1, 1)
    return 0.5 + (u * torch.sqrt(1 - u * u) + torch.asin(u)) / math.pi


@glassyrun.hookimpl
def glassyrun_observables() -> list[type[ObservableOptions]]:
    return [HessianEdgeOptions]
