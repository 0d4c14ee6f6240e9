"""SGD on a network against torch.optim.SGD on the same module, same batches."""

from __future__ import annotations

import pytest
import torch
from tests.models import begin, context, dynamics
from torch.nn.functional import cross_entropy

from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.data.cifar10 import Cifar10Options


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.0), (0.5, 0.01)])
def test_the_cnn_moves_as_under_torch_optim(momentum: float, weight_decay: float) -> None:
    """Twenty steps in float64: every weight to rounding, momentum and weight decay included."""
    options = CnnOptions(channels=[2, 3], hidden=8, data=Cifar10Options(if_absent="sample", train=50, test=10))
    system = options.build(context("system"))
    moves = dynamics("sgd", system, learning_rate=0.1, momentum=momentum, weight_decay=weight_decay, batch_size=10)
    state = begin(system, moves, 1)
    module = options.module((3, 32, 32), 10).double()
    torch.nn.utils.vector_to_parameters(state.x[0].clone(), module.parameters())
    data = options.data.load(context("system"))
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (data.mean, data.std))
    images = (data.train_x.double() / 255 - mean) / std
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1, momentum=momentum, weight_decay=weight_decay)
    for step in range(20):
        batch = moves.draw(step, state).batch[0]
        optimiser.zero_grad()
        cross_entropy(module(images[batch]), data.train_y[batch]).backward()
        optimiser.step()
        moves.advance(system, state, 1)
        weights = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
        torch.testing.assert_close(state.x[0], weights, rtol=1e-9, atol=1e-12)
