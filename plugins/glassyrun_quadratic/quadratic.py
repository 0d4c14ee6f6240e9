"""Linear regression: a mean of rank-one terms, whose Langevin dynamics and posterior are exactly known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Evaluation, Footprint, Refusal, State, Stream, System, SystemOptions, described, replica_normals

MOST_SITES = 20_000


class QuadraticOptions(SystemOptions):
    """Quadratic energy: linear regression on random data, one term a data point; the exactly known null model.

    L(x) = (1/2M) Σ_μ (a_μ·x − y_μ)² with y_μ = a_μ·x* + noise and a teacher x* of unit normal components. The Hessian is
    K = (1/M) Σ a aᵀ; Langevin dynamics is an Ornstein-Uhlenbeck process, its stationary law a Gaussian of covariance T K⁻¹.
    """

    kind: Literal["quadratic"] = "quadratic"
    n: Annotated[int, described("degrees of freedom (components of x)", ge=1, le=MOST_SITES)]
    terms: Annotated[int | None, described("data points M; default: twice n", ge=1, le=100_000_000)] = None
    noise: Annotated[float, described("standard deviation of the noise in y", ge=0)] = 0.1
    spectrum: Annotated[
        Literal["random", "power"],
        described(
            "random: independent unit normal a (Marchenko-Pastur spectrum of K); power: density ρ(λ) ∝ λ^exponent on [0, 1]"
        ),
    ] = "random"
    exponent: Annotated[float, described("of the power spectrum", gt=-1, le=100)] = 0.5
    initial_scale: Annotated[float, described("standard deviation of the components of the start", ge=0)] = 1.0

    @property
    def data_points(self) -> int:
        return 2 * self.n if self.terms is None else self.terms

    def footprint(self, context: Context) -> Footprint:
        size = context.dtype.itemsize
        if self.spectrum == "power" and self.data_points < self.n:
            raise Refusal(
                f'system.terms: found {self.data_points}, but spectrum = "power" needs at least n = {self.n} data points; '
                f"raise it to {self.n} or more"
            )
        stored = (self.data_points * (self.n + 1)) * size
        return Footprint(self.n, self.data_points, stored, transient_bytes=8 * 3 * self.data_points * self.n)

    def build(self, context: Context) -> Quadratic:
        self.footprint(context)
        inputs = self._inputs(context.stream("inputs"))
        teacher = _normal(context.stream("teacher"), self.n)
        targets = inputs @ teacher + self.noise * _normal(context.stream("noise"), self.data_points)
        return Quadratic(inputs.to(context.device, context.dtype), targets.to(context.device, context.dtype), self.initial_scale)

    def _inputs(self, stream: Stream) -> Float[Tensor, "term dof"]:
        random = _normal(stream, self.data_points, self.n)
        if self.spectrum == "random":
            return random
        # quantiles of ρ(λ) ∝ λ^a, so that the spectrum is the same in each sample and only its frame is random
        quantile = (torch.arange(self.n, dtype=torch.float64) + 0.5) / self.n
        eigenvalues = quantile ** (1 / (1 + self.exponent))
        frame = torch.linalg.qr(random).Q
        rotation = torch.linalg.qr(_normal(stream.child("rotation"), self.n, self.n)).Q
        return (self.data_points**0.5 * frame * eigenvalues.sqrt()) @ rotation.T


def _normal(stream: Stream, *shape: int) -> Float[Tensor, "..."]:
    return stream.normal(shape, dtype=torch.float64, device=torch.device("cpu"))


@attrs.define(slots=False, eq=False)
class Quadratic(System):
    """L(x) = (1/2M) Σ_μ (a_μ·x − y_μ)²."""

    inputs: Float[Tensor, "term dof"]
    targets: Float[Tensor, " term"]
    initial_scale: float = 1.0
    capturable = True

    def __attrs_post_init__(self) -> None:
        self.terms, self.dof = self.inputs.shape
        self.blocks = {"x": slice(0, self.dof)}

    def initial(self, streams: Sequence[Stream]) -> State:
        return State(self.initial_scale * replica_normals(streams, self.dof, self.inputs, everywhere=True))

    def energy(self, state: State, terms: Int[Tensor, " term"] | None = None) -> Float[Tensor, " replica"]:
        inputs, targets = (self.inputs, self.targets) if terms is None else (self.inputs[terms], self.targets[terms])
        return 0.5 * (state.x @ inputs.T - targets).square().mean(1)

    def gradient(self, state: State, batch: Int[Tensor, "replica term"] | None = None) -> Evaluation:
        if batch is None:
            residual = state.x @ self.inputs.T - self.targets
            return Evaluation(0.5 * residual.square().mean(1), residual @ self.inputs / self.terms, state.system)
        inputs = self.inputs[batch]
        residual = torch.einsum("rbi,ri->rb", inputs, state.x) - self.targets[batch]
        slope = torch.einsum("rb,rbi->ri", residual, inputs) / batch.shape[1]
        return Evaluation(0.5 * residual.square().mean(1), slope, state.system)
