"""The outputs of all replicas from their weights: one replica after another, or several together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import vmap

Tensors = Mapping[str, Shaped[Tensor, "replica ..."]]
"""Parameters and buffers by name, one row a replica."""
Seen = Float[Tensor, "#replica term ..."]
Outputs = Float[Tensor, "replica term output"]
Memory = dict[str, Shaped[Tensor, "replica ..."]]

TOGETHER = 32
"""Most chunks' worth of examples that are looked at together: more make nothing faster, and take memory."""


class Forward(ABC):
    """A module as a function of parameters, buffers and inputs of several replicas; its own parameters are never used."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.buffers = tuple(dict(module.named_buffers()))
        self._slots = _slots(module)

    @abstractmethod
    def __call__(self, tensors: Tensors, seen: Seen) -> tuple[Outputs, Memory]:
        """Outputs, and the buffers as they are afterwards. Inputs of one row are the same for all replicas.

        In training mode the module may write into the buffers: give copies.
        """

    @abstractmethod
    def most(self, examples: int, chunk: int) -> int:
        """Most replicas in one call, where each looks at `examples` examples and a chunk has `chunk`."""

    def _called(self, own: Mapping[str, Tensor], seen: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the module gives with these tensors in place of its own, and its buffers afterwards.

        `torch.func.functional_call` does the same, but looks for the places of all tensors at every call: a tenth of the time
        that a small network's step takes beside its arithmetic.
        """
        kept = [table[key] for table, key, _ in self._slots]
        try:
            for table, key, name in self._slots:
                table[key] = own[name]
            outputs = self.module(seen)
            return outputs, {name: table[key] for table, key, name in self._slots if name in self.buffers}
        finally:
            for (table, key, _), tensor in zip(self._slots, kept, strict=True):
                table[key] = tensor

    def groups(self, replicas: int, examples: int, chunk: int) -> Iterator[slice]:
        """The replicas in groups for one call each; a fixed cut, because bits may depend on it."""
        most = self.most(examples, chunk)
        return (slice(begin, min(begin + most, replicas)) for begin in range(0, replicas, most))


def _slots(module: nn.Module) -> tuple[tuple[dict[str, Any], str, str], ...]:
    """Where the tensors of a module are kept, tied ones in each of their places: table, key there, and name in the module."""
    names = {id(tensor): name for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    tables = [table for part in module.modules() for table in (part._parameters, part._buffers)]
    return tuple((table, key, names[id(tensor)]) for table in tables for key, tensor in table.items() if tensor is not None)


class OneByOne(Forward):
    """One replica a call."""

    def __call__(self, tensors: Tensors, seen: Seen) -> tuple[Outputs, Memory]:
        own = {name: tensor[0] for name, tensor in tensors.items()}
        outputs, memory = self._called(own, seen[0])
        return outputs.unsqueeze(0), {name: value.unsqueeze(0) for name, value in memory.items()}

    def most(self, examples: int, chunk: int) -> int:
        return 1


class Together(Forward):
    """Several replicas a call, by a module that takes stacked parameters itself (see `takes_replicas`)."""

    def __call__(self, tensors: Tensors, seen: Seen) -> tuple[Outputs, Memory]:
        return self._called(tensors, seen)

    def most(self, examples: int, chunk: int) -> int:
        return max(1, TOGETHER * chunk // examples)


class Vmapped(Together):
    """Several replicas a call, any module, by `torch.vmap`."""

    def __call__(self, tensors: Tensors, seen: Seen) -> tuple[Outputs, Memory]:
        shared = len(seen) == 1
        return vmap(self._one, in_dims=(0, None if shared else 0))(dict(tensors), seen[0] if shared else seen)

    def _one(self, tensors: dict[str, Tensor], seen: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self._called(tensors, seen)


def takes_replicas(module: nn.Module) -> bool:
    """Whether a module says that it takes parameters of shape [replica, *shape] and inputs [replica or 1, term, *shape].

    Such a module has an attribute `takes_replicas = True` and gives outputs [replica, term, output]; it can choose better
    products than vmap does.
    """
    return bool(getattr(module, "takes_replicas", False))


def forward_of(module: nn.Module, together: bool) -> Forward:
    """The one way in which replicas of `module` are looked at, whatever their number."""
    if not together:
        return OneByOne(module)
    return Together(module) if takes_replicas(module) else Vmapped(module)
