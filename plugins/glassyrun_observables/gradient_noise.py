"""How noisy the gradient of a mini-batch is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import (
    Batches,
    Context,
    Dynamics,
    Observable,
    ObservableOptions,
    Reference,
    Refusal,
    Schedule,
    Snapshot,
    Stream,
    System,
    Variable,
    described,
)


class GradientNoiseOptions(ObservableOptions):
    """Gradient noise D = tr Cov(g_B) / dof of the mini-batches that the run itself draws, and |mean gradient|² / dof.

    White noise of this size moves x by Δ = (α/(1−β))² D t in t steps (Baity-Jesi et al. 2018). Estimated from independent
    batches, K of them, with the divisor K − 1; or from all batches of one epoch, which are disjoint, with the divisor K
    where they hold all terms (with a rest that fills no batch, or batches with replacement, by the factor that leaves no bias).
    The batches are the reading's own, never the run's next ones. The noise of the mean is taken off |mean gradient|², which
    may so be negative where it is small. On a sphere gradients are tangent. D is NaN where it is 0, and under a stage that
    looks at all terms.
    """

    components: ClassVar[bool] = False
    kind: Literal["gradient_noise"] = "gradient_noise"
    batches: Annotated[
        Annotated[int, described("independent batches", ge=2, le=10_000_000)] | Literal["epoch"],
        described('how many independent batches to look at, or "epoch" for the disjoint batches of one epoch'),
    ] = 50
    on: Annotated[Literal["t_w", "time"], described("grid on which it is read: waiting times, or the one-time grid")] = "t_w"

    def build(self, context: Context, system: System) -> GradientNoise:
        return GradientNoise(self.label, self.batches, self.on, context.stream("batches"))


@attrs.define(slots=False)
class GradientNoise(Observable):
    """D and |⟨g⟩|²/dof, [replica] each, in float64; one gradient in memory at a time, beside their mean."""

    label: str
    count: int | Literal["epoch"]
    grid: Literal["t_w", "time"]
    stream: Stream

    def __attrs_post_init__(self) -> None:
        over = "the disjoint batches of an epoch" if self.count == "epoch" else f"{self.count} independent batches"
        about = {"estimate": f"from {over}"}
        self.variables = {
            self.label: Variable("variance of the mini-batch gradient per degree of freedom (D)", attributes=about),
            f"{self.label}_mean": Variable("squared mean gradient per degree of freedom, its noise taken off", attributes=about),
        }

    def suits(self, stages: Sequence[Dynamics], schedule: Schedule) -> None:
        laws = [stage.batches for stage in stages if stage.batches is not None]
        if not laws:
            raise Refusal(
                f"observables.{self.label}: every step looks at all terms, so that the gradient has no noise; "
                "give dynamics.batch_size, or leave this observable out"
            )
        if self.count == "epoch" and all(law.per_epoch < 2 for law in laws):
            law = laws[0]
            raise Refusal(
                f'observables.{self.label}.batches: found "epoch", but an epoch of {law.terms} terms has one batch of {law.size}; '
                "give a number of independent batches"
            )

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        law = now.dynamics.batches
        if law is None or (self.count == "epoch" and law.per_epoch < 2):
            nothing = torch.full((now.state.replicas,), torch.nan, dtype=torch.float64, device=now.state.x.device)
            return dict.fromkeys(self.variables, nothing)
        spread, mean_squared, count = self._moments(now, law)
        disjoint = self.count == "epoch"
        noise = spread * (rest_of_law(law) if disjoint else 1.0)
        # what a mean of disjoint batches still varies by: nothing, once they hold all terms
        left = spread * (1 / count - law.size / law.terms if disjoint else 1 / count)
        dof = now.state.x.shape[1]
        return {
            self.label: torch.where(noise > 0, noise / dof, torch.nan),
            f"{self.label}_mean": (mean_squared - left) / dof,
        }

    def _moments(self, now: Snapshot, law: Batches) -> tuple[Float[Tensor, " replica"], Float[Tensor, " replica"], int]:
        """Σ|g − ḡ|²/(K − 1), |ḡ|² and K, by the recursion of Welford (1962)."""
        mean = torch.zeros_like(now.state.x, dtype=torch.float64)
        squares = mean.new_zeros(len(mean))
        count = 0
        for batch in self._batches(now, law):
            count += 1
            slope = now.system.manifold.project(now.state.x, now.system.gradient(now.state, batch).gradient)
            off = slope.to(torch.float64, copy=True).sub_(mean)
            mean.add_(off, alpha=1 / count)
            squares += torch.linalg.vecdot(off, off) * (1 - 1 / count)
        return squares / (count - 1), torch.linalg.vecdot(mean, mean), count

    def _batches(self, now: Snapshot, law: Batches) -> Iterator[Int[Tensor, "replica term"]]:
        """Batches of the run's law from a stream that belongs to this reading alone."""
        own, replicas, device = self.stream.child(now.state.step), now.state.replicas, now.state.x.device
        if self.count == "epoch":
            epoch = Batches(own, law.terms, law.size)
            yield from (epoch.draw(k, replicas, device) for k in range(law.per_epoch))
        else:
            for k in range(self.count):
                yield Batches(own.child(k), law.terms, law.size, law.sampling, ahead=1).draw(0, replicas, device)


def rest_of_law(law: Batches) -> float:
    """Var(g_B) of the law over Σ|g_k − ḡ|²/(K − 1) of disjoint batches: with the variance S² of the gradient of a term, the
    latter is S²/B and the former S²(1/B − 1/M), with replacement S²(1 − 1/M)/B."""
    return 1 - (law.size if law.sampling == "without_replacement" else 1) / law.terms
