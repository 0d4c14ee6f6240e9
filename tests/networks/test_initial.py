"""Laws of initial weights, against their moments and bounds, and the neural tangent parametrisation."""

from __future__ import annotations

import gc
import weakref

import attrs
import pytest
import torch

from glassyrun import Refusal, State
from tests.models import begin, context, dynamics, streams
from tests.networks.toy import ToyImages, ToyVectors, any_module, normalised, outputs_of, tiny_cnn, tiny_mlp

WIDE = ToyVectors(features=400)


def layers(init: str, scale: float = 1.0, **options):
    """Weights and biases of a start of an mlp of widths 300 and 200, by layer."""
    network = tiny_mlp(data=WIDE, widths=(300, 200), init=init, init_scale=scale, **options)
    x = network.initial(streams(1)).x[0]
    found = []
    for name, into in (("hidden1", 400), ("hidden2", 300)):
        block = x[network.blocks[name]]
        out = len(block) // (into + 1)
        found.append((into, block[: into * out], block[into * out :]))
    return found


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_he_weights_have_variance_two_over_fan_in(scale):
    for into, weights, biases in layers("he", scale):
        assert weights.var().item() == pytest.approx(scale**2 * 2 / into, rel=0.02)
        assert abs(weights.mean().item()) < 4 * (2 / into / len(weights)) ** 0.5
        assert weights.abs().max() > scale * (6 / into) ** 0.5  # normal, not uniform
        assert (biases == 0).all()


def test_he_fan_in_of_a_convolution():
    network = tiny_cnn(init="he", channels=(60, 4))
    weights = network.initial(streams(1)).x[0][network.blocks["conv1"]][: 60 * 75]
    assert weights.var().item() == pytest.approx(2 / 75, rel=0.1)


@pytest.mark.parametrize("a", [1.0, 0.05])
def test_uniform_weights_fill_their_interval(a):
    for _, weights, biases in layers("uniform", a):
        for drawn in (weights, biases):
            assert drawn.abs().max() <= a
            assert drawn.max() > 0.95 * a
            assert drawn.min() < -0.95 * a
        assert weights.var().item() == pytest.approx(a**2 / 3, rel=0.02)


def test_ntk_weights_are_of_unit_variance():
    for _, weights, biases in layers("ntk"):
        assert weights.var().item() == pytest.approx(1, rel=0.02)
        assert biases.var().item() == pytest.approx(1, rel=0.4)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_torchs_own_times_a_scale(scale):
    for (into, weights, biases), (_, ones, others) in zip(layers("torch", scale), layers("torch"), strict=True):
        torch.testing.assert_close(weights, scale * ones, rtol=1e-6, atol=0)
        torch.testing.assert_close(biases, scale * others, rtol=1e-6, atol=0)
        assert ones.abs().max() <= into**-0.5
        assert ones.var().item() == pytest.approx(1 / (3 * into), rel=0.02)


def test_ntk_outputs_do_not_depend_on_the_width():
    """Linear, no biases: outputs are sums of `width` terms of variance |input|²/(fan_in · width)."""
    data = ToyVectors(features=10, classes=3)
    seen = normalised(data.load(context()), "train", torch.float64)[:1]
    variances = []
    for width in (5, 80):
        network = tiny_mlp(data=data, init="ntk", widths=(width,), activation="linear", bias=False)
        state = network.initial(streams(1500))
        variances.append(outputs_of(network, state.x, seen).var().item())
    expected = seen.square().mean().item()
    assert variances == pytest.approx([expected, expected], rel=0.12)


def test_ntk_multiplies_where_weights_are_used():
    network = tiny_mlp(init="ntk", data=ToyVectors(features=9), widths=(4,))
    state = network.initial(streams(1))
    standard = tiny_mlp(data=ToyVectors(features=9), widths=(4,))
    row = state.x[0].clone()
    row[:36] /= 3  # 9 inputs of each hidden neuron
    row[40:52] /= 2  # 4 of each output
    moved = State(row.unsqueeze(0))
    torch.testing.assert_close(network.energy(state), standard.energy(moved), rtol=1e-13, atol=0)
    slope, theirs = network.gradient(state).gradient[0], standard.gradient(moved).gradient[0]
    torch.testing.assert_close(slope[:36], theirs[:36] / 3, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(slope[36:40], theirs[36:40], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(slope[40:52], theirs[40:52] / 2, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("make", [tiny_mlp, tiny_cnn])
def test_ntk_gradient_is_the_derivative_of_the_energy(make):
    network = make(init="ntk")
    state = network.initial(streams(2))
    gradient = network.gradient(state).gradient
    chance = torch.Generator().manual_seed(3)
    for _ in range(3):
        direction = torch.randn(network.dof, generator=chance, dtype=torch.float64)
        direction /= direction.norm()
        ahead, behind = (network.energy(State(state.x + h * direction)) for h in (1e-6, -1e-6))
        assert (ahead - behind) / 2e-6 == pytest.approx(gradient @ direction, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("init", ["torch", "he", "uniform", "ntk"])
def test_norm_layers_begin_as_they_are(init):
    network = any_module("batch_norm", init=init, init_scale=0.3)
    x = network.initial(streams(2)).x
    norm = x[:, network.blocks["1"]]
    assert torch.equal(norm, torch.tensor([1.0] * 4 + [0.0] * 4, dtype=torch.float64).expand(2, -1))
    assert not torch.equal(x[0], x[1])


def test_the_same_stream_is_the_same_start():
    network = tiny_mlp(init="he")
    again, other = network.initial(streams(2)), network.initial(streams(2, seed=5))
    assert torch.equal(network.initial(streams(2)).x, again.x)
    assert not torch.equal(again.x, other.x)
    before = torch.get_rng_state()
    network.initial(streams(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_law_that_does_not_speak_of_the_module():
    assert any_module("counting", init="torch").dof == 17
    for init in ("he", "uniform", "ntk"):
        with pytest.raises(
            Refusal, match=f"""system.init: "{init}" speaks of .* is a Counting .* take init = "torch\""""
        ) as told:
            any_module("counting", init=init)
        assert "\n" not in str(told.value)


def test_no_weights_of_a_networks_own_are_kept():
    """Only the State holds weights, and of the data there is what the data set itself holds."""
    network = tiny_mlp()
    module = network._forward.module
    assert all(parameter.is_meta for parameter in module.parameters())
    sgd = dynamics("sgd", network, batch_size=6)
    sgd.advance(network, begin(network, sgd, replicas=2), 2)
    network.energy(network.initial(streams(1)))
    assert all(parameter.is_meta for parameter in module.parameters())


def test_data_lies_in_memory_once():
    """Images that lie as they are in the file, channel last, are not copied; nothing holds on to the data set itself."""
    held = []

    class Kept(ToyImages):
        def load(self, context):
            data = super().load(context)
            held.append(data.train_x.movedim(1, -1).contiguous().movedim(-1, 1))
            made = attrs.evolve(data, train_x=held[0])
            held.append(weakref.ref(made))
            return made

    network = tiny_cnn(data=Kept())
    gc.collect()
    assert network._parts["train"].stored.dtype == torch.uint8
    assert network._parts["train"].stored.data_ptr() == held[0].data_ptr()
    assert held[1]() is None
