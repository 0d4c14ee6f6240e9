"""The outputs of all replicas from their weights: one replica after another, or several together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call, vmap

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

    @abstractmethod
    def __call__(self, tensors: Tensors, seen: Seen) -> tuple[Outputs, Memory]:
        """Outputs, and the buffers as they are afterwards. Inputs of one row are the same for all replicas.

        In training mode the module may write into the buffers: give copies.
        """

    @abstractmethod
    def most(self, examples: int, chunk: int) -> int:
        """Most replicas in one call, where each looks at `examples` examples and a chunk has `chunk`."""

    def groups(self, replicas: int, examples: int, chunk: int) -> Iterator[slice]:
        """The replicas in groups for one call each; a fixed cut, because bits may depend on it."""
        most = self.most(examples, chunk)
        return (slice(begin, min(begin + most, replicas)) for begin in range(0, replicas, most))


class OneByOne(Forward):
    """One replica a call."""

    def __call__(self, tensors: Tensors, seen: Seen) -> tuple[Outputs, Memory]:
        own = {name: tensor[0] for name, tensor in tensors.items()}
        outputs = functional_call(self.module, own, (seen[0],))
        return outputs.unsqueeze(0), {name: own[name].unsqueeze(0) for name in self.buffers}

    def most(self, examples: int, chunk: int) -> int:
        return 1


class Together(Forward):
    """Several replicas a call, by a module that takes stacked parameters itself (see `takes_replicas`)."""

    def __call__(self, tensors: Tensors, seen: Seen) -> tuple[Outputs, Memory]:
        own = dict(tensors)
        outputs = functional_call(self.module, own, (seen,))
        return outputs, {name: own[name] for name in self.buffers}

    def most(self, examples: int, chunk: int) -> int:
        return max(1, TOGETHER * chunk // examples)


class Vmapped(Together):
    """Several replicas a call, any module, by `torch.vmap`."""

    def __call__(self, tensors: Tensors, seen: Seen) -> tuple[Outputs, Memory]:
        shared = len(seen) == 1
        return vmap(self._one, in_dims=(0, None if shared else 0))(dict(tensors), seen[0] if shared else seen)

    def _one(self, tensors: dict[str, Tensor], seen: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        own = dict(tensors)
        outputs = functional_call(self.module, own, (seen,))
        return outputs, {name: own[name] for name in self.buffers}


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
