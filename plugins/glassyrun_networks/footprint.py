"""What a look at a chunk of examples takes, found without taking it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glassyrun_networks.forward import OneByOne

PROBED = 2
"""Examples that are looked at: batch norm takes no single one."""
TRIED = 1 << 28
"""Bytes of weights up to which a module is tried on the host; larger ones on the meta device, for which torch loads its compiler."""

HOPELESS = 1 << 40
"""Bytes of weights that no machine holds, whatever a look at them takes beside."""


def activation_bytes(module: nn.Module, shape: tuple[int, ...], examples: int) -> int:
    """Bytes, in float32, that a module from the meta device keeps for the backward pass on examples of `shape`.

    Zero where it can't be called (some modules ask for values); whether it fits the data is checked when it is built.
    """
    weights, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    size = sum(tensor.nbytes for tensor in (*weights.values(), *buffers.values()))
    if size > HOPELESS:
        return 0
    device = "cpu" if size <= TRIED else "meta"
    tensors = {
        name: torch.zeros(1, *tensor.shape, dtype=tensor.dtype, device=device, requires_grad=name in weights)
        for name, tensor in {**weights, **buffers}.items()
    }
    own = {tensor.untyped_storage()._cdata for tensor in tensors.values()}
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            OneByOne(module.train())(tensors, torch.zeros(1, PROBED, *shape, device=device))
    except Exception:  # noqa: BLE001 -- a stranger's module: an estimate must not stop a run that works
        return 0
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own) * examples // PROBED
