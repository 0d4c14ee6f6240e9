"""Running statistics recomputed with the weights as they are, and batches too small for batch norm."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import update_bn

from glassyrun import Refusal
from tests.models import begin, context, dynamics, streams
from tests.networks.toy import ToyImages, any_module, normalised, plain_module, tiny_cnn, tiny_mlp


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("chunk", [500, 20])
def test_recalibrated_statistics_are_those_of_update_bn(together, chunk):
    network = any_module("batch_norm", together=together, chunk=chunk)
    state = network.initial(streams(2))
    state.system = network.gradient(state, torch.arange(10).view(2, 5)).memory
    found = network.recalibrated(state)
    data = ToyImages().load(context())
    images = normalised(data, "train", torch.float64)
    cut = images[network._order].tensor_split(-(-60 // chunk))
    for r in range(2):
        module = plain_module(network, state.x[r])
        update_bn(cut, module)
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(found.system[f"1.{name}"][r], getattr(module[1], name), rtol=1e-11, atol=1e-13)
        loss = F.cross_entropy(module.eval()(images), data.train_y)
        assert network.energy(found)[r].item() == pytest.approx(loss.item(), rel=1e-11)


@pytest.mark.parametrize("together", [False, True])
def test_recalibrating_touches_nothing(together):
    network = any_module("batch_norm", together=together)
    state = network.initial(streams(2))
    state.system = network.gradient(state).memory
    copy, look = state.copy(), network.gradient(state)
    first, again = network.recalibrated(state), network.recalibrated(state)
    assert torch.equal(state.x, copy.x)
    assert all(torch.equal(value, copy.system[name]) for name, value in state.system.items())
    assert all(torch.equal(value, again.system[name]) for name, value in first.system.items())
    assert not torch.allclose(first.system["1.running_var"], state.system["1.running_var"])
    after = network.gradient(state)
    assert torch.equal(look.gradient, after.gradient)
    assert all(torch.equal(value, after.memory[name]) for name, value in look.memory.items())


def test_running_statistics_lag_behind_a_trajectory_and_recomputed_ones_do_not():
    """What a reading of the energy early in a run mostly measures."""
    network = any_module("batch_norm", chunk=60)
    sgd = dynamics("sgd", network, batch_size=20, learning_rate=0.1)
    state = begin(network, sgd, replicas=1)
    sgd.advance(network, state, 3)
    in_training_mode = network.gradient(state).energy
    lagging, recomputed = network.energy(state), network.energy(network.recalibrated(state))
    assert abs(recomputed - in_training_mode) < 0.2 * abs(lagging - in_training_mode)


@pytest.mark.parametrize("make", [tiny_cnn, tiny_mlp])
def test_nothing_to_recompute(make):
    network = make()
    state = network.initial(streams(1))
    assert network.recalibrated(state) is state


def test_norms_that_are_not_torchs_own():
    network = any_module("counting")
    with pytest.raises(Refusal, match=r"not by torch's batch norm .* leave recalibrate out"):
        network.recalibrated(network.initial(streams(1)))


def test_batches_of_one_example():
    network = any_module("batch_norm")
    with pytest.raises(Refusal, match=r"dynamics\.batch_size: found 1, .*batch norm"):
        network.gradient(network.initial(streams(1)), torch.zeros(1, 1, dtype=torch.int64))
    with pytest.raises(Refusal, match=r"system\.chunk: found 1, which leaves a single example"):
        any_module("batch_norm", chunk=1)
    assert tiny_cnn(chunk=1).gradient(tiny_cnn().initial(streams(1)), torch.zeros(1, 1, dtype=torch.int64)).energy.isfinite()
