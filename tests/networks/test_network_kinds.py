"""The built-in networks: their sizes, layers and options, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from glassyrun import Refusal
from glassyrun_networks.mlp import MlpOptions
from glassyrun_networks.resnet18 import ResNet18Options
from tests.models import context, streams
from tests.networks.toy import ToyImages, ToyVectors, normalised, outputs_of, tiny_mlp, tiny_resnet18

CIFAR = ToyImages(train=8, test=2, side=32, classes=10)
MNIST = ToyImages(train=8, test=2, side=28, channels=1, classes=10)
FEW = ToyImages(train=8, test=2, side=8, channels=1)


@pytest.mark.parametrize(
    ("data", "options", "weights"),
    [
        (MNIST, {"widths": (10,)}, 784 * 10 + 10 + 10 * 10 + 10),
        (MNIST, {"widths": (10,), "bias": False}, 784 * 10 + 10 * 10),
        (CIFAR, {"widths": ()}, 3072 * 10 + 10),
        (ToyVectors(classes=2), {"widths": (4, 3), "loss": "hinge"}, 7 * 4 + 4 + 4 * 3 + 3 + 3 + 1),
        (ToyVectors(classes=2), {"widths": (4,), "loss": "cross_entropy"}, 7 * 4 + 4 + 4 * 2 + 2),
    ],
)
def test_weights_of_an_mlp(data, options, weights):
    table = MlpOptions(data=data, **options)
    network = table.build(context(dtype=torch.float32))
    footprint = table.footprint(context(dtype=torch.float32))
    assert network.dof == footprint.dof == network.initial(streams(1)).x.numel() == weights
    names = [f"hidden{layer + 1}" for layer in range(len(options["widths"]))]
    assert list(network.blocks) == [*names, "output"]
    assert footprint.at_once == 32
    assert footprint.notes[1].startswith("up to 32 replicas are looked at at once")


@pytest.mark.parametrize(
    ("activation", "module"),
    [
        ("relu", nn.ReLU()),
        ("tanh", nn.Tanh()),
        ("sigmoid", nn.Sigmoid()),
        ("gelu", nn.GELU()),
        ("linear", nn.Identity()),
        ("erf", torch.erf),
    ],
)
def test_activations(activation, module):
    network = tiny_mlp(activation=activation, widths=(5,))
    x = network.initial(streams(1)).x
    first, last = nn.Linear(7, 5).double(), nn.Linear(5, 3).double()
    for layer, name in ((first, "hidden1"), (last, "output")):
        nn.utils.vector_to_parameters(x[0, network.blocks[name]].clone(), layer.parameters())
    seen = normalised(ToyVectors().load(context()), "train", torch.float64)
    torch.testing.assert_close(outputs_of(network, x, seen)[0], last(module(first(seen))), rtol=1e-12, atol=1e-14)


def test_relu_without_biases_is_homogeneous():
    network = tiny_mlp(widths=(6, 5, 4), bias=False)
    seen = normalised(ToyVectors().load(context()), "train", torch.float64)
    x = network.initial(streams(1)).x
    one, double = (outputs_of(network, scale * x, seen) for scale in (1, 2))
    torch.testing.assert_close(double, 2**4 * one, rtol=1e-13, atol=0)


@pytest.mark.parametrize("wrong", [{"widths": [0]}, {"activation": "step"}, {"output": "softmax"}, {"l2": -1}, {"init_scale": 0}])
def test_impossible_options(wrong):
    with pytest.raises(ValidationError):
        MlpOptions(data=MNIST, **wrong)


@pytest.mark.parametrize(
    ("data", "options", "weights"),
    [
        (CIFAR, {}, 11_181_642),
        (CIFAR, {"norm": "group"}, 11_181_642),
        (CIFAR, {"stem": "cifar"}, 11_173_962),
        (MNIST, {}, 11_175_370),
        (ToyImages(train=8, test=2, side=32, classes=100), {}, 11_227_812),
    ],
)
def test_weights_of_resnet18(data, options, weights):
    assert ResNet18Options(data=data, **options).footprint(context(dtype=torch.float32)).dof == weights


def test_resnet18_has_a_block_a_layer_and_batch_norms_memory():
    network = tiny_resnet18(torch.float32, data=FEW)
    state = network.initial(streams(1))
    assert state.x.numel() == network.dof
    assert list(network.blocks)[:3] == ["conv1", "bn1", "layer1.0.conv1"]
    assert list(network.blocks)[-1] == "fc"
    assert len(network.blocks) == 41  # 20 convolutions, 20 norms, the last layer
    assert len(state.system) == 3 * 20
    assert "drawn from the seed" in network.provenance["network_chunk"]
    weights = state.x[0, network.blocks["conv1"]]
    assert weights.var().item() == pytest.approx(2 / (64 * 49), rel=0.15)  # torchvision's: fan-out


def test_group_norm_does_not_mix_examples_and_has_no_memory():
    network = tiny_resnet18(torch.float32, data=FEW, norm="group")
    state = network.initial(streams(1))
    assert state.system == {}
    assert "in the order of the data set" in network.provenance["network_chunk"]
    norms = [part for part in network._forward.module.modules() if isinstance(part, nn.GroupNorm)]
    assert len(norms) == 20
    assert {norm.num_groups for norm in norms} == {32}
    torch.testing.assert_close(network.gradient(state).energy, network.energy(state), rtol=1e-6, atol=0)


def test_resnet18_takes_images_only():
    with pytest.raises(Refusal, match=r"'resnet18' takes images, but the data set has inputs of shape \(7,\)"):
        tiny_resnet18(data=ToyVectors())


@pytest.mark.parametrize("kind", [MlpOptions, ResNet18Options])
def test_options_are_data(kind):
    table = kind(data=FEW)
    assert kind.model_validate(table.model_dump() | {"data": FEW}) == table
    assert not table.disordered
