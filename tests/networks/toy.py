"""Tiny networks on made-up images, for tests that must take milliseconds."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from glassyrun import Context, DatasetOptions, LabelledData
from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.mlp import MlpOptions
from glassyrun_networks.network import Network
from glassyrun_networks.options import NetworkOptions
from glassyrun_networks.resnet18 import ResNet18Options
from tests.models import context


class ToyImages(DatasetOptions):
    """Images made up on the spot: one pattern a class, and noise; the same ones at every call."""

    kind: Literal["toy_images"] = "toy_images"
    train: Annotated[int, Field(ge=1)] = 60
    test: Annotated[int, Field(ge=0)] = 20
    side: Annotated[int, Field(ge=1)] = 16
    channels: Annotated[int, Field(ge=1)] = 3
    classes: Annotated[int, Field(ge=2)] = 4

    def load(self, context: Context) -> LabelledData:
        chance = np.random.Generator(np.random.Philox(7))
        shape = (self.channels, self.side, self.side)
        coarse = chance.normal(size=(self.classes, self.channels, -(-self.side // 8), -(-self.side // 8)))
        patterns = coarse.repeat(8, axis=2).repeat(8, axis=3)[..., : self.side, : self.side]
        labels = np.arange(self.train + self.test) % self.classes
        pixels = 128 + 40 * patterns[labels] + 40 * chance.normal(size=(len(labels), *shape))
        images = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
        y = torch.from_numpy(labels.astype(np.int64))
        return LabelledData(
            train_x=images[: self.train],
            train_y=y[: self.train],
            test_x=images[self.train :] if self.test else None,
            test_y=y[self.train :] if self.test else None,
            classes=self.classes,
            mean=tuple(0.5 + 0.01 * c for c in range(self.channels)),
            std=tuple(0.25 + 0.01 * c for c in range(self.channels)),
            provenance={"data": "toy_images"},
        )


class ToyVectors(DatasetOptions):
    """Vectors around one centre a class; the same ones at every call."""

    kind: Literal["toy_vectors"] = "toy_vectors"
    train: Annotated[int, Field(ge=1)] = 60
    features: Annotated[int, Field(ge=1)] = 7
    classes: Annotated[int, Field(ge=2)] = 3

    def load(self, context: Context) -> LabelledData:
        chance = np.random.Generator(np.random.Philox(8))
        labels = np.arange(self.train + 20) % self.classes
        centres = chance.normal(size=(self.classes, self.features))
        x = torch.from_numpy(centres[labels] + chance.normal(size=(len(labels), self.features)))
        y = torch.from_numpy(labels.astype(np.int64))
        n = self.train
        return LabelledData(x[:n], y[:n], x[n:], y[n:], classes=self.classes, unit=1.0, mean=(0.1,), std=(1.5,))


class ModuleOptions(NetworkOptions):
    """Any module as a System: `like` names one of MODULES below."""

    kind: Literal["module"] = "module"
    like: str = "batch_norm"

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        return MODULES[self.like](shape[0], outputs)


class ModulesTogether(ModuleOptions):
    """The same, replicas together by vmap."""

    together: ClassVar[bool] = True


class Counting(nn.Module):
    """Normalises like batch norm, and puts new buffers in the place of the old ones instead of writing into them."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, classes)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = images.mean((2, 3))
        if self.training:
            self.calls = self.calls + 1
            self.mean = 0.9 * self.mean + 0.1 * seen.mean(0).detach()
        return self.head(seen - self.mean) * self.scale


class Branching(nn.Module):
    """Asks for a value, which vmap can't answer for several replicas at once."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs = self.head(images.mean((2, 3)))
        return outputs if self.head.weight.sum() > 0 else 2 * outputs


class Careless(nn.Module):
    """Says that it takes several replicas, and takes the first one's weights for all."""

    takes_replicas = True

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weight = self.head.weight if self.head.weight.dim() == 2 else self.head.weight[0]
        return images.mean((-1, -2)) @ weight.mT


class FunctionalDropout(nn.Module):
    """Dropout that no list of modules shows."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(nn.functional.dropout(images.mean((2, 3)), 0.5, self.training))


def _batch_norm(width: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(width, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)
    )


def _pooled(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers)


def _frozen(width: int, classes: int) -> nn.Module:
    module = _pooled(nn.Linear(width, 5), nn.Linear(5, classes))
    module[2].weight.requires_grad_(False)
    return module


MODULES: dict[str, Any] = {
    "batch_norm": _batch_norm,
    "counting": Counting,
    "branching": Branching,
    "careless": Careless,
    "dropout": lambda width, classes: _pooled(nn.Linear(width, 5), nn.Dropout(0.1), nn.Linear(5, classes)),
    "dropout_off": lambda width, classes: _pooled(nn.Linear(width, 5), nn.Dropout(0.0), nn.Linear(5, classes)),
    "functional_dropout": FunctionalDropout,
    "frozen": _frozen,
    "too_few_outputs": lambda width, classes: _pooled(nn.Linear(width, classes - 1)),
    "wrong_width": lambda width, classes: _pooled(nn.Linear(width + 1, classes)),
    "no_weights": lambda width, classes: _pooled(),
}


def tiny_cnn(dtype: torch.dtype = torch.float64, seed: int = 1, data: ToyImages | None = None, **options: Any) -> Network:
    """A cnn on made-up images, of 3 and 4 channels and 6 hidden neurons where nothing else is said."""
    table = CnnOptions(data=data or ToyImages(), **{"channels": (3, 4), "hidden": 6, **options})
    return table.build(context("system", seed=seed, dtype=dtype))


def tiny_mlp(dtype: torch.dtype = torch.float64, seed: int = 1, data: DatasetOptions | None = None, **options: Any) -> Network:
    """An mlp on made-up vectors, of 6 and 5 hidden neurons where nothing else is said."""
    return MlpOptions(data=data or ToyVectors(), **{"widths": (6, 5), **options}).build(context("system", seed=seed, dtype=dtype))


def tiny_resnet18(dtype: torch.dtype = torch.float64, data: DatasetOptions | None = None, **options: Any) -> Network:
    """A resnet18, of its full 11 million weights, on a few small made-up images."""
    return ResNet18Options(data=data or ToyImages(train=12, test=4), **options).build(context("system", dtype=dtype))


def any_module(like: str, dtype: torch.dtype = torch.float64, seed: int = 1, together: bool = False, **options: Any) -> Network:
    """One of MODULES on made-up images."""
    table = ModulesTogether if together else ModuleOptions
    return table(data=ToyImages(), like=like, **options).build(context("system", seed=seed, dtype=dtype))


def plain_module(network: Network, row: torch.Tensor) -> nn.Module:
    """A plain torch module, in evaluation mode, with the weights `row`; its type is that of `row`."""
    module = network._make().to(row.dtype)
    nn.utils.vector_to_parameters(row.clone(), module.parameters())
    return module.eval()


def outputs_of(network: Network, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """[replica, term, output] of replicas with the degrees of freedom `x` on normalised inputs [term, …]."""
    weights = network._layout.named(network._layout.parts(x))
    return network._forward(weights, seen.unsqueeze(0))[0]


def normalised(data: LabelledData, part: str, dtype: torch.dtype) -> torch.Tensor:
    """(x/unit − mean)/std, as one would write it down."""
    x = getattr(data, f"{part}_x").to(dtype) / data.unit
    mean, std = (torch.tensor(v, dtype=dtype).view(-1, *[1] * (x.dim() - 2)) for v in (data.mean, data.std))
    return (x - mean) / std
