"""Losses against what one would write down, their gradients against differences, and L2 as a part of the energy."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
import torch.nn.functional as F

from glassyrun import LabelledData, Refusal, State
from glassyrun_networks.losses import LOSSES
from glassyrun_networks.options import NetworkOptions
from tests.models import begin, context, dynamics, streams
from tests.networks.toy import ToyVectors, tiny_cnn, tiny_mlp

PAIR = ToyVectors(classes=2)
TRIPLE = ToyVectors(classes=3)


def outputs_and_labels(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(2)
    labels = torch.randint(0, max(count, 2), (2, 9), generator=chance)
    return 2 * torch.randn(2, 9, count, generator=chance, dtype=torch.float64), labels


@pytest.mark.parametrize("count", [2, 5])
def test_squared_error_is_torchs_own(count):
    outputs, labels = outputs_and_labels(count)
    expected = torch.nn.MSELoss()(outputs, F.one_hot(labels, count).double())
    torch.testing.assert_close(LOSSES["squared_error"].each(outputs, labels).mean(), expected)


@pytest.mark.parametrize("power", [1, 2])
def test_hinge_of_two_classes_has_one_output(power):
    loss = LOSSES["hinge" if power == 1 else "squared_hinge"]
    assert (loss.outputs(2), loss.outputs(3)) == (1, 3)
    outputs, labels = outputs_and_labels(1)
    found = loss.each(outputs, labels)
    for r in range(2):
        for i in range(9):
            y = 1 if labels[r, i] == 1 else -1
            assert found[r, i] == pytest.approx(max(0.0, 1 - y * outputs[r, i, 0].item()) ** power)
            assert loss.right(outputs, labels)[r, i] == (y * outputs[r, i, 0] > 0)


@pytest.mark.parametrize("power", [1, 2])
def test_hinge_of_more_classes_is_one_against_the_rest(power):
    loss = LOSSES["hinge" if power == 1 else "squared_hinge"]
    outputs, labels = outputs_and_labels(4)
    y = 2 * F.one_hot(labels, 4).double() - 1
    expected = (1 - y * outputs).clamp(min=0).pow(power).mean(-1)
    torch.testing.assert_close(loss.each(outputs, labels), expected)
    assert torch.equal(loss.right(outputs, labels), outputs.argmax(-1) == labels)


def test_cross_entropy_is_in_nats():
    outputs, labels = outputs_and_labels(3)
    each = LOSSES["cross_entropy"].each(outputs, labels)
    assert each.shape == labels.shape
    expected = -outputs.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(each, expected)
    assert LOSSES["cross_entropy"].each(torch.zeros(1, 10), torch.tensor([3])).item() == pytest.approx(2.302585, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("options", [{"data": PAIR}, {"data": TRIPLE}, {"data": TRIPLE, "l2": 0.3}])
def test_gradient_is_the_derivative_of_the_energy(loss, options):
    network = tiny_mlp(loss=loss, activation="tanh", chunk=25, **options)
    state = network.initial(streams(2))
    state.x.mul_(2)
    look = network.gradient(state)
    torch.testing.assert_close(look.energy, network.energy(state), rtol=1e-12, atol=0)
    chance = torch.Generator().manual_seed(4)
    for _ in range(3):
        direction = torch.randn(network.dof, generator=chance, dtype=torch.float64)
        direction /= direction.norm()
        h = 1e-6
        ahead, behind = (network.energy(State(state.x + sign * h * direction)) for sign in (1, -1))
        assert (ahead - behind) / (2 * h) == pytest.approx(look.gradient @ direction, rel=1e-5, abs=1e-8)


def test_l2_is_part_of_the_energy_and_of_no_loss():
    bare, network = tiny_mlp(), tiny_mlp(l2=0.3)
    state, batch = network.initial(streams(2)), torch.arange(10).view(2, 5)
    penalty = 0.15 * state.x.square().sum(1)
    torch.testing.assert_close(network.energy(state), bare.energy(state) + penalty, rtol=1e-13, atol=0)
    torch.testing.assert_close(network.evaluate(state, "train").loss, bare.evaluate(state, "train").loss, rtol=0, atol=0)
    for terms in (None, batch):
        mine, theirs = network.gradient(state, terms), bare.gradient(state, terms)
        torch.testing.assert_close(mine.energy, theirs.energy + penalty, rtol=1e-13, atol=0)
        torch.testing.assert_close(mine.gradient, theirs.gradient + 0.3 * state.x, rtol=1e-13, atol=1e-16)
    subset = torch.arange(7)
    torch.testing.assert_close(network.energy(state, subset), bare.energy(state, subset) + penalty, rtol=1e-13, atol=0)
    assert "(λ/2)|x|², λ = 0.3" in network.provenance["network_loss"]


def test_l2_moves_as_weight_decay_does_in_plain_sgd():
    ends = []
    for l2, decay in ((0.2, 0.0), (0.0, 0.2)):
        network = tiny_cnn(l2=l2)
        sgd = dynamics("sgd", network, batch_size=5, momentum=0.5, weight_decay=decay, learning_rate=0.05)
        state = begin(network, sgd, replicas=2)
        sgd.advance(network, state, 6)
        ends.append(state.x)
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-14)


def test_two_classes_learn_by_the_sign_of_one_output():
    network = tiny_mlp(torch.float32, data=ToyVectors(classes=2, features=20), loss="squared_hinge", widths=(10,))
    state = network.initial(streams(2))
    assert network.dof == 20 * 10 + 10 + 10 + 1
    sgd = dynamics("sgd", network, batch_size=20, learning_rate=0.1)
    before = network.evaluate(state, "train")
    sgd.advance(network, state, 200)
    after = network.evaluate(state, "train")
    assert (before.accuracy < 0.9).all()
    assert (after.accuracy == 1).all()
    assert (after.loss < 0.05).all()


def test_a_network_of_other_outputs_than_the_loss_asks_for():
    class Deaf(NetworkOptions):
        """One output a class, whatever the loss."""

        kind: Literal["deaf"] = "deaf"

        def module(self, shape, outputs):
            return torch.nn.Linear(shape[0], 2)

    assert Deaf(data=PAIR, loss="squared_error").build(context()).dof == 16
    with pytest.raises(Refusal) as refusal:
        Deaf(data=PAIR, loss="hinge").build(context())
    told = str(refusal.value)
    assert 'outputs of shape (4, 2), but (4, 1) was expected: with loss = "hinge", one output, whose sign is the class' in told
    assert "\n" not in told


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "cross_entropy"])
def test_a_sigmoid_goes_with_the_squared_error(loss):
    with pytest.raises(Refusal) as refusal:
        tiny_mlp(output="sigmoid", loss=loss)
    told = str(refusal.value)
    assert f'system.output: found "sigmoid" beside loss = "{loss}"' in told
    assert "\n" not in told
    assert ". " not in told
    assert tiny_mlp(output="sigmoid", loss="squared_error").dof


@pytest.mark.parametrize(("label", "split"), [(3, "training"), (-1, "training"), (7, "test")])
def test_labels_out_of_range(label, split):
    class Wrong(ToyVectors):
        def load(self, context) -> LabelledData:
            data = super().load(context)
            (data.train_y if split == "training" else data.test_y)[5] = label
            return data

    with pytest.raises(Exception, match=f"found the label {label} in the {split} set") as error:
        tiny_mlp(data=Wrong())
    assert type(error.value).__name__ == "DataError"
    assert Wrong().load(context()).classes == 3
