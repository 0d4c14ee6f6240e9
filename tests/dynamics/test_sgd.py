"""SGD against torch's own, and its sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dynamics.test_quadratic import regression
from tests.engine_tools import load, tables
from tests.models import FreeSpins, begin, dynamics

import glassyrun
from glassyrun import Batches, Evaluation, State, Stream, System, Tilted
from glassyrun.batches import Permutation


class Level(System):
    """Flat space without an energy."""

    def __init__(self) -> None:
        self.dof, self.terms, self.blocks = 3, 1, {"x": slice(0, 3)}

    def initial(self, streams: Sequence[Stream]) -> State:
        return State(torch.zeros(len(streams), 3, dtype=torch.float64))

    def energy(self, state: State, terms: torch.Tensor | None = None) -> torch.Tensor:
        return state.x.new_zeros(state.replicas)

    def gradient(self, state: State, batch: torch.Tensor | None = None) -> Evaluation:
        return Evaluation(self.energy(state), torch.zeros_like(state.x))


FLOWS = [
    ("quench", {"dt": 0.05}, 0.05),
    ("quench", {"dt": 0.05, "scheme": "heun"}, 0.05),
    ("langevin", {"dt": 0.05}, 0.05),
    ("sgd", {"learning_rate": 0.02}, 0.02),
    ("sgd", {"learning_rate": 0.02, "momentum": 0.9}, 0.2),
    ("sgd", {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True}, 0.2),
]


@pytest.mark.parametrize(
    ("momentum", "weight_decay", "nesterov"),
    [(0.0, 0.0, False), (0.9, 0.0, False), (0.5, 0.01, False), (0.0, 0.1, False), (0.9, 0.0, True), (0.5, 0.01, True)],
)
def test_equals_torch_optim(momentum: float, weight_decay: float, nesterov: bool) -> None:
    """Step by step, same batches, to float64 rounding."""
    system = regression()
    options = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    moves = dynamics("sgd", system, learning_rate=0.05, batch_size=4, **options)
    state = begin(system, moves, 1)
    w = torch.nn.Parameter(state.x[0].clone())
    optimiser = torch.optim.SGD([w], lr=0.05, **options)
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


def test_nesterov_without_momentum_is_refused() -> None:
    table = tables("quadratic", "sgd", dynamics={"kind": "sgd", "nesterov": True})
    with pytest.raises(glassyrun.GlassyrunError, match="dynamics: nesterov = true without momentum; give momentum"):
        load(table)


@pytest.mark.parametrize(("kind", "options", "flow"), FLOWS)
def test_time_along_the_gradient_flow(kind: str, options: dict[str, Any], flow: float) -> None:
    """Down a constant slope x goes −g·flow a step, once momentum has come up to it."""
    table = {"kind": kind, **options} | ({"temperature": 0.0} if kind == "langevin" else {})
    announced = load(tables("quadratic", kind, dynamics=table)).stages[0].flow_step
    system = Tilted(Level(), torch.ones(1, 3, dtype=torch.float64))
    moves = dynamics(kind, system, **{name: value for name, value in table.items() if name != "kind"})
    state = begin(system, moves, 1)
    moves.advance(system, state, 400)
    before = state.x.clone()
    moves.advance(system, state, 10)
    assert moves.flow_step == announced == pytest.approx(flow)
    torch.testing.assert_close(state.x - before, torch.full_like(before, 10 * flow), rtol=1e-9, atol=0)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_on_the_sphere_stays_tangent(nesterov: bool) -> None:
    system = Tilted(FreeSpins(6), torch.ones(1, 6, dtype=torch.float64))
    moves = dynamics("sgd", system, learning_rate=0.1, momentum=0.9, nesterov=nesterov)
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
