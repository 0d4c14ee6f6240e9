"""The tables of networks and of their observables: sizes, refusals, a user's own module."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import pytest
import torch
from pydantic import Field, ValidationError
from torch import nn

from glassyrun import Refusal, Snapshot, Tilted
from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.observables import ReadTestOptions, ReadTrainOptions
from glassyrun_networks.options import NetworkOptions
from tests.models import FreeSpins, context, dynamics, streams
from tests.networks.toy import ModuleOptions, ToyImages, any_module, tiny_cnn

CIFAR = ToyImages(train=8, test=2, side=32, classes=10)
MNIST = ToyImages(train=8, test=2, side=28, channels=1, classes=10)


@pytest.mark.parametrize(("data", "hidden", "weights"), [(CIFAR, 100, 56_890), (MNIST, 80, 31_770)])
def test_weight_counts_of_the_paper(data, hidden, weights):
    table = CnnOptions(data=data, hidden=hidden)
    network = table.build(context(dtype=torch.float32))
    footprint = table.footprint(context(dtype=torch.float32))
    assert network.dof == footprint.dof == network.initial(streams(1)).x.numel() == weights
    assert network.terms == footprint.terms == 8
    assert network.splits == ("train", "test")


def test_footprint_states_data_and_activations():
    two, five, eight = (CnnOptions(data=CIFAR, chunk=chunk).footprint(context(dtype=torch.float32)) for chunk in (2, 5, 8))
    assert two.bytes == 10 * 3 * 32 * 32 + 10 * 8
    # What the backward pass keeps grows with the chunk; the first layer alone keeps 10×14×14 pooled numbers an image.
    assert eight.transient_bytes - five.transient_bytes == five.transient_bytes - two.transient_bytes > 3 * 10 * 14 * 14 * 4
    assert CnnOptions(data=CIFAR).footprint(context(dtype=torch.float64)).transient_bytes == 2 * eight.transient_bytes


def test_footprint_where_a_module_cannot_be_on_the_meta_device():
    class Asking(nn.Linear):
        def forward(self, images):
            assert images.mean().item() < 10
            return super().forward(images.flatten(1))

    class AskingOptions(ModuleOptions):
        def module(self, shape, classes):
            return Asking(math.prod(shape), classes)

    footprint = AskingOptions(data=ToyImages()).footprint(context())
    assert footprint.dof == 768 * 4 + 4
    assert AskingOptions(data=ToyImages()).build(context()).dof == footprint.dof


def test_own_module_in_under_ten_lines():
    class Mine(NetworkOptions):
        """One hidden layer of tanh."""

        kind: Literal["mine"] = "mine"
        width: Annotated[int, Field(ge=1, description="neurons of the hidden layer")] = 5

        def module(self, shape, classes):
            first, last = nn.Linear(math.prod(shape), self.width), nn.Linear(self.width, classes)
            return nn.Sequential(nn.Flatten(), first, nn.Tanh(), last)

    network = Mine(data=ToyImages()).build(context())
    state = network.initial(streams(2))
    assert network.dof == 5 * 769 + 4 * 6
    assert network.gradient(state).gradient.shape == (2, network.dof)
    sgd = dynamics("sgd", network, batch_size=5, learning_rate=0.05)
    before = network.energy(state)
    sgd.advance(network, state, 30)
    assert (network.energy(state) < before).all()


@pytest.mark.parametrize(
    ("like", "words"),
    [
        ("dropout", "Dropout '3'"),
        ("functional_dropout", "draws random numbers"),
        ("frozen", "'2.weight'"),
        ("too_few_outputs", "outputs of shape (4, 3), but (4, 4)"),
        ("wrong_width", "does not fit the data: on inputs of 3×16×16"),
        ("no_weights", "outputs of shape"),
    ],
)
def test_refused_in_one_sentence(like, words):
    with pytest.raises(Refusal) as refusal:
        any_module(like)
    told = str(refusal.value)
    assert words in told
    assert "\n" not in told
    assert ". " not in told.replace("...", "")


def test_dropout_that_is_off_is_none():
    assert any_module("dropout_off").dof == 20 + 24


def test_refusal_leaves_the_generator_alone():
    before = torch.get_rng_state()
    with pytest.raises(Refusal):
        any_module("functional_dropout")
    assert torch.equal(torch.get_rng_state(), before)


def test_images_too_small_for_the_cnn():
    with pytest.raises(Refusal, match=r"system\.channels = \[10, 20\].*images of 12×12"):
        CnnOptions(data=ToyImages(side=12)).build(context())


@pytest.mark.parametrize(
    "wrong", [{"channels": []}, {"channels": [0]}, {"hidden": 0}, {"chunk": 0}, {"channels": [2.5]}, {"width": 3}]
)
def test_impossible_options(wrong):
    with pytest.raises(ValidationError):
        CnnOptions(data=CIFAR, **wrong)


def test_channels_as_toml_writes_them():
    assert CnnOptions.model_validate({"kind": "cnn", "data": CIFAR, "channels": [4]}).channels == (4,)


def test_a_network_has_no_disorder_and_measures_the_test_set():
    assert not CnnOptions(data=CIFAR).disordered
    assert "test" in CnnOptions(data=CIFAR).observables()


def snapshot(network, replicas=2):
    return Snapshot(network, dynamics("sgd", network), network.initial(streams(replicas)))


def test_reading_of_the_test_set():
    network = tiny_cnn()
    now = snapshot(network)
    observable = ReadTestOptions().build(context("observables/test"), network)
    read = observable.read(now, None)
    assert list(observable.variables) == list(read) == ["test_loss", "test_accuracy"]
    assert observable.grid == "time"
    expected = network.evaluate(now.state, "test")
    assert torch.equal(read["test_loss"], expected.loss)
    assert torch.equal(read["test_accuracy"], expected.accuracy)
    assert all(variable.long_name and variable.units for variable in observable.variables.values())
    assert "20 test examples" in observable.variables["test_loss"].long_name


def test_names_follow_the_table():
    network = tiny_cnn()
    held_out = ReadTestOptions(name="held_out").build(context(), network)
    assert list(held_out.read(snapshot(network), None)) == list(held_out.variables) == ["held_out_loss", "held_out_accuracy"]


def test_two_observables_share_one_pass(monkeypatch):
    network = tiny_cnn()
    calls = []
    evaluate = type(network).evaluate
    monkeypatch.setattr(type(network), "evaluate", lambda *arguments: calls.append(1) or evaluate(*arguments))
    now = snapshot(network)
    for name in (None, "again"):
        ReadTestOptions(name=name).build(context(), network).read(now, None)
    assert len(calls) == 1


def test_reading_of_a_fixed_subset_of_the_training_set():
    network = tiny_cnn()
    now = snapshot(network)
    one, again, other = (
        ReadTrainOptions(terms=9).build(context("observables/train", sample=sample, seed=seed), network).read(now, None)
        for sample, seed in ((0, 1), (5, 1), (0, 2))
    )
    assert torch.equal(one["train_loss"], again["train_loss"])
    assert not torch.equal(one["train_loss"], other["train_loss"])
    whole = ReadTrainOptions().build(context(), network).read(now, None)
    assert torch.equal(whole["train_loss"], network.energy(now.state))
    with pytest.raises(Refusal, match="at most 60"):
        ReadTrainOptions(terms=61).build(context(), network)


def test_readings_in_a_field_are_those_without():
    network = tiny_cnn()
    tilted = Tilted(network, torch.ones(1, network.dof, dtype=torch.float64))
    now = snapshot(network)
    read = ReadTestOptions().build(context(), tilted).read(now, None)
    assert torch.equal(read["test_loss"], network.evaluate(now.state, "test").loss)


@pytest.mark.parametrize("options", [ReadTestOptions(), ReadTrainOptions()])
def test_readings_of_what_is_no_network(options):
    with pytest.raises(Refusal, match="is a FreeSpins"):
        options.build(context(), FreeSpins(4))


def test_no_test_set_to_read():
    network = tiny_cnn(data=ToyImages(test=0))
    assert network.splits == ("train",)
    with pytest.raises(Refusal, match="no test part"):
        ReadTestOptions().build(context(), network)
    with pytest.raises(Refusal, match="no test part"):
        network.evaluate(network.initial(streams(1)), "test")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(5), nn.Linear(5, 10)),
            "layer '1' of the module is lazy: 'weight' has no size",
        ),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).double(),
            "parameter '1.weight' of the module is float64, expected float32",
        ),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).half(), "is float16, expected float32: leave .double()"),
    ],
)
@pytest.mark.parametrize("what", ["footprint", "build"])
def test_modules_whose_weights_have_no_size_or_another_type(make, words, what):
    class Strange(NetworkOptions):
        kind: Literal["strange"] = "strange"

        def module(self, shape, outputs):
            return make()

    with pytest.raises(Refusal) as error:
        getattr(Strange(data=CIFAR), what)(context(dtype=torch.float32))
    assert words in str(error.value)
