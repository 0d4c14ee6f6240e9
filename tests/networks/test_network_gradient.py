"""A network's energy and gradient, against finite differences and against plain torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from glassyrun import State
from glassyrun_networks.layout import aligned
from tests.models import begin, context, dynamics, streams
from tests.networks.toy import ToyImages, any_module, normalised, plain_module, tiny_cnn


@pytest.fixture(scope="module")
def cnn():
    return tiny_cnn()


@pytest.fixture(scope="module")
def data():
    return ToyImages().load(context())


def test_gradient_is_the_derivative_of_the_energy(cnn):
    state = cnn.initial(streams(2))
    gradient = cnn.gradient(state).gradient
    chance = torch.Generator().manual_seed(3)
    for _ in range(4):
        direction = torch.randn(cnn.dof, generator=chance, dtype=torch.float64)
        direction /= direction.norm()
        h = 1e-5
        ahead, behind = (cnn.energy(State(state.x + sign * h * direction)) for sign in (1, -1))
        assert (ahead - behind) / (2 * h) == pytest.approx(gradient @ direction, rel=1e-6, abs=1e-9)


def test_equals_plain_torch(cnn, data):
    state = cnn.initial(streams(2))
    batch = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 35]])
    images = normalised(data, "train", torch.float64)
    look = cnn.gradient(state, batch)
    for r in range(2):
        module = plain_module(cnn, state.x[r])
        loss = F.cross_entropy(module(images[batch[r]]), data.train_y[batch[r]])
        loss.backward()
        gradient = torch.cat([p.grad.reshape(-1) for p in module.parameters()])
        assert look.energy[r] == pytest.approx(loss.item(), rel=1e-12)
        torch.testing.assert_close(look.gradient[r], gradient, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("split", ["train", "test"])
def test_loss_and_accuracy_of_each_part(cnn, data, split):
    state = cnn.initial(streams(2))
    reading = cnn.evaluate(state, split)
    for r in range(2):
        outputs = plain_module(cnn, state.x[r])(normalised(data, split, torch.float64))
        labels = getattr(data, f"{split}_y")
        assert reading.loss[r] == pytest.approx(F.cross_entropy(outputs, labels).item(), rel=1e-12)
        assert reading.accuracy[r] == pytest.approx((outputs.argmax(1) == labels).double().mean().item(), abs=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_sgd_equals_torch_step_by_step(cnn, data, momentum, weight_decay):
    options = {"learning_rate": 0.05, "momentum": momentum, "weight_decay": weight_decay}
    sgd = dynamics("sgd", cnn, batch_size=7, **options)
    state = begin(cnn, sgd, replicas=2)
    images = normalised(data, "train", torch.float64)
    modules = [plain_module(cnn, row) for row in state.x]
    theirs = [torch.optim.SGD(m.parameters(), lr=0.05, momentum=momentum, weight_decay=weight_decay) for m in modules]
    for _ in range(20):
        batch = sgd.draw(state.step, state).batch
        sgd.advance(cnn, state, 1)
        for r, (module, optimiser) in enumerate(zip(modules, theirs, strict=True)):
            optimiser.zero_grad()
            F.cross_entropy(module(images[batch[r]]), data.train_y[batch[r]]).backward()
            optimiser.step()
            mine = torch.nn.utils.parameters_to_vector(module.parameters())
            torch.testing.assert_close(state.x[r], mine, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("chunk", [500, 60, 9])  # 60 images in chunks of at most 9: of 9 and of 8
def test_full_batch_is_all_terms(chunk):
    network = tiny_cnn(chunk=chunk)
    state = network.initial(streams(2))
    whole = network.gradient(state)
    batch = network.gradient(state, torch.arange(network.terms).flip(0).repeat(2, 1))
    torch.testing.assert_close(batch.gradient, whole.gradient, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(batch.energy.double(), whole.energy.double(), rtol=1e-12, atol=0)
    torch.testing.assert_close(whole.energy.double(), network.energy(state), rtol=1e-12, atol=0)
    torch.testing.assert_close(tiny_cnn().gradient(state).gradient, whole.gradient, rtol=1e-11, atol=1e-13)


def test_minibatch_is_unbiased(cnn):
    state = cnn.initial(streams(1))
    whole = cnn.gradient(state)
    order = torch.randperm(cnn.terms, generator=torch.Generator().manual_seed(1))
    looks = [cnn.gradient(state, batch.unsqueeze(0)) for batch in order.split(6)]
    torch.testing.assert_close(torch.stack([look.gradient for look in looks]).mean(0), whole.gradient, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.stack([look.energy for look in looks]).mean(0), whole.energy, rtol=1e-12, atol=0)
    subsets = torch.stack([cnn.energy(state, part) for part in order.split(6)]).mean(0)
    torch.testing.assert_close(subsets, cnn.energy(state), rtol=1e-12, atol=0)


def test_energy_accumulates_in_float64():
    network = tiny_cnn(torch.float32, data=ToyImages(train=2000, test=0), chunk=20)
    state = network.initial(streams(1))
    exact = tiny_cnn(torch.float64, data=ToyImages(train=2000, test=0)).energy(State(state.x.double()))
    energy = network.energy(state)
    assert energy.dtype == torch.float64
    assert energy == pytest.approx(exact.numpy(), rel=3e-8)


def test_blocks_are_the_layers(cnn):
    assert list(cnn.blocks) == ["conv1", "conv2", "hidden", "output"]
    assert [block.stop - block.start for block in cnn.blocks.values()] == [228, 304, 30, 28]
    assert [block.start for block in cnn.blocks.values()][1:] == [block.stop for block in cnn.blocks.values()][:-1]
    assert max(block.stop for block in cnn.blocks.values()) == cnn.dof == cnn.initial(streams(1)).x.shape[1]


def test_gradient_works_where_gradients_are_off(cnn):
    state = cnn.initial(streams(1))
    with torch.no_grad():
        assert torch.equal(cnn.gradient(state).gradient, tiny_cnn().gradient(state).gradient)


def test_parameters_of_the_root_are_a_block():
    assert dict(any_module("counting").blocks) == {"module": slice(0, 1), "head": slice(1, 17)}


def test_weights_begin_where_sixteen_bytes_can_be_loaded() -> None:
    """The second row of an odd number of weights does not."""
    x = torch.arange(14.0).view(2, 7)
    assert x[1].data_ptr() % 16 != 0
    assert aligned(x[1]).data_ptr() % 16 == 0
    assert torch.equal(aligned(x[1]), x[1])
    assert aligned(x[0]).data_ptr() == x[0].data_ptr()
