"""D(t_w) against brute force over all mini-batches, and against the diffusion that it must explain."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from scipy import stats
from tests.engine_tools import load, tables
from tests.models import FreeSpins, begin, context, dynamics
from tests.networks.toy import ModuleOptions, ToyImages, tiny_cnn
from tests.observables.tools import built, normal, read

import glassyrun
from glassyrun import Dynamics, Evaluation, Refusal, Schedule, Snapshot, State, Stream, System
from glassyrun.plan import plan
from glassyrun_networks.mlp import MlpOptions
from glassyrun_observables.gradient_noise import GradientNoise, GradientNoiseOptions
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import QuadraticOptions

SAMPLINGS = ("without_replacement", "with_replacement")
SYSTEMS: dict[str, Any] = {
    "quadratic": lambda: QuadraticOptions(n=3, terms=6, noise=0.3).build(context("system")),
    "pspin": lambda: PSpinOptions(p=2, n=3).build(context("system")),
    "mlp": lambda: MlpOptions(widths=(3,), data=ToyImages(train=4, side=1, channels=2)).build(context("system")),
    "cnn": lambda: tiny_cnn(data=ToyImages(train=4)),
    "batch_norm": lambda: ModuleOptions(data=ToyImages(train=4), like="batch_norm").build(context("system")),
}


ANY_GRIDS = Schedule.of(load(tables("quadratic", "sgd")))
"""Gradient noise asks nothing of the grids."""


def all_batches(terms: int, size: int, sampling: str) -> list[tuple[int, ...]]:
    """Every batch of a law, each as likely as any other."""
    if sampling == "with_replacement":
        return list(itertools.product(range(terms), repeat=size))
    return list(itertools.combinations(range(terms), size))


def somewhere(system: System) -> State:
    return system.initial([Stream("somewhere", 5, 0)])


def repeated(state: State, times: int) -> State:
    memory = {name: value.expand(times, *value.shape[1:]).clone() for name, value in state.system.items()}
    return State(state.x.expand(times, -1).clone(), system=memory)


def slopes(system: System, state: State, batches: Sequence[Sequence[int]]) -> torch.Tensor:
    """Tangent gradients of one configuration from each of many batches, [batch, dof]."""
    many = repeated(state, len(batches))
    return system.manifold.project(many.x, system.gradient(many, torch.tensor(batches)).gradient)


def brute_force(system: System, state: State, size: int, sampling: str) -> tuple[float, float]:
    """D and |mean gradient|²/dof over all mini-batches."""
    each = slopes(system, state, all_batches(system.terms, size, sampling)).numpy()
    mean = each.mean(0)
    return float(((each - mean) ** 2).sum(1).mean() / system.dof), float(mean @ mean / system.dof)


def estimates(system: System, sequences: Sequence[Sequence[Sequence[int]]], moves: Dynamics, count: Any) -> dict[str, Any]:
    """One reading for each sequence of batches: replica r of the reading is shown the r-th sequence."""
    observable = built(GradientNoiseOptions(batches=count), system)
    table = torch.tensor(sequences)
    observable._batches = lambda now, law: iter(table.unbind(1))
    return read(observable, system, repeated(somewhere(system), len(table)), moves=moves)


CASES = [
    *(
        (name, count, sampling)
        for name, count in (("quadratic", 2), ("quadratic", 3), ("pspin", 2), ("mlp", 2))
        for sampling in SAMPLINGS
    ),
    ("cnn", 2, "without_replacement"),
    ("batch_norm", 2, "without_replacement"),
]


@pytest.mark.parametrize(("name", "count", "sampling"), CASES)
def test_unbiased_over_all_sequences_of_independent_batches(name: str, count: int, sampling: str) -> None:
    """The mean estimate over every sequence of K batches is D itself, and |mean gradient|² itself, whatever K is."""
    system = SYSTEMS[name]()
    moves = dynamics("sgd", system, batch_size=2, sampling=sampling)
    batches = all_batches(system.terms, 2, sampling)
    values = estimates(system, list(itertools.product(batches, repeat=count)), moves, count)
    noise, mean = brute_force(system, somewhere(system), 2, sampling)
    assert np.nanmean(values["gradient_noise"]) * np.isfinite(values["gradient_noise"]).mean() == pytest.approx(noise, rel=1e-10)
    assert values["gradient_noise_mean"].mean() == pytest.approx(mean, rel=1e-9)


def partitions(terms: int, size: int) -> list[list[list[int]]]:
    """Every order in which an epoch may go through disjoint batches."""
    found: list[list[list[int]]] = [[]]
    for _ in range(terms // size):
        found = [
            [*done, list(batch)]
            for done in found
            for batch in itertools.combinations(sorted(set(range(terms)) - {term for part in done for term in part}), size)
        ]
    return found


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("terms", "size"), [(6, 2), (6, 3), (7, 2), (7, 3)])
def test_unbiased_over_all_epochs(terms: int, size: int, sampling: str) -> None:
    """With a rest that fills no batch and without; the mean of all terms has no noise left where there is none."""
    system = QuadraticOptions(n=3, terms=terms, noise=0.3).build(context("system"))
    moves = dynamics("sgd", system, batch_size=size, sampling=sampling)
    values = estimates(system, partitions(terms, size), moves, "epoch")
    noise, mean = brute_force(system, somewhere(system), size, sampling)
    assert values["gradient_noise"].mean() == pytest.approx(noise, rel=1e-10)
    assert values["gradient_noise_mean"].mean() == pytest.approx(mean, rel=1e-10)
    if terms % size == 0:
        np.testing.assert_allclose(values["gradient_noise_mean"], mean, rtol=1e-9)


def test_over_an_epoch_the_divisor_is_the_number_of_batches() -> None:
    system = SYSTEMS["quadratic"]()
    moves = dynamics("sgd", system, batch_size=2)
    parts = [[0, 3], [1, 5], [2, 4]]
    each = slopes(system, somewhere(system), parts).numpy()
    expected = ((each - each.mean(0)) ** 2).sum() / 3 / system.dof
    assert estimates(system, [parts], moves, "epoch")["gradient_noise"].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_batches_follow_the_law_of_the_run_and_are_independent(sampling: str) -> None:
    """χ² of all pairs of batches over 3000 replicas: each pair as likely as any other."""
    system = QuadraticOptions(n=2, terms=4).build(context("system"))
    moves = dynamics("sgd", system, batch_size=2, sampling=sampling)
    observable = built(GradientNoiseOptions(batches=2), system)
    now = Snapshot(system, moves, State(torch.zeros(3000, 2, dtype=torch.float64), step=7))
    first, second = (batch.numpy() for batch in observable._batches(now, moves.batches))
    if sampling == "without_replacement":
        first, second = np.sort(first, 1), np.sort(second, 1)
    law = all_batches(4, 2, sampling)
    places = {batch: k for k, batch in enumerate(law)}
    counts = np.zeros((len(law), len(law)))
    for one, two in zip(first, second, strict=True):
        counts[places[tuple(one)], places[tuple(two)]] += 1
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


@pytest.mark.parametrize("count", [3, "epoch"])
def test_the_batches_are_the_readings_own(count: Any) -> None:
    """Neither the run's at this step or the next ones, nor those of another time, of another observable, or of another replica."""
    system = QuadraticOptions(n=2, terms=40).build(context("system"))
    moves = dynamics("sgd", system, batch_size=8)

    def drawn(step: int, options: GradientNoiseOptions) -> list[np.ndarray]:
        now = Snapshot(system, moves, State(torch.zeros(2, 2, dtype=torch.float64), step=step))
        return [batch.numpy() for batch in built(options, system)._batches(now, moves.batches)]

    options = GradientNoiseOptions(batches=count)
    here = drawn(4, options)
    assert len(here) == (5 if count == "epoch" else 3)
    assert all(np.array_equal(one, two) for one, two in zip(here, drawn(4, options), strict=True))
    like = State(torch.zeros(2, 2, dtype=torch.float64))
    others = [moves.draw(step, like).batch.numpy() for step in range(12)]
    others += drawn(5, options) + drawn(4, GradientNoiseOptions(batches=count, name="other"))
    rows = {tuple(sorted(row)) for batch in here for row in batch}
    assert len(rows) == 2 * len(here)
    assert not rows & {tuple(sorted(row)) for batch in others for row in batch}
    if count == "epoch":
        assert np.array_equal(np.sort(np.concatenate(here, 1), 1), np.tile(np.arange(40), (2, 1)))


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("count", [2, 5])
def test_a_reading_of_many_replicas_finds_the_noise(count: int, sampling: str) -> None:
    """From its own draws, on the sphere: mean over 500 replicas at one point within 10 %."""
    system = SYSTEMS["pspin"]()
    moves = dynamics("sgd", system, batch_size=2, sampling=sampling)
    values = read(GradientNoiseOptions(batches=count), system, repeated(somewhere(system), 500), moves=moves)
    noise, mean = brute_force(system, somewhere(system), 2, sampling)
    assert np.nan_to_num(values["gradient_noise"]).mean() == pytest.approx(noise, rel=0.1)
    assert values["gradient_noise_mean"].mean() == pytest.approx(mean, rel=0.1, abs=0.05 * noise)


def test_no_noise_is_no_number() -> None:
    """A gradient that is 0 for every batch, and a stage that looks at all terms."""
    system = FreeSpins(4, terms=10)
    state = State(system.manifold.retract(normal(1, 3, 4)))
    values = read(GradientNoiseOptions(), system, state, moves=dynamics("sgd", system, batch_size=2))
    assert np.isnan(values["gradient_noise"]).all()
    assert values["gradient_noise_mean"].tolist() == [0, 0, 0]
    values = read(GradientNoiseOptions(), system, state, moves=dynamics("quench", system))
    assert all(np.isnan(value).all() for value in values.values())


def test_what_has_no_noise_is_refused() -> None:
    """Where no stage has mini-batches, or none has two in an epoch; one that has is enough."""
    system = QuadraticOptions(n=2, terms=6).build(context("system"))
    full, langevin = dynamics("quench", system), dynamics("langevin", system, temperature=0.1)
    sgd, large = dynamics("sgd", system, batch_size=2), dynamics("sgd", system, batch_size=4)
    observable = built(GradientNoiseOptions(), system)
    with pytest.raises(Refusal, match=r"observables\.gradient_noise: every step looks at all terms, .* give dynamics.batch_size"):
        observable.suits([full, langevin], ANY_GRIDS)
    observable.suits([full, sgd], ANY_GRIDS)
    observable.suits([large], ANY_GRIDS)
    epoch = built(GradientNoiseOptions(batches="epoch"), system)
    with pytest.raises(Refusal, match=r'batches: found "epoch", but an epoch of 6 terms has one batch of 4; give a number'):
        epoch.suits([large], ANY_GRIDS)
    epoch.suits([large, sgd], ANY_GRIDS)
    values = read(epoch, system, State(torch.ones(1, 2, dtype=torch.float64)), moves=large)
    assert np.isnan(values["gradient_noise"]).all()


def test_a_run_without_mini_batches_is_refused_before_it_begins() -> None:
    kinds = [{"kind": "gradient_noise"}]
    with pytest.raises(Refusal, match=r"observables\.gradient_noise: every step looks at all terms"):
        glassyrun.run(tables("quadratic", "quench", observables=kinds), quiet=True)
    dynamics = [{"kind": "sgd", "batch_size": 4, "until": 3.0}, {"kind": "quench", "dt": 0.5}]
    schedule = {"horizon": 6.0, "t_w": [0.0, 2.0, 3.0, 5.0], "t": [0.0]}
    ds = glassyrun.run(tables("quadratic", "sgd", dynamics=dynamics, schedule=schedule, observables=kinds), quiet=True)
    assert ds.gradient_noise.isnull().any("replica").values.tolist() == [[False, False, True, True]]
    assert ds.gradient_noise_mean.isnull().all("replica").values.tolist() == [[False, False, True, True]]


def test_it_is_read_on_either_grid() -> None:
    system = SYSTEMS["quadratic"]()
    assert built(GradientNoiseOptions(), system).grid == "t_w"
    assert built(GradientNoiseOptions(on="time"), system).grid == "time"


@attrs.define(slots=False)
class Simplex(System):
    """E = mean of b_μ·x, whose M slopes are the corners of a simplex around 0: noise of constant strength, no force."""

    terms: int

    def __attrs_post_init__(self) -> None:
        self.dof = self.terms

    def initial(self, streams: Sequence[Stream]) -> State:
        return State(torch.zeros(len(streams), self.dof, dtype=torch.float64))

    def energy(self, state: State, terms: torch.Tensor | None = None) -> torch.Tensor:
        return state.x.new_zeros(state.replicas)

    def gradient(self, state: State, batch: torch.Tensor | None = None) -> Evaluation:
        if batch is None:
            return Evaluation(state.x.new_zeros(state.replicas), torch.zeros_like(state.x))
        ones = torch.ones_like(batch, dtype=state.x.dtype) / batch.shape[1]
        slope = torch.full_like(state.x, -1 / self.terms).scatter_add_(1, batch, ones)
        return Evaluation((slope * state.x).sum(1), slope)


def test_shuffled_epochs_do_not_diffuse() -> None:
    """Δ/(α²Dt) = (1 − t/K)/(1 − 1/K) within an epoch of K steps: 1, .56, .11, 0 at t = 1, 5, 9, 10 of 10, exactly.

    The sum of t disjoint batches is that of one batch t times as large, drawn without replacement.
    """
    system, rate = Simplex(100), 0.3
    moves = dynamics("sgd", system, learning_rate=rate, batch_size=10)
    state = begin(system, moves, 3)
    noise = read(GradientNoiseOptions(batches="epoch"), system, state, moves=moves)["gradient_noise"]
    for t in range(1, 21):
        moves.advance(system, state, 1)
        found = state.x.square().mean(1).numpy() / (rate**2 * noise * t)
        np.testing.assert_allclose(found, (1 - (t % 10 or 10) / 10) / 0.9 * ((t % 10) or 10) / t, atol=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_with_replacement_it_diffuses(momentum: float) -> None:
    """Δ = (α/(1−β))² D t within 3 %, up to the few steps for which momentum remembers."""
    system, rate, replicas = Simplex(60), 0.3, 400
    moves = dynamics("sgd", system, learning_rate=rate, momentum=momentum, batch_size=6, sampling="with_replacement")
    state = begin(system, moves, replicas)
    moves.advance(system, state, 20)
    start = state.x.clone()
    noise = read(GradientNoiseOptions(batches=10), system, state, moves=moves)["gradient_noise"].mean()
    for steps, t in ((20, 20), (60, 80)):
        moves.advance(system, state, steps)
        found = (state.x - start).square().mean().item() / ((rate / (1 - momentum)) ** 2 * noise)
        memory = 2 * momentum * (1 - momentum**t) / (1 - momentum**2)
        assert found == pytest.approx(t - memory, rel=0.03)


def test_the_plan_prices_it_under_a_stage_that_has_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the last one, which looks at all terms, it would cost nothing."""
    monkeypatch.setattr("glassyrun.plan.CALIBRATION_SECONDS", 0.01)
    looks = []
    moments = GradientNoise._moments
    monkeypatch.setattr(GradientNoise, "_moments", lambda *arguments: looks.append(1) or moments(*arguments))
    dynamics = [{"kind": "sgd", "batch_size": 4, "until": 3.0}, {"kind": "quench", "dt": 0.5}]
    kinds = [{"kind": "gradient_noise", "batches": 3}]
    text = plan(load(tables("quadratic", "sgd", dynamics=dynamics, schedule={"horizon": 6.0}, observables=kinds)))
    assert "reading      gradient_noise: " in text
    assert looks


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_quadratic_diffuses_with_replacement_and_not_over_whole_epochs(momentum: float) -> None:
    """From the minimum of linear regression, by steps so short that it pulls nothing back: Δ = (α/(1−β))² D t, or as in an epoch."""
    system: Any = QuadraticOptions(n=20, terms=60, noise=0.5).build(context("system"))
    best = np.linalg.lstsq(system.inputs.numpy(), system.targets.numpy())[0]
    minimum = State(torch.from_numpy(best).expand(1500, -1).clone())
    clock = 1e-5 / (1 - momentum)
    for sampling in SAMPLINGS:
        moves = dynamics("sgd", system, learning_rate=1e-5, momentum=momentum, batch_size=6, sampling=sampling)
        state = minimum.copy()
        moves.start(system, state)
        noise = read(GradientNoiseOptions(batches=10), system, state, moves=moves)["gradient_noise"].mean()
        moved = {}
        for t in (5, 10, 80):
            moves.advance(system, state, t - state.step)
            moved[t] = (state.x - minimum.x).square().mean().item() / (clock**2 * noise * t)
        if sampling == "with_replacement":
            memory = 2 * momentum * (1 - momentum**80) / (1 - momentum**2) / 80
            assert moved[80] == pytest.approx(1 - memory, rel=0.04)
        elif momentum == 0:
            assert moved[5] == pytest.approx(0.5 / 0.9, rel=0.05)
            assert moved[10] < 1e-4
            assert moved[80] < 1e-4
