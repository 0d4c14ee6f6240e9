"""Where the parameters of a module lie in the flat vector of degrees of freedom."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassyrun import Refusal


@attrs.frozen
class Layout:
    """The parameters of a module in torch's own order, one after another; and its layers as blocks.

    A block holds all parameters that one layer owns, weight and bias together.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    sizes: tuple[int, ...]
    blocks: Mapping[str, slice]

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """The layout of `module`.

        Raises:
            Refusal: if a parameter is frozen, or there is none.
        """
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
        return cls(tuple(parameters), shapes, tuple(shape.numel() for shape in shapes), blocks)

    @property
    def dof(self) -> int:
        return sum(self.sizes)

    def views(self, row: Float[Tensor, " dof"]) -> dict[str, Tensor]:
        """The parameters as views of `row`, by name; a derivative by them is one by `row`."""
        parts = row.split(self.sizes)
        return {name: part.view(shape) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)}

    def flat(self, module: nn.Module) -> Float[Tensor, " dof"]:
        """The parameters of `module` as one vector."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
