"""Running statistics of batch norm: which layers keep them, and how a single batch's are had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

STATISTICS = ("running_mean", "running_var")


def keepers(module: nn.Module) -> Mapping[str, _NormBase]:
    """The layers of `module` that keep running statistics in torch's own way, by name."""
    parts = module.named_modules()
    return {name: part for name, part in parts if isinstance(part, _NormBase) and part.running_mean is not None}


def statistics_of(layers: Mapping[str, _NormBase]) -> tuple[str, ...]:
    """Names of the buffers that hold the statistics."""
    return tuple(f"{name}.{kind}" if name else kind for name in layers for kind in STATISTICS)


@contextmanager
def unsmoothed(layers: Mapping[str, _NormBase]) -> Iterator[None]:
    """A scope in which a look in training mode leaves the statistics of its own batch, not an average with older ones."""
    kept = [layer.momentum for layer in layers.values()]
    try:
        for layer in layers.values():
            layer.momentum = 1.0
        yield
    finally:
        for layer, momentum in zip(layers.values(), kept, strict=True):
            layer.momentum = momentum
