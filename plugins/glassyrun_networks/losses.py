"""Losses: what one training example costs, given the outputs of the network, and when it is classified rightly."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

Outputs = Float[Tensor, "*batch output"]
Labels = Int[Tensor, "*batch"]
Each = Float[Tensor, "*batch"]


@attrs.frozen
class Loss:
    """The loss of one example; the energy is the mean over all training examples."""

    name: str
    each: Callable[[Outputs, Labels], Each]
    """Outputs [*batch, output] and labels [*batch] → the loss of each example, [*batch]."""
    by_sign: bool = False
    """Whether two classes share one output, whose sign is the class: above zero for label 1."""

    def outputs(self, classes: int) -> int:
        """Number of outputs that a network must have: one a class, or one in all where two classes share it."""
        return 1 if self.by_sign and classes == 2 else classes

    def right(self, outputs: Outputs, labels: Labels) -> Bool[Tensor, "*batch"]:
        """Which examples are classified rightly: by the largest output, or by the sign of a single one."""
        single = outputs.shape[-1] == 1
        return labels == (outputs.squeeze(-1) > 0 if single else outputs.argmax(-1))


def cross_entropy(outputs: Outputs, labels: Labels) -> Each:
    """−ln softmax(outputs)[label], in nats."""
    each = F.cross_entropy(outputs.flatten(0, -2), labels.flatten(), reduction="none")
    return each.view(labels.shape)


def squared_error(outputs: Outputs, labels: Labels) -> Each:
    """(f_k − δ_ky)² averaged over the classes k, as `torch.nn.MSELoss` on one-hot targets."""
    return (outputs - _is_class(outputs, labels).to(outputs.dtype)).square().mean(-1)


def hinge(outputs: Outputs, labels: Labels) -> Each:
    """max(0, 1 − y f), y = ±1; of more than two classes each against the rest, averaged over the classes."""
    return F.relu(1 - _margins(outputs, labels)).mean(-1)


def squared_hinge(outputs: Outputs, labels: Labels) -> Each:
    """max(0, 1 − y f)², without a factor ½; otherwise as `hinge`."""
    return F.relu(1 - _margins(outputs, labels)).square().mean(-1)


def _is_class(outputs: Outputs, labels: Labels) -> Bool[Tensor, "*batch output"]:
    """One-hot labels; of a single output, whether the label is 1."""
    count = outputs.shape[-1]
    classes = torch.arange(count, device=outputs.device) if count > 1 else torch.ones(1, device=outputs.device)
    return labels.unsqueeze(-1) == classes


def _margins(outputs: Outputs, labels: Labels) -> Outputs:
    """y f of each output."""
    return torch.where(_is_class(outputs, labels), outputs, -outputs)


LOSSES: Mapping[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("cross_entropy", cross_entropy),
        Loss("squared_error", squared_error),
        Loss("hinge", hinge, by_sign=True),
        Loss("squared_hinge", squared_hinge, by_sign=True),
    )
}
