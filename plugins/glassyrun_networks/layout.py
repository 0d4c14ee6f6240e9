"""Where the parameters of a module lie in the flat vector of degrees of freedom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassyrun import Refusal

ALIGNMENT = 16
"""Bytes."""


def aligned(part: Tensor) -> Tensor:
    """The same numbers at a place from which 16 bytes can be loaded at a time."""
    return part.clone() if part.data_ptr() % ALIGNMENT else part


def refuse_strange(module: nn.Module) -> None:
    """Raises a Refusal where a weight has no size yet, or is of another type than float32; torch's own words for it help nobody."""
    for name, parameter in module.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            layer = name.rpartition(".")[0] or "module"
            raise Refusal(
                f"layer {layer!r} of the module is lazy: {name.rpartition('.')[2]!r} has no size before the first call; give the layer "
                "the number of its inputs (nn.Linear in place of nn.LazyLinear), which `shape` tells"
            )
        if parameter.dtype != torch.float32:
            found = str(parameter.dtype).removeprefix("torch.")
            raise Refusal(
                f"parameter {name!r} of the module is {found}, expected float32: leave .double() and its like out; the type of a run is "
                "run.dtype"
            )


@attrs.frozen
class Layout:
    """The parameters of a module in torch's own order, one after another; and its layers as blocks.

    A block holds all parameters that one layer owns, weight and bias together.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    sizes: tuple[int, ...]
    factors: tuple[float, ...]
    """What each parameter is multiplied by where the network uses it; 1 but in the neural tangent parametrisation."""
    blocks: Mapping[str, slice]

    @classmethod
    def of(cls, module: nn.Module, factors: Mapping[str, float] | None = None) -> Layout:
        """The layout of `module`, with the factors of some of its parameters by name.

        Raises:
            Refusal: if a parameter is frozen, or there is none.
        """
        if not isinstance(module, nn.Module):
            raise Refusal(f"module() gave back {type(module).__name__}, expected a torch.nn.Module: does it end in a return?")
        refuse_strange(module)
        parameters = dict(module.named_parameters())
        if not parameters:
            raise Refusal(
                "the module has no parameters, and so there is nothing to evolve: give it at least one layer with weights"
            )
        frozen = [name for name, parameter in parameters.items() if not parameter.requires_grad]
        if frozen:
            raise Refusal(
                f"parameter {frozen[0]!r} of the module is frozen (requires_grad=False), but every parameter is a degree of "
                "freedom here: register what must not move as a buffer"
            )
        blocks: dict[str, slice] = {}
        end = 0
        for name, parameter in parameters.items():
            layer = name.rpartition(".")[0] or "module"
            begin = blocks[layer].start if layer in blocks else end
            end += parameter.numel()
            blocks[layer] = slice(begin, end)
        shapes = tuple(parameter.shape for parameter in parameters.values())
        scales = tuple((factors or {}).get(name, 1.0) for name in parameters)
        return cls(tuple(parameters), shapes, tuple(shape.numel() for shape in shapes), scales, blocks)

    @property
    def dof(self) -> int:
        return sum(self.sizes)

    def parts(self, x: Float[Tensor, "replica dof"]) -> tuple[Float[Tensor, "replica _"], ...]:
        """The stretches of `x` that belong to one parameter each, as views."""
        return x.split(self.sizes, dim=1)

    def weights(self, x: Float[Tensor, "replica dof"]) -> tuple[Float[Tensor, "replica _"], ...]:
        """The same to compute with: on a GPU in memory of their own where a stretch does not begin on 16 bytes.

        cuDNN loads so many at a time, and takes it for granted that a tensor begins on them: that of a second replica need not.
        """
        return tuple(map(aligned, self.parts(x))) if x.is_cuda else self.parts(x)

    def named(self, parts: Sequence[Float[Tensor, "replica _"]]) -> dict[str, Float[Tensor, "replica ..."]]:
        """The parameters of all replicas by name, of the shape and with the factor with which they are used."""
        shaped = {name: part.view(-1, *shape) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)}
        return (
            shaped if set(self.factors) == {1.0} else {n: p * f for (n, p), f in zip(shaped.items(), self.factors, strict=True)}
        )

    def flat(self, module: nn.Module) -> Float[Tensor, " dof"]:
        """The parameters of `module` as one vector, before any factor."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
