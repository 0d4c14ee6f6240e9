"""Loss and accuracy over a part of a network's data set, as an Observable."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor

from glassyrun import Context, Observable, Reference, Refusal, Snapshot, System, Tilted, Variable
from glassyrun_networks.network import Network, Reading, Split


def network_of(system: System, kind: str) -> Network:
    """The network that `system` is, with or without a field.

    Raises:
        Refusal: if it is none.
    """
    while isinstance(system, Tilted):
        system = system.base
    if isinstance(system, Network):
        return system
    raise Refusal(
        f"observable {kind!r} reads loss and accuracy of a neural network, but the system is a {type(system).__name__}: "
        "leave the observable out"
    )


def subset(context: Context, network: Network, count: int | None) -> Int[Tensor, " term"] | None:
    """`count` training examples, drawn once from the seed and the same for all samples; None stands for all."""
    if count is None:
        return None
    drawn = context.common_stream("subset").numpy().permutation(network.terms)[:count]
    return torch.from_numpy(drawn).to(network.device)


def _read(now: Snapshot, network: Network, split: Split, terms: Int[Tensor, " term"] | None) -> Reading:
    return network.evaluate(now.state, split, terms)


class SplitReading(Observable):
    """Mean loss and accuracy, [replica], over the test or the training set."""

    grid = "time"

    def __init__(self, network: Network, split: Split, label: str, terms: Int[Tensor, " term"] | None = None) -> None:
        self._network, self._split, self._label, self._terms = network, split, label, terms
        size = network.size_of(split)
        over = (
            f"all {size} {split} examples" if terms is None else f"{len(terms)} of {size} {split} examples, drawn from the seed"
        )
        about = {"over": over}
        self.variables: Mapping[str, Variable] = {
            f"{label}_loss": Variable(f"mean loss over {over}", "1", attributes=about),
            f"{label}_accuracy": Variable(f"fraction classified rightly of {over}", "1", attributes=about),
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        reading = now.once(_read, self._network, self._split, self._terms)
        return {f"{self._label}_loss": reading.loss, f"{self._label}_accuracy": reading.accuracy}
