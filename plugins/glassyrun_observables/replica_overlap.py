"""How close replicas of one sample are to each other, against time."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import Context, Grid, Observable, ObservableOptions, Reference, Refusal, Snapshot, System, Variable, described
from glassyrun_observables.pieces import pieces


class ReplicaOverlapOptions(ObservableOptions):
    """Overlap q_ab = x_a·x_b / dof and squared distance |x_a − x_b|² / dof between replicas of a sample, against time.

    Of each replica a: mean and mean square of q_ab over all others b, and mean of the distance. Means over the dimension `replica`
    are then those over all pairs, and ⟨q²⟩ − ⟨q⟩² their variance. With `pairs` each pair by itself as well. What is compared is a
    question of `[ensemble]`: replicas of one start (`start = "shared"`) part by their noise alone.
    """

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = False

    kind: Literal["replica_overlap"] = "replica_overlap"
    pairs: Annotated[bool, described("read each pair as well, as NAME_pair and NAME_pair_distance over replica and `other`")] = (
        False
    )

    def build(self, context: Context, system: System) -> ReplicaOverlap:
        replicas = context.journey.replicas
        if replicas < 2:
            raise Refusal(
                f"observables.{self.label}: one replica has no other to be compared with; set ensemble.replicas to 2 or more"
            )
        return ReplicaOverlap(self.label, replicas if self.pairs else 0)


class ReplicaOverlap(Observable):
    """q_ab and |x_a − x_b|²/dof, the distance by difference, both in float64."""

    grid: ClassVar[Grid] = "time"

    def __init__(self, label: str, others: int) -> None:
        """`others` is the number of replicas where pairs are read by themselves, and else 0."""
        self.label, self.others = label, others
        self.variables = {
            label: Variable("mean overlap with the other replicas"),
            f"{label}_square": Variable("mean squared overlap with the other replicas"),
            f"{label}_distance": Variable("mean squared distance from the other replicas per degree of freedom"),
        }
        if others:
            about = ("1", ("replica", "other"), {"other": range(others)})
            self.variables |= {
                f"{label}_pair": Variable("overlap of two replicas", *about),
                f"{label}_pair_distance": Variable("squared distance of two replicas per degree of freedom", *about),
            }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        overlap, distance = all_pairs(now.state.x)
        off = overlap - torch.diag(overlap.diagonal())
        others = len(overlap) - 1
        values = {
            self.label: off.sum(1) / others,
            f"{self.label}_square": off.square().sum(1) / others,
            f"{self.label}_distance": distance.sum(1) / others,
        }
        if self.others:
            values |= {f"{self.label}_pair": overlap, f"{self.label}_pair_distance": distance}
        return values


def all_pairs(
    x: Float[Tensor, "replica dof"],
) -> tuple[Float[Tensor, "replica replica"], Float[Tensor, "replica replica"]]:
    """x_a·x_b/dof and |x_a − x_b|²/dof of all pairs of replicas, in float64.

    The distance is summed over differences: replicas that are close would be lost in the difference of two overlaps.
    """
    overlap, distance = torch.zeros(2, len(x), len(x), dtype=torch.float64, device=x.device)
    for piece in pieces(x):
        here = x[:, piece].double()
        overlap += here @ here.T
        for k in range(len(here) - 1):
            distance[k, k + 1 :] += (here[k + 1 :] - here[k]).square_().sum(1)
    return overlap / x.shape[1], (distance + distance.T) / x.shape[1]
