"""How far x has moved since t_w: mean-square displacement, fourth moment, non-Gaussian parameter."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
from jaxtyping import Float
from torch import Tensor

from glassyrun import Context, Grid, Observable, ObservableOptions, Reference, Snapshot, System, Variable


def displacement(now: Snapshot, then: Reference) -> Float[Tensor, "replica dof"]:
    """x(t_w + t) − x(t_w) in float64; expanding the square instead loses small displacements in float32."""
    return now.state.x.double() - then.state.x


def second_moment(now: Snapshot, then: Reference) -> Float[Tensor, " replica"]:
    return now.once(displacement, then).square().mean(1)


class MsdOptions(ObservableOptions):
    """Mean-square displacement Δ(t_w, t_w+t) = (1/dof) Σ_i (x_i(t_w+t) − x_i(t_w))² (Baity-Jesi et al. 2018, eq. 4)."""

    kind: Literal["msd"] = "msd"

    def build(self, context: Context, system: System) -> MeanSquareDisplacement:
        return MeanSquareDisplacement(self.label)


@attrs.define(slots=False)
class MeanSquareDisplacement(Observable):
    """Δ(t_w, t_w+t), by difference and in float64."""

    label: str
    grid: ClassVar[Grid] = "pairs"

    def __attrs_post_init__(self) -> None:
        self.variables = {self.label: Variable("mean-square displacement per degree of freedom")}

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        return {self.label: now.once(second_moment, then)}


class DisplacementOptions(ObservableOptions):
    """Fourth moment of the displacement and non-Gaussian parameter α₂ = ⟨δ⁴⟩ / (3⟨δ²⟩²) − 1 (Rahman 1964), over t_w and t."""

    kind: Literal["displacement"] = "displacement"

    def build(self, context: Context, system: System) -> DisplacementMoments:
        return DisplacementMoments(self.label)


@attrs.define(slots=False)
class DisplacementMoments(Observable):
    """⟨δ⁴⟩ and α₂ over the degrees of freedom of a replica; α₂ is NaN where nothing has moved."""

    label: str
    grid: ClassVar[Grid] = "pairs"

    def __attrs_post_init__(self) -> None:
        self.variables = {
            f"{self.label}_fourth": Variable("fourth moment of the displacement per degree of freedom"),
            f"{self.label}_alpha2": Variable("non-Gaussian parameter of the displacement"),
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        second = now.once(second_moment, then)
        fourth = now.once(displacement, then).square().square().mean(1)
        return {f"{self.label}_fourth": fourth, f"{self.label}_alpha2": fourth / (3 * second.square()) - 1}
