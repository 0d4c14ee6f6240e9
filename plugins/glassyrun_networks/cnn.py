"""The small convolutional network of Baity-Jesi et al., "Comparing dynamics: deep neural networks versus glassy systems"."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from glassyrun import Refusal
from glassyrun_networks.options import NetworkOptions

if TYPE_CHECKING:
    from torch import nn

KERNEL = 5


class CnnOptions(NetworkOptions):
    """A small convolutional network: 5×5 convolutions, each with 2×2 max-pool and ReLU, then one hidden layer.

    The network of Baity-Jesi et al. (ICML 2018): channels 10 and 20, 100 hidden neurons, 56,890 weights on CIFAR-10 (31,770
    with 80 hidden neurons on MNIST). No padding; torch's own initialisation.
    """

    own_threads: ClassVar[bool] = True

    capturable: ClassVar[bool] = True
    kind: Literal["cnn"] = "cnn"
    channels: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...],
        Field(min_length=1, max_length=8, strict=False, description="channels of each convolution"),
    ] = (10, 20)
    hidden: Annotated[int, Field(ge=1, le=1_000_000, description="neurons of the hidden layer")] = 100

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        from torch import nn

        from glassyrun_networks.convpool import POOL, ConvPool

        if len(shape) != 3:
            raise Refusal(
                f"system.kind 'cnn' takes images, but the data set has inputs of shape {shape}: choose an image data set"
            )
        width, *sides = shape
        layers: dict[str, nn.Module] = {}
        for number, channel in enumerate(self.channels, 1):
            sides = [(side - KERNEL + 1) // POOL for side in sides]
            layers[f"conv{number}"] = ConvPool(width, channel, KERNEL)
            width = channel
        if min(sides) < 1:
            raise Refusal(
                f"system.channels = {list(self.channels)}: {len(self.channels)} convolutions of 5×5 with 2×2 max-pool leave "
                f"nothing of images of {shape[1]}×{shape[2]}: give fewer channels or larger images"
            )
        flat = width * sides[0] * sides[1]
        layers |= {"flat": nn.Flatten(), "hidden": nn.Linear(flat, self.hidden), "relu": nn.ReLU()}
        return nn.Sequential(OrderedDict(layers, output=nn.Linear(self.hidden, outputs)))
