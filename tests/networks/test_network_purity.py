"""Looking at a network touches nothing, a start is a function of its stream, batch norm's memory is the caller's to commit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from glassyrun import State, Stream
from tests.models import begin, context, dynamics, streams
from tests.networks.toy import ToyImages, any_module, normalised, plain_module, tiny_cnn

NETWORKS = {"cnn": tiny_cnn, "batch_norm": lambda: any_module("batch_norm"), "counting": lambda: any_module("counting")}


def generators() -> tuple[bytes, bytes]:
    """Of torch and NumPy; Python's own is moved by the type checks that the tests run under."""
    return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()  # noqa: NPY002


@pytest.mark.parametrize("name", NETWORKS)
def test_no_global_generator_is_moved(name):
    before = generators()
    network = NETWORKS[name]()
    state = network.initial(streams(2))
    network.energy(state)
    network.gradient(state)
    network.gradient(state, torch.zeros(2, 3, dtype=torch.int64) + torch.arange(3))
    assert generators() == before


@pytest.mark.parametrize("name", NETWORKS)
def test_looking_does_not_touch_the_state(name):
    network = NETWORKS[name]()
    state = network.initial(streams(2))
    state.system = network.gradient(state).memory
    copy = state.copy()
    looks = [network.gradient(state), network.gradient(state)]
    network.energy(state)
    network.evaluate(state, "test")
    assert torch.equal(state.x, copy.x)
    assert state.system.keys() == copy.system.keys()
    assert all(torch.equal(state.system[name], copy.system[name]) for name in copy.system)
    assert torch.equal(looks[0].gradient, looks[1].gradient)
    assert all(torch.equal(looks[0].memory[name], looks[1].memory[name]) for name in looks[0].memory)
    assert not state.x.requires_grad
    assert not looks[0].gradient.requires_grad
    assert not looks[0].energy.requires_grad


def test_a_look_does_not_depend_on_earlier_ones():
    network = any_module("batch_norm")
    state = network.initial(streams(1))
    first = network.gradient(state)
    elsewhere = network.initial(streams(1, seed=5))
    elsewhere.system = network.gradient(elsewhere).memory
    network.energy(elsewhere)
    assert torch.equal(network.gradient(state).gradient, first.gradient)


def test_the_same_stream_is_the_same_start():
    network = any_module("batch_norm")
    one, two = Stream("start/0", 1, 0), Stream("start/1", 1, 0)
    state = network.initial([one, two, one])
    assert torch.equal(state.x[0], state.x[2])
    assert not torch.equal(state.x[0], state.x[1])
    torch.rand(3)
    assert torch.equal(network.initial([one]).x, state.x[:1])
    assert torch.equal(any_module("batch_norm", torch.float32).initial([one]).x.double(), state.x[:1])


def test_the_start_is_torchs_own():
    network = tiny_cnn(torch.float32)
    x = network.initial(streams(1)).x[0]
    first = x[network.blocks["conv1"]]
    assert first.abs().max() <= 1 / 75**0.5
    assert first.std() == pytest.approx(1 / (3 * 75) ** 0.5, rel=0.1)


def test_batch_norm_statistics_are_memory():
    network = any_module("batch_norm")
    state = network.initial(streams(2))
    assert {name: tuple(value.shape) for name, value in state.system.items()} == {
        "1.running_mean": (2, 4),
        "1.running_var": (2, 4),
        "1.num_batches_tracked": (2,),
    }
    batch = torch.arange(14).view(2, 7)
    data = ToyImages().load(context())
    images = normalised(data, "train", torch.float64)
    for looks in (1, 2):
        state.system = network.gradient(state, batch).memory
        for r in range(2):
            module = plain_module(network, state.x[r]).train()
            for _ in range(looks):
                module(images[batch[r]])
            for name, value in module.named_buffers():
                torch.testing.assert_close(state.system[name][r], value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "counter"), [("batch_norm", "1.num_batches_tracked"), ("counting", "calls")])
@pytest.mark.parametrize("chunk", [500, 9])
def test_each_look_counts_once(name, counter, chunk):
    network = any_module(name, chunk=chunk)
    state = network.initial(streams(1))
    for looks in (1, 2, 3):
        state.system = network.gradient(state).memory
        assert state.system[counter].tolist() == [looks]


def test_running_mean_over_all_terms_is_the_mean_over_chunks():
    network = any_module("counting", chunk=9)
    state = network.initial(streams(1))
    memory = network.gradient(state).memory
    seen = normalised(ToyImages().load(context()), "train", torch.float64).mean((2, 3)).mean(0)
    torch.testing.assert_close(memory["mean"][0], 0.1 * seen, rtol=1e-12, atol=1e-15)


def test_the_cut_of_batch_norm_is_fixed_and_seeded():
    network, again = any_module("batch_norm", chunk=20), any_module("batch_norm", chunk=20)
    state = network.initial(streams(1))
    gradient = network.gradient(state).gradient
    assert torch.equal(again.gradient(state).gradient, gradient)
    for other in (any_module("batch_norm", chunk=15), any_module("batch_norm", chunk=20, seed=2)):
        assert not torch.allclose(other.gradient(state).gradient, gradient, rtol=1e-3)
    assert "drawn from the seed" in network.provenance["network_chunk"]
    assert "in the order of the data set" in tiny_cnn().provenance["network_chunk"]


def test_a_batch_of_batch_norm_is_never_cut():
    state = any_module("batch_norm").initial(streams(1))
    batch = torch.arange(40).unsqueeze(0)
    looks = [any_module("batch_norm", chunk=chunk).gradient(state, batch).gradient for chunk in (500, 10)]
    assert torch.equal(*looks)


def test_evaluation_mode_uses_the_running_statistics():
    network = any_module("batch_norm")
    state = network.initial(streams(1))
    state.system = {
        "1.running_mean": torch.full((1, 4), 0.3, dtype=torch.float64),
        "1.running_var": torch.full((1, 4), 2.0, dtype=torch.float64),
        "1.num_batches_tracked": torch.ones(1, dtype=torch.int64),
    }
    data = ToyImages().load(context())
    module = plain_module(network, state.x[0])
    module.load_state_dict({**module.state_dict(), **{name: value[0] for name, value in state.system.items()}})
    loss = F.cross_entropy(module(normalised(data, "train", torch.float64)), data.train_y)
    assert network.energy(state).item() == pytest.approx(loss.item(), rel=1e-12)


def test_replicas_do_not_meet():
    network = any_module("batch_norm")
    state = network.initial(streams(3))
    alone = State(state.x[1:2], system={name: value[1:2] for name, value in state.system.items()})
    batch = torch.arange(21).view(3, 7)
    together, apart = network.gradient(state, batch), network.gradient(alone, batch[1:2])
    assert torch.equal(together.gradient[1], apart.gradient[0])
    assert torch.equal(network.energy(state)[1], network.energy(alone)[0])


@pytest.mark.parametrize("kind", ["sgd", "langevin", "quench"])
def test_readings_leave_the_trajectory_as_it_is(kind):
    network = any_module("batch_norm", torch.float32)
    options = {
        "sgd": {"batch_size": 6, "momentum": 0.5},
        "langevin": {"dt": 0.01, "temperature": 1e-3},
        "quench": {"dt": 0.01},
    }[kind]
    ends = []
    for reads in (False, True):
        moves = dynamics(kind, network, **options)
        state = begin(network, moves, replicas=2)
        for _ in range(5):
            moves.advance(network, state, 1)
            if reads:
                network.evaluate(state, "test")
                network.energy(state, torch.arange(5))
                network.gradient(state)
        ends.append(state)
    assert torch.equal(ends[0].x, ends[1].x)
    assert all(torch.equal(ends[0].system[name], ends[1].system[name]) for name in ends[0].system)


def test_learns():
    network = tiny_cnn(torch.float32, channels=(8, 8), hidden=20)
    sgd = dynamics("sgd", network, learning_rate=0.02, batch_size=10, momentum=0.9)
    state = begin(network, sgd, replicas=1)
    before = network.evaluate(state, "test")
    sgd.advance(network, state, 100)
    after = network.evaluate(state, "test")
    assert before.accuracy < 0.6
    assert after.accuracy > 0.9
    assert after.loss < before.loss / 3


def test_deterministic_algorithms_serve():
    torch.use_deterministic_algorithms(True)
    try:
        network = any_module("batch_norm")
        state = network.initial(streams(1))
        assert torch.equal(network.gradient(state).gradient, network.gradient(state).gradient)
        tiny_cnn().gradient(tiny_cnn().initial(streams(1)))
    finally:
        torch.use_deterministic_algorithms(False)
