"""What a look at a chunk of examples takes, found without taking it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def activation_bytes(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Bytes, in float32, that a module on the meta device keeps for the backward pass on inputs of `shape`.

    Zero where it can't be called there (some modules ask for values); whether it fits the data is checked when it is built.
    """
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            module.train()(torch.empty(shape, device="meta"))
    except Exception:  # noqa: BLE001 -- a stranger's module: an estimate must not stop a run that works
        return 0
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
