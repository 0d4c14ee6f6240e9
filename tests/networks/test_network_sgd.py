"""SGD on networks against torch.optim.SGD on plain torch modules, step by step, with batch norm's running statistics."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from tests.models import begin, context, dynamics, streams
from tests.networks.toy import ToyImages, ToyVectors, normalised, tiny_mlp, tiny_resnet18

TOY = ToyVectors()
PAIR = ToyVectors(classes=2)
SMALL = ToyImages(train=16, test=4, side=32)
TINY = ToyImages(train=16, test=4, side=8, channels=1)


def dense(*sides: int, bias: bool = True, last: nn.Module | None = None) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for into, out in pairwise(sides):
        layers += [nn.Linear(into, out, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1], last or nn.Identity())


def cifar_stem() -> nn.Module:
    module = resnet18(num_classes=4)
    module.conv1, module.maxpool = nn.Conv2d(1, 64, 3, 1, 1, bias=False), nn.Identity()
    return module


def with_weights(module: nn.Module, row: torch.Tensor) -> nn.Module:
    module = module.to(row.dtype).train()
    nn.utils.vector_to_parameters(row.clone(), module.parameters())
    return module


def mean_square(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(outputs, F.one_hot(labels, outputs.shape[1]).to(outputs.dtype))


def sign_hinge(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (1 - (2 * labels - 1) * outputs[:, 0]).clamp(min=0).mean()


def compare(network, data, make: Callable[[], nn.Module], loss, steps: int, rtol: float, replicas: int = 2, **options) -> None:
    """Both go the same way: weights, and memory where there is one."""
    sgd = dynamics("sgd", network, **options)
    state = begin(network, sgd, replicas=replicas)
    seen, labels = (t for t in (normalised(data.load(context()), "train", torch.float64), data.load(context()).train_y))
    modules = [with_weights(make(), row) for row in state.x]
    names = {"momentum": "momentum", "weight_decay": "weight_decay", "learning_rate": "lr", "nesterov": "nesterov"}
    own = {names[key]: value for key, value in options.items() if key in names}
    optimisers = [torch.optim.SGD(module.parameters(), **own) for module in modules]
    for _ in range(steps):
        batch = sgd.draw(state.step, state).batch
        sgd.advance(network, state, 1)
        for r, (module, optimiser) in enumerate(zip(modules, optimisers, strict=True)):
            optimiser.zero_grad()
            loss(module(seen[batch[r]]), labels[batch[r]]).backward()
            optimiser.step()
            theirs = nn.utils.parameters_to_vector(module.parameters())
            torch.testing.assert_close(state.x[r], theirs, rtol=rtol, atol=rtol * 1e-2)
            buffers = dict(module.named_buffers())
            assert buffers.keys() == state.system.keys()
            for name, value in buffers.items():
                torch.testing.assert_close(state.system[name][r], value, rtol=rtol, atol=rtol * 1e-2)


MOVES = [
    {"learning_rate": 0.05},
    {"learning_rate": 0.05, "momentum": 0.9},
    {"learning_rate": 0.05, "momentum": 0.5, "weight_decay": 0.1},
    {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
]


@pytest.mark.parametrize("moves", MOVES)
def test_mlp_of_the_paper(moves):
    network = tiny_mlp(loss="squared_error", output="sigmoid", widths=(6,))
    compare(network, TOY, lambda: dense(7, 6, 3, last=nn.Sigmoid()), mean_square, 20, 1e-11, batch_size=7, **moves)


@pytest.mark.parametrize("moves", MOVES)
def test_deep_mlp_without_biases_under_a_hinge(moves):
    network = tiny_mlp(data=PAIR, loss="hinge", bias=False, widths=(8, 6, 5))
    compare(network, PAIR, lambda: dense(7, 8, 6, 5, 1, bias=False), sign_hinge, 20, 1e-11, batch_size=7, **moves)


def test_mlp_on_images():
    network = tiny_mlp(data=SMALL, widths=(5,))
    compare(network, SMALL, lambda: dense(3072, 5, 4), F.cross_entropy, 5, 1e-11, batch_size=3, **MOVES[1])


def test_resnet18_of_the_paper():
    """ImageNet stem on 32×32: the last convolutions see single pixels."""
    network = tiny_resnet18(data=SMALL)
    moves = {"learning_rate": 0.01, "momentum": 0.5, "weight_decay": 0.01, "nesterov": True}
    compare(network, SMALL, lambda: resnet18(num_classes=4), F.cross_entropy, 3, 1e-10, replicas=1, batch_size=5, **moves)


def test_resnet18_of_the_cifar_stem():
    network = tiny_resnet18(data=TINY, stem="cifar")
    compare(network, TINY, cifar_stem, F.cross_entropy, 2, 1e-8, replicas=2, batch_size=4, learning_rate=0.01)


def test_resnet18_in_evaluation_mode_is_torchvisions():
    network = tiny_resnet18(data=TINY, stem="cifar")
    state = network.initial(streams(1))
    state.system = network.gradient(state, torch.arange(8).unsqueeze(0)).memory
    module = with_weights(cifar_stem(), state.x[0])
    module.load_state_dict({**module.state_dict(), **{name: value[0] for name, value in state.system.items()}})
    data = TINY.load(context())
    outputs = module.eval()(normalised(data, "test", torch.float64))
    reading = network.evaluate(state, "test")
    assert reading.loss.item() == pytest.approx(F.cross_entropy(outputs, data.test_y).item(), rel=1e-9)
    assert reading.accuracy.item() == pytest.approx((outputs.argmax(1) == data.test_y).double().mean().item())
