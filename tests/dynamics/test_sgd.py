"""SGD against torch's own, and its sampling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dynamics.test_quadratic import regression
from tests.models import FreeSpins, begin, dynamics

from glassyrun import Batches, Stream
from glassyrun.batches import Permutation


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.0), (0.5, 0.01), (0.0, 0.1)])
def test_equals_torch_optim(momentum: float, weight_decay: float) -> None:
    """Step by step, same batches, to float64 rounding."""
    system = regression()
    moves = dynamics("sgd", system, learning_rate=0.05, momentum=momentum, weight_decay=weight_decay, batch_size=4)
    state = begin(system, moves, 1)
    w = torch.nn.Parameter(state.x[0].clone())
    optimiser = torch.optim.SGD([w], lr=0.05, momentum=momentum, weight_decay=weight_decay)
    for step in range(40):
        batch = moves.draw(step, state).batch[0]
        optimiser.zero_grad()
        (0.5 * (system.inputs[batch] @ w - system.targets[batch]).square().mean()).backward()
        optimiser.step()
        moves.advance(system, state, 1)
        torch.testing.assert_close(state.x[0], w.detach(), rtol=1e-12, atol=1e-13)


def test_sgd_with_all_terms_is_a_quench_by_euler() -> None:
    system = regression()
    sgd, quench = dynamics("sgd", system, learning_rate=0.03), dynamics("quench", system, dt=0.03)
    one, two = begin(system, sgd, 2), begin(system, quench, 2)
    sgd.advance(system, one, 30)
    quench.advance(system, two, 30)
    torch.testing.assert_close(one.x, two.x, rtol=1e-13, atol=1e-14)


def test_momentum_on_the_sphere_stays_tangent() -> None:
    from glassyrun import Tilted

    system = Tilted(FreeSpins(6), torch.ones(1, 6, dtype=torch.float64))
    moves = dynamics("sgd", system, learning_rate=0.1, momentum=0.9)
    state = begin(system, moves, 3)
    moves.advance(system, state, 50)
    assert float(system.manifold.drift(state.x).abs().max()) < 1e-13
    assert float((state.x * state.dynamics["velocity"]).sum(1).abs().max()) < 1e-12


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 5000), seed=st.integers(0, 2**32), index=st.integers(0, 100))
def test_the_keyed_permutation_is_one(size: int, seed: int, index: int) -> None:
    import numpy as np

    order = Permutation.keyed(size, Stream("p", seed, 0), index)(np.arange(size))
    assert np.array_equal(np.sort(order), np.arange(size))


@settings(max_examples=40, deadline=None)
@given(terms=st.integers(1, 3000), size=st.integers(1, 400), seed=st.integers(0, 99))
def test_an_epoch_looks_at_every_term_at_most_once(terms: int, size: int, seed: int) -> None:
    import numpy as np

    size = min(size, terms)
    batches = Batches(Stream("b", seed, 0), terms, size)
    epoch = np.concatenate([batches.batch(step, 0) for step in range(batches.per_epoch)])
    assert len(np.unique(epoch)) == len(epoch) == terms - batches.left_out
    again = np.concatenate([batches.batch(step, 0) for step in reversed(range(batches.per_epoch))])
    assert np.array_equal(np.sort(again), np.sort(epoch))


def test_the_permutation_is_uniform() -> None:
    """Over keys, each position goes to each place equally often: χ² over 7 places below its 99.99 % point."""
    import numpy as np
    from scipy.stats import chi2

    counts = np.zeros((7, 7))
    for index in range(4000):
        order = Permutation.keyed(7, Stream("u", 5, 0), index)(np.arange(7))
        counts[np.arange(7), order] += 1
    expected = 4000 / 7
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < chi2.ppf(0.9999, 36)


def test_batches_for_a_hundred_million_terms_need_no_table() -> None:
    batches = Batches(Stream("b", 1, 0), 10**8, 100)
    drawn = batches.batch(123_456, 1)
    assert drawn.min() >= 0
    assert drawn.max() < 10**8
    assert sum(rows.nbytes for _, rows in batches._worked_out.values()) < 10**5


def test_with_replacement_draws_repeat() -> None:
    batches = Batches(Stream("b", 1, 0), 5, 50, "with_replacement")
    assert sorted(set(batches.batch(0, 0))) == [0, 1, 2, 3, 4]


def test_replicas_have_their_own_batches() -> None:
    drawn = Batches(Stream("b", 1, 0), 1000, 10).draw(0, 2, torch.device("cpu"))
    assert not torch.equal(drawn[0], drawn[1])
