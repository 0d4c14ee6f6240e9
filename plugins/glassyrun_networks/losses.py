"""Losses: what one training example costs, given the outputs of the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Loss = Callable[[Float[Tensor, "term class"], Int[Tensor, " term"]], Float[Tensor, " term"]]
"""Outputs and labels → the loss of each example; the energy is their mean."""


def cross_entropy(outputs: Float[Tensor, "term class"], labels: Int[Tensor, " term"]) -> Float[Tensor, " term"]:
    """−ln softmax(outputs)[label], in nats."""
    return F.cross_entropy(outputs, labels, reduction="none")


LOSSES: Mapping[str, Loss] = {"cross_entropy": cross_entropy}
