"""Loss and accuracy over a part of a network's data set, as Observables."""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from jaxtyping import Int
from torch import Tensor

from glassyrun import Grid, Observable, Reference, Refusal, Snapshot, System, Tilted, Variable
from glassyrun_networks.network import Network, Reading, Split


def network_of(system: System, label: str) -> Network:
    """The network that `system` is, with or without a field.

    Raises:
        Refusal: if it is none.
    """
    while isinstance(system, Tilted):
        system = system.base
    if isinstance(system, Network):
        return system
    raise Refusal(
        f"observables.{label}: reads loss and accuracy of a neural network, but the system is a {type(system).__name__}; "
        "leave the observable out"
    )


@attrs.frozen(eq=False)
class Part:
    """Which examples are read, and how."""

    network: Network
    split: Split
    terms: Int[Tensor, " term"] | None = None
    """Those of the training set to look at; None for all."""
    recalibrate: bool = False
    """Whether running statistics are recomputed before."""

    @property
    def over(self) -> str:
        """In words, for names and attributes."""
        size = self.network.size_of(self.split)
        if self.terms is None:
            return f"all {size} {self.split} examples"
        return f"{len(self.terms)} of {size} {self.split} examples, drawn from the seed"

    @property
    def attributes(self) -> dict[str, str]:
        """What the result says of it."""
        return {
            "over": self.over,
            "running_statistics": "recomputed over the training set" if self.recalibrate else "as they run",
        }

    def read(self, now: Snapshot) -> Reading:
        """Loss and accuracy, computed once for all observables that look at the same examples."""
        return now.once(_read, self.network, self.split, self.terms, self.recalibrate)


def _read(now: Snapshot, network: Network, split: Split, terms: Int[Tensor, " term"] | None, recalibrate: bool) -> Reading:
    return network.evaluate(now.recalibrated if recalibrate else now.state, split, terms)


class SplitReading(Observable):
    """Mean loss and accuracy, [replica], over the test or the training set."""

    grid: ClassVar[Grid] = "time"

    def __init__(self, part: Part, label: str) -> None:
        self._part, self._label = part, label
        self.variables = {
            f"{label}_loss": Variable(f"mean loss over {part.over}", attributes=part.attributes),
            f"{label}_accuracy": Variable(f"fraction classified rightly of {part.over}", attributes=part.attributes),
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        reading = self._part.read(now)
        return {f"{self._label}_loss": reading.loss, f"{self._label}_accuracy": reading.accuracy}


class TimeToAccuracy(Observable):
    """The first time read at which the accuracy was at least `accuracy`, [replica]; NaN before that."""

    grid: ClassVar[Grid] = "time"

    def __init__(self, part: Part, label: str, accuracy: float) -> None:
        self._part, self._label, self._accuracy = part, label, accuracy
        about = {"accuracy": repr(accuracy), **part.attributes}
        name = f"first time at which the fraction classified rightly of {part.over} was at least {accuracy:g}"
        self.variables = {label: Variable(name, "time", attributes=about)}

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        accuracy = self._part.read(now).accuracy
        reached = self.memory.get("reached")
        if reached is None:
            reached = torch.full_like(accuracy, torch.nan, dtype=torch.float64)
        self.memory["reached"] = torch.where(reached.isnan() & (accuracy >= self._accuracy), now.time, reached)
        return {self._label: self.memory["reached"]}
