"""A part of a data set, and other labels for it."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from glassyrun import DataError, Stream

Labels = Literal["own", "random", "odd_even"]


def balanced(labels: Int[Tensor, " term"], classes: int, count: int, stream: Stream) -> Int[Tensor, " count"]:
    """Numbers of `count` examples, ascending, the classes as equally often as can be.

    What is left over when `count` is divided by the number of classes goes to classes drawn at random, one example each. With
    the same stream a larger subset contains the smaller ones.

    Raises:
        DataError: if a class has too few examples.
    """
    if count > len(labels):
        raise DataError(f"system.data.subset = {count}, but there are {len(labels)} training examples: ask for at most that")
    each, left = divmod(count, classes)
    luck = stream.child("classes").numpy().permutation(classes)
    chosen: list[Tensor] = []
    for label in range(classes):
        there, need = torch.nonzero(labels == label).flatten(), each + int(luck[label] < left)
        if len(there) < need:
            most = int(torch.bincount(labels, minlength=classes).min()) * classes
            raise DataError(
                f"system.data.subset = {count} takes {need} training examples of each of {classes} classes, but class {label} has "
                f"{len(there)}: ask for at most {most}"
            )
        order = torch.from_numpy(stream.child(label).numpy().permutation(len(there)))
        chosen.append(there[order[:need]])
    return torch.cat(chosen).sort().values


def permuted(labels: Int[Tensor, " term"], stream: Stream) -> Int[Tensor, " term"]:
    """The same labels dealt out anew: every class stays as frequent as it was, and says nothing of the inputs.

    Zhang, Bengio, Hardt, Recht and Vinyals (ICLR 2017) drew each label by itself; a permutation leaves the balance of classes
    as it was, so that nothing but the relation to the inputs changes.
    """
    return labels[torch.from_numpy(stream.numpy().permutation(len(labels)))]


def parity(labels: Int[Tensor, " term"]) -> Int[Tensor, " term"]:
    """0 for even classes, 1 for odd ones."""
    return labels.remainder(2)
