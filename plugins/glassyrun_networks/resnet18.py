"""ResNet18 (He et al., CVPR 2016), torchvision's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from glassyrun import Refusal
from glassyrun_networks.options import NetworkOptions

if TYPE_CHECKING:
    from torch import nn

GROUPS = 32
"""Of group norm: the default of Wu and He (ECCV 2018); it divides ResNet18's 64, 128, 256 and 512 channels."""


class ResNet18Options(NetworkOptions):
    """ResNet18 as torchvision builds it, with random weights: 11,181,642 of them for 10 classes and colour images.

    stem = "imagenet" is the network as published (7×7 convolution of stride 2, then max-pool), which Baity-Jesi et al. (ICML
    2018) trained on CIFAR. stem = "cifar" is the usual change for images of 32×32: a 3×3 convolution of stride 1 and no
    max-pool, 11,173,962 weights and 15 times the work. norm = "group" puts group norm of 32 groups (the default of Wu and He,
    ECCV 2018, which divides every layer's channels) in the place of batch norm: the same number of weights, examples do not mix, and the
    gradient is the derivative of the energy. Replicas are looked at each by itself.
    """

    capturable: ClassVar[bool] = True
    kind: Literal["resnet18"] = "resnet18"
    stem: Annotated[
        Literal["imagenet", "cifar"],
        Field(description="first layers: 7×7 of stride 2 and max-pool, or 3×3 of stride 1 and no max-pool"),
    ] = "imagenet"
    norm: Annotated[
        Literal["batch", "group"], Field(description="batch norm, or group norm of 32 groups, under which examples do not mix")
    ] = "batch"

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        from torch import nn
        from torchvision.models import resnet18

        if len(shape) != 3:
            raise Refusal(
                f"system.kind 'resnet18' takes images, but the data set has inputs of shape {shape}: choose an image data set"
            )
        norm = nn.BatchNorm2d if self.norm == "batch" else _group_norm
        module = resnet18(weights=None, num_classes=outputs, norm_layer=norm)
        if self.stem == "cifar":
            module.conv1, module.maxpool = _stem(shape[0], 3, 1), nn.Identity()
        elif shape[0] != 3:
            module.conv1 = _stem(shape[0], 7, 2)
        return module


def _group_norm(channels: int) -> nn.Module:
    from torch import nn

    return nn.GroupNorm(GROUPS, channels)


def _stem(channels: int, kernel: int, stride: int) -> nn.Module:
    """A first convolution, initialised as torchvision does."""
    from torch import nn

    stem = nn.Conv2d(channels, 64, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    return stem
