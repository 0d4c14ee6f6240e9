"""Energy and gradient of the p-spin against sums over the couplings one by one, in float64."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch

from glassyrun import State, Tilted
from glassyrun_pspin import kernel

MODELS = {
    "p2": {"n": 9, "p": 2},
    "p3": {"n": 9, "p": 3},
    "p4": {"n": 7, "p": 4},
    "p5": {"n": 6, "p": 5},
    "p2_no_diagonals": {"n": 9, "p": 2, "diagonals": False},
    "p3_no_diagonals": {"n": 9, "p": 3, "diagonals": False},
    "p4_no_diagonals": {"n": 8, "p": 4, "diagonals": False},
    "p5_no_diagonals": {"n": 8, "p": 5, "diagonals": False},
    "mixture": {"n": 7, "mixture": {"2": 0.5, "3": -1.0, "4": 0.7}},
    "mixture_no_diagonals": {"n": 8, "mixture": {"3": 1.0, "5": 0.4}, "diagonals": False},
    "binary": {"n": 9, "couplings": "binary"},
    "planted": {"n": 8, "initial_temperature": 0.7},
    "diluted": {"n": 20, "dilution": 900},
    "diluted_p2": {"n": 12, "p": 2, "dilution": 3.0},
}
MODES = ("compiled", "products")


@pytest.fixture(params=MODES)
def mode(request, monkeypatch):
    """The compiled loops of the CPU, and the matrix products that a GPU runs."""
    monkeypatch.setattr(kernel, "serves", lambda x: request.param == "compiled")


def terms_of(system):
    """J and sites of each term, read off one term at a time: H = −J x…x, and its gradient at (1, 1, …) names the sites."""
    couplings, sites = [], []
    flat = torch.ones(1, system.n, dtype=torch.float64)
    for term in range(system.terms):
        look = system.gradient(State(flat), torch.tensor([[term]]))
        value = -float(look.energy[0]) / system.terms
        times = (-look.gradient[0] / system.terms / value).round().long()
        couplings.append(value)
        sites.append(tuple(i for i in range(system.n) for _ in range(int(times[i]))))
    return couplings, sites


def brute_energy(couplings, sites, x):
    return -sum(j * x[:, list(s)].prod(1) for j, s in zip(couplings, sites, strict=True))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("replicas", [1, 3, 5])
def test_energy_and_gradient_are_those_of_the_sum_over_couplings(name, replicas, pspin, mode):
    system = pspin(**MODELS[name])
    couplings, sites = terms_of(system)
    x = torch.randn(replicas, system.n, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    energy = brute_energy(couplings, sites, x)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    state = State(x.detach())
    look = system.gradient(state)
    torch.testing.assert_close(look.energy, energy.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(system.energy(state), energy.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(look.gradient, gradient, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("diluted")])
def test_each_set_of_sites_is_one_term(name, pspin):
    options = MODELS[name]
    system = pspin(**options)
    _, sites = terms_of(system)
    chosen = itertools.combinations_with_replacement if options.get("diagonals", True) else itertools.combinations
    degrees = [int(p) for p in options.get("mixture", {options.get("p", 3): 1})]
    expected = [s for p in sorted(degrees) for s in chosen(range(system.n), p)]
    assert Counter(sites) == Counter(expected)


def test_diluted_tuples_have_different_sites_and_the_variance_of_the_conventions(pspin):
    system = pspin(n=20, dilution=900)
    couplings, sites = terms_of(system)
    assert len(sites) == 900
    assert all(len(set(s)) == 3 for s in sites)
    variance = sum(j * j for j in couplings) / 900
    assert variance == pytest.approx(20 / 1800, rel=0.2)


@pytest.mark.parametrize("name", MODELS)
def test_all_terms_as_one_batch_are_the_full_gradient(name, pspin):
    system = pspin(**MODELS[name])
    state = State(torch.randn(2, system.n, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    order = torch.randperm(system.terms, generator=torch.Generator().manual_seed(3)).repeat(2, 1)
    full, batch = system.gradient(state), system.gradient(state, order)
    torch.testing.assert_close(batch.energy, full.energy, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(batch.gradient, full.gradient, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(system.energy(state, order[0]), full.energy, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["p3", "mixture", "diluted"])
def test_minibatches_are_unbiased(name, pspin):
    """The mean over all batches of one term, exactly; each replica has a batch of its own."""
    system = pspin(**MODELS[name])
    x = torch.randn(1, system.n, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    every = system.gradient(State(x.repeat(system.terms, 1)), torch.arange(system.terms).unsqueeze(1))
    full = system.gradient(State(x))
    torch.testing.assert_close(every.gradient.mean(0), full.gradient[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(every.energy.mean(), full.energy[0], rtol=1e-10, atol=1e-10)


def test_a_batch_cut_into_chunks_is_the_same_batch(pspin, monkeypatch):
    from glassyrun_pspin import system as module

    system = pspin(n=9)
    state = State(torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))
    batch = torch.randint(system.terms, (2, 40), generator=torch.Generator().manual_seed(6))
    whole = system.gradient(state, batch)
    monkeypatch.setattr(module, "CHUNK", 14)
    torch.testing.assert_close(system.gradient(state, batch).gradient, whole.gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", [2, 3, 4])
def test_energy_is_homogeneous(p, pspin):
    system = pspin(n=8, p=p)
    x = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(system.energy(State(1.5 * x)), 1.5**p * system.energy(State(x)), rtol=1e-12, atol=0)


def test_loops_and_products_agree_in_single_precision(pspin, monkeypatch):
    system = pspin(n=96, dtype=torch.float32)
    state = system.initial([system.context.stream("start").child(r) for r in range(6)])
    loops = system.gradient(state)
    monkeypatch.setattr(kernel, "serves", lambda x: False)
    products = system.gradient(state)
    torch.testing.assert_close(loops.gradient, products.gradient, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loops.energy, products.energy, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_shares_of_threads_cover_the_work(threads, pspin, monkeypatch):
    """The same gradient however many threads take part."""
    system = pspin(n=40)
    state = system.initial([system.context.stream("start").child(r) for r in range(2)])
    alone = system.gradient(state).gradient
    monkeypatch.setattr(kernel, "LEAST_WORK", 100)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3 * threads)
    torch.testing.assert_close(system.gradient(state).gradient, alone, rtol=1e-11, atol=1e-11)


def test_a_look_touches_nothing_and_repeats(pspin):
    system = pspin(n=30, dtype=torch.float32)
    state = system.initial([system.context.stream("start")])
    before = state.copy()
    first, second = system.gradient(state), system.gradient(state)
    assert torch.equal(first.gradient, second.gradient)
    assert torch.equal(state.x, before.x)
    assert first.memory == {}


def test_a_field_tilts_the_energy(pspin):
    system = pspin(n=8)
    field = torch.linspace(-1, 1, 8, dtype=torch.float64).unsqueeze(0)
    state = system.initial([system.context.stream("start")])
    tilted = Tilted(system, field)
    torch.testing.assert_close(tilted.gradient(state).gradient, system.gradient(state).gradient - field)
