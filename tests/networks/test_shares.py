"""Replicas on several threads at once: each is what it is by itself, and the bits repeat."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch

from glassyrun import State, thread_count, together, torch_alone
from tests.models import streams
from tests.networks.toy import any_module, tiny_cnn


@pytest.fixture(params=[2, 3])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def alone(state: State, r: int) -> State:
    return State(state.x[r : r + 1], system={name: value[r : r + 1] for name, value in state.system.items()})


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("make", [tiny_cnn, lambda: any_module("batch_norm")], ids=["cnn", "batch norm"])
def test_each_replica_is_what_it_is_by_itself(make) -> None:
    network = make()
    state = network.initial(streams(5))
    batch = torch.stack([torch.randperm(network.terms, generator=torch.Generator().manual_seed(r))[:4] for r in range(5)])
    for terms in (None, batch):
        look, again = network.gradient(state, terms), network.gradient(state, terms)
        assert torch.equal(look.gradient, again.gradient)
        assert torch.equal(look.energy, again.energy)
        for r in range(5):
            own = network.gradient(alone(state, r), None if terms is None else terms[r : r + 1])
            torch.testing.assert_close(look.gradient[r : r + 1], own.gradient, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(look.energy[r : r + 1], own.energy, rtol=1e-12, atol=0)
            for name, value in own.memory.items():
                torch.testing.assert_close(look.memory[name][r : r + 1], value, rtol=1e-10, atol=1e-12)
    reading = network.evaluate(state)
    for r in range(5):
        torch.testing.assert_close(reading.loss[r : r + 1], network.evaluate(alone(state, r)).loss, rtol=1e-12, atol=0)


@pytest.mark.usefixtures("_threads")
def test_torch_keeps_to_one_thread_and_gets_its_own_back() -> None:
    before = torch.get_num_threads()
    with torch_alone():
        assert torch.get_num_threads() == 1
        assert thread_count() == before
        seen: dict[int, tuple[int, int]] = {}
        together(lambda part: seen.__setitem__(part, (torch.get_num_threads(), thread_count())), before)
        assert seen == dict.fromkeys(range(before), (1, 1))
        assert (torch.get_num_threads(), thread_count()) == (1, before)
    assert torch.get_num_threads() == thread_count() == before


def test_a_refusal_in_a_share_is_the_users_to_read() -> None:
    network = tiny_cnn()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(IndexError):
            network.gradient(network.initial(streams(2)), torch.full((2, 3), 10**6))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_a_network_goes_with_its_data_when_it_is_let_go() -> None:
    """Without waiting for a collection: the next sample's data would lie beside it."""
    network = tiny_cnn()
    network.gradient(network.initial(streams(3)))
    held = weakref.ref(network._parts["train"])
    gc.disable()
    try:
        del network
        assert held() is None
    finally:
        gc.enable()
