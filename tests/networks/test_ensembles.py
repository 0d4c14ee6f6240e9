"""Replicas together are what each is by itself, up to rounding; each has its own batch, memory and gradient."""

from __future__ import annotations

import pytest
import torch

from glassyrun import Refusal, State
from glassyrun_networks import forward
from glassyrun_networks.mlp import MlpOptions
from tests.models import begin, context, dynamics, streams
from tests.networks.toy import MODULES, ToyImages, ToyVectors, any_module, tiny_mlp


class MlpAlone(MlpOptions):
    together = False


def pair(name: str, **options):
    """The same network twice: replicas together, and one after another."""
    if name == "mlp":
        table = {"data": ToyVectors(), "widths": (6, 5), **options}
        return [kind(**table).build(context("system")) for kind in (MlpOptions, MlpAlone)]
    if name == "mlp of images":
        table = {"data": ToyImages(), "widths": (4,), "loss": "squared_error", "output": "sigmoid", **options}
        return [kind(**table).build(context("system")) for kind in (MlpOptions, MlpAlone)]
    return [any_module(name, together=together, **options) for together in (True, False)]


NAMES = ["mlp", "mlp of images", "batch_norm", "counting"]


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_look_at_batches_of_ones_own(name, replicas):
    batch = torch.arange(7 * replicas).view(replicas, 7)
    looks = []
    for network in pair(name):
        state = network.initial(streams(replicas))
        state.system = network.gradient(state, batch.flip(1)).memory
        looks.append(network.gradient(state, batch))
    together, alone = looks
    same(together.gradient, alone.gradient)
    same(together.energy, alone.energy)
    assert together.memory.keys() == alone.memory.keys()
    for key, value in alone.memory.items():
        assert value.dtype == together.memory[key].dtype
        same(together.memory[key], value)
    if replicas > 1:
        assert not torch.allclose(together.gradient[0], together.gradient[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chunk", [500, 9])
def test_a_look_at_all_terms_and_readings(name, chunk):
    found = []
    for network in pair(name, chunk=chunk):
        state = network.initial(streams(3))
        look = network.gradient(state)
        state.system = look.memory
        test, part = network.evaluate(state, "test"), network.energy(state, torch.arange(11))
        found.append([look.energy, look.gradient, network.energy(state), test.loss, test.accuracy, part])
    for together, alone in zip(*found, strict=True):
        same(together, alone)


@pytest.mark.parametrize("name", ["mlp", "batch_norm"])
def test_groups_of_replicas_change_nothing(name, monkeypatch):
    """More replicas than are looked at in one call."""
    network, _ = pair(name, chunk=10)
    state, batch = network.initial(streams(5)), torch.arange(20).view(5, 4)
    whole = [network.gradient(state), network.gradient(state, batch)]
    energies = network.energy(state)
    monkeypatch.setattr(forward, "TOGETHER", 1)
    calls = []
    call = type(network._forward).__call__
    monkeypatch.setattr(
        type(network._forward), "__call__", lambda s, t, x: calls.append(len(next(iter(t.values())))) or call(s, t, x)
    )
    parts = [network.gradient(state), network.gradient(state, batch)]
    assert sorted(set(calls)) == [1, 2]  # one replica at a chunk of 10, two at a batch of 4
    for one, other in zip(whole, parts, strict=True):
        same(one.gradient, other.gradient)
        same(one.energy, other.energy)
        for key, value in one.memory.items():
            same(value, other.memory[key])
    same(network.energy(state), energies)


def test_sgd_goes_the_same_way():
    ends = []
    for network in pair("mlp"):
        sgd = dynamics("sgd", network, batch_size=6, momentum=0.9, learning_rate=0.05)
        state = begin(network, sgd, replicas=4)
        sgd.advance(network, state, 25)
        ends.append(state.x)
    torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["mlp", "batch_norm"])
def test_replicas_do_not_meet(name):
    network, _ = pair(name)
    state = network.initial(streams(3))
    batch = torch.arange(21).view(3, 7)
    before = network.gradient(state, batch)
    other = State(state.x.clone(), system=state.system)
    other.x[2] = torch.nan
    other.x[0] += 1
    after = network.gradient(other, batch)
    same(before.gradient[1], after.gradient[1])
    assert after.gradient[0].isfinite().all()


def test_looking_together_does_not_touch_the_state():
    network, _ = pair("batch_norm")
    state = network.initial(streams(2))
    copy = state.copy()
    looks = [network.gradient(state), network.gradient(state)]
    network.energy(state)
    assert torch.equal(state.x, copy.x)
    assert all(torch.equal(value, copy.system[name]) for name, value in state.system.items())
    assert torch.equal(looks[0].gradient, looks[1].gradient)
    assert looks[0].memory["1.num_batches_tracked"].tolist() == [1, 1]


def test_the_mlp_is_together_and_others_are_not():
    assert tiny_mlp().provenance["network_replicas"] == "looked at together"
    assert any_module("batch_norm").provenance["network_replicas"] == "each looked at by itself"


@pytest.mark.parametrize(("like", "words"), [("branching", "it raised"), ("careless", "gives other outputs")])
def test_modules_that_cannot_be_together(like, words):
    assert any_module(like, together=False).dof == MODULES[like](3, 4).head.weight.numel() + 4
    with pytest.raises(Refusal) as refusal:
        any_module(like, together=True)
    told = str(refusal.value)
    assert words in told
    assert told.endswith("set together = False in its options")
    assert "\n" not in told


def test_large_outputs_that_cancel_mix_nothing():
    """Sums of large numbers differ by rounding between batches of two sizes; that is no mixing of examples."""
    for scale in (1.0, 1e30):
        network = tiny_mlp(torch.float32, init="uniform", init_scale=scale, widths=(300, 300, 300), activation="linear")
        assert "in the order of the data set" in network.provenance["network_chunk"]
