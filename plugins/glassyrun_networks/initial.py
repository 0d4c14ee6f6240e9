"""How the weights of a network begin, and how its degrees of freedom enter it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import attrs
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from glassyrun import Refusal

Law = Literal["torch", "he", "uniform", "ntk"]

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers of a matrix and perhaps a bias, of which every law but torch's own speaks."""
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
"""Layers that begin as they are, whatever the law: scale 1, shift 0."""


@attrs.frozen
class Initial:
    """The law of the initial weights.

    - `torch`: what the module's own constructor draws.
    - `he`: weights N(0, 2/fan_in), biases 0 (He et al., ICCV 2015).
    - `uniform`: weights and biases uniform in (−a, a), a = `scale`.
    - `ntk`: weights and biases N(0, 1), and each weight is multiplied by 1/√fan_in where it is used: the neural tangent
      parametrisation (Jacot et al., NeurIPS 2018, with β = 1), in which learning does not depend on the width.

    `scale` multiplies what is drawn. Norm layers keep 1 and 0 under every law.
    """

    law: Law = "torch"
    scale: float = 1.0

    @torch.no_grad()
    def draw(self, module: nn.Module) -> None:
        """Puts initial values into a fresh module, from torch's global generator; call it in `scope.seeded`.

        Raises:
            Refusal: if the module has weights that the law does not speak of.
        """
        for layer in self._layers(module):
            weight, bias = (layer._parameters.get(name) for name in ("weight", "bias"))
            if self.law == "uniform":
                for parameter in (weight, bias):
                    if parameter is not None:
                        parameter.uniform_(-1, 1)
            elif self.law != "torch":
                assert weight is not None
                weight.normal_(std=1.0 if self.law == "ntk" else (2 / fan_in(weight)) ** 0.5)
                if bias is not None:
                    bias.normal_() if self.law == "ntk" else bias.zero_()
            for parameter in layer.parameters(recurse=False):
                parameter.mul_(self.scale)

    def factors(self, module: nn.Module) -> Mapping[str, float]:
        """What parameters are multiplied by where they are used, by name; those that are left out are used as they are."""
        if self.law != "ntk":
            return {}
        layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, WEIGHTED)}
        return {f"{name}.weight" if name else "weight": fan_in(layer.weight) ** -0.5 for name, layer in layers.items()}

    def _layers(self, module: nn.Module) -> Iterator[nn.Module]:
        """The layers with parameters of their own that are not norms."""
        for name, layer in module.named_modules():
            if isinstance(layer, NORMS) or next(layer.parameters(recurse=False), None) is None:
                continue
            if self.law != "torch" and not isinstance(layer, WEIGHTED):
                raise Refusal(
                    f'system.init: "{self.law}" speaks of linear layers and convolutions, but {name or "the root"!r} of the module '
                    f'is a {type(layer).__name__} with parameters of its own; take init = "torch"'
                )
            yield layer


def fan_in(weight: torch.Tensor) -> int:
    """Inputs that one neuron, or one pixel of a channel, sums over."""
    return weight.shape[1:].numel()
