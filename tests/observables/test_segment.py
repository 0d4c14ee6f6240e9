"""The energy on the way from x(t_w) to x(t_w + t)."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
import torch
from tests.engine_tools import load, tables
from tests.models import context, dynamics, streams
from tests.networks.toy import any_module
from tests.observables.tools import Parts, built, normal, read

import glassyrun
from glassyrun import Reference, Snapshot, State
from glassyrun.plan import plan
from glassyrun_observables.energy import EnergyOptions
from glassyrun_observables.segment import Segment, SegmentOptions
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import QuadraticOptions


def test_a_quadratic_energy_is_a_parabola_on_it() -> None:
    """E(s) = (1−s) E(0) + s E(1) − ½ s(1−s) δ·Kδ, without a barrier."""
    system = QuadraticOptions(n=5, terms=9, noise=0.3).build(context("system"))
    then, now = State(normal(1, 3, 5, scale=2.0)), State(normal(2, 3, 5, scale=2.0))
    values = read(SegmentOptions(points=7), system, now, then)
    s = np.linspace(0, 1, 7)
    moved = (now.x - then.x) @ system.inputs.T
    curvature = moved.square().mean(1).numpy()
    ends = [system.energy(state).numpy()[:, None] for state in (then, now)]
    expected = (1 - s) * ends[0] + s * ends[1] - 0.5 * s * (1 - s) * curvature[:, None]
    np.testing.assert_allclose(values["segment"], expected, rtol=1e-12)
    assert values["segment_barrier"].tolist() == [0, 0, 0]


@attrs.define(slots=False)
class Wells(Parts):
    """E = (x₀² − 1)² + tilt·x₀."""

    tilt: float = 0.0

    def energy(self, state: State, terms: torch.Tensor | None = None) -> torch.Tensor:
        return (state.x[:, 0].square() - 1).square() + self.tilt * state.x[:, 0]


@pytest.mark.parametrize("tilt", [0.0, 0.1, -0.1])
def test_the_barrier_between_two_wells(tilt: float) -> None:
    """From −1 to 1 the top is 1 at the middle; it stands above the larger end, whichever that is."""
    system = Wells((1,), tilt=tilt)
    then, now = (State(torch.full((1, 1), end, dtype=torch.float64)) for end in (-1.0, 1.0))
    for start, end in ((then, now), (now, then)):
        barrier = read(SegmentOptions(points=2001), system, end, start)["segment_barrier"].item()
        x = np.linspace(-1, 1, 2001)
        assert barrier == pytest.approx(((x**2 - 1) ** 2 + tilt * x).max() - abs(tilt), rel=1e-12)
        assert 0.89 < barrier <= 1


def test_on_a_sphere_it_stays_there() -> None:
    system = PSpinOptions(p=3, n=12).build(context("system"))
    then, now = (State(system.manifold.retract(normal(seed, 2, 12))) for seed in (1, 2))
    values = read(SegmentOptions(points=5), system, now, then)
    for k, s in enumerate((0.25, 0.5, 0.75)):
        x = (1 - s) * then.x + s * now.x
        x = x * np.sqrt(12) / x.norm(dim=1, keepdim=True)
        np.testing.assert_allclose(values["segment"][:, k + 1], system.energy(State(x)).numpy() / 12, rtol=1e-12)


@pytest.mark.parametrize("terms", [None, 4])
def test_its_ends_are_the_energies_read_there(terms: int | None) -> None:
    """Of the same subset of terms, to the bit."""
    system = QuadraticOptions(n=5, terms=9).build(context("system"))
    then, now = State(normal(1, 3, 5)), State(normal(2, 3, 5))
    segment = read(SegmentOptions(terms=terms, name="same"), system, now, then)["same"]
    for k, state in ((0, then), (-1, now)):
        assert np.array_equal(segment[:, k], read(EnergyOptions(terms=terms, name="same"), system, state)["same"])


def test_running_statistics_go_along() -> None:
    """Ends in evaluation mode with the statistics of their own time; on the way those in between."""
    network = any_module("batch_norm")
    moves = dynamics("sgd", network, learning_rate=0.1, batch_size=10)
    state = network.initial(streams(2))
    moves.advance(network, state, 3)
    observable = built(SegmentOptions(points=5), network)
    then = Reference(3, observable.remember(Snapshot(network, moves, state)))
    start = network.energy(state)
    moves.advance(network, state, 10)
    before = state.copy()
    energy = observable.read(Snapshot(network, moves, state), then)["segment"]
    torch.testing.assert_close(energy[:, 0], start, rtol=1e-12, atol=0)
    assert torch.equal(energy[:, -1], network.energy(state))
    memory = {
        name: torch.lerp(then.state.system[name], value, 0.5) if value.is_floating_point() else value
        for name, value in state.system.items()
    }
    middle = State((then.state.x + state.x) / 2, 0, memory)
    torch.testing.assert_close(energy[:, 2], network.energy(middle), rtol=1e-10, atol=0)
    assert torch.equal(state.x, before.x)
    assert all(torch.equal(state.system[name], before.system[name]) for name in before.system)


def test_statistics_recomputed_at_each_point_need_no_memory() -> None:
    network = any_module("batch_norm")
    moves = dynamics("sgd", network, learning_rate=0.1, batch_size=10)
    state = network.initial(streams(2))
    observable = built(SegmentOptions(points=3, recalibrate=True), network)
    then = Reference(0, observable.remember(Snapshot(network, moves, state)))
    assert not then.state.system
    moves.advance(network, state, 5)
    energy = observable.read(Snapshot(network, moves, state), then)["segment"]
    for k, x in enumerate((then.state.x, (then.state.x + state.x) / 2, state.x)):
        expected = network.energy(network.recalibrated(State(x, 0, state.system)))
        torch.testing.assert_close(energy[:, k], expected, rtol=1e-10, atol=0)


def test_what_has_no_memory_shares_the_copy_of_x() -> None:
    system = QuadraticOptions(n=5).build(context("system"))
    now = Snapshot(system, dynamics("quench", system), State(normal(1, 2, 5)))
    assert built(SegmentOptions(), system).remember(now) is built(EnergyOptions(), system).remember(now)


@pytest.mark.parametrize("moves", ["sgd", "langevin"])
def test_only_the_pairs_asked_for_are_read(moves: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of `t_w` and `t`; everything else is NaN and costs nothing."""
    dt = 1.0 if moves == "sgd" else 0.05
    table: dict[str, Any] = {"kind": "segment", "points": 4, "t_w": [3 * dt, 5 * dt], "t": [0.0, 4 * dt]}
    calls = []
    lerp = torch.lerp
    monkeypatch.setattr(torch, "lerp", lambda *arguments: calls.append(1) or lerp(*arguments))
    ds = glassyrun.run(tables("quadratic", moves, steps=8, observables=[table, {"kind": "msd"}]), quiet=True)
    read_at = [(w, lag) for w in range(9) for lag in range(9) if bool(ds.segment_barrier[0, :, w, lag].notnull().all())]
    assert read_at == [(3, 0), (3, 4), (5, 0)]  # 5 + 4 lies beyond the horizon
    assert np.array_equal(
        ds.segment.notnull().all(["sample", "replica", "fraction"]), ds.segment.notnull().any(["sample", "replica", "fraction"])
    )
    assert len(calls) == 3 * 2
    np.testing.assert_allclose(ds.fraction, np.linspace(0, 1, 4))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"points": 2}, "points"),
        ({"t_w": []}, "t_w"),
        ({"t": [-1.0]}, "t"),
        ({"terms": 13}, r"observables\.segment\.terms: found 13, but the system has only 12 terms; take at most 12"),
    ],
)
def test_what_makes_no_segment(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(glassyrun.GlassyrunError, match=sentence):
        glassyrun.run(tables("quadratic", "sgd", observables=[{"kind": "segment", **table}]), quiet=True)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            {"t_w": [0.0, 7.3]},
            r"observables\.segment\.t_w: found 7\.3, which is no point of .*schedule\.t_w; take 8, the nearest",
        ),
        ({"t": [2.0]}, r"observables\.segment\.t: found 2, which is no point of .* take 1, the nearest, or add 2 to the grid"),
        (
            {"t_w": [8.0], "t": [5.0]},
            r"observables\.segment: none of the pairs that it asks for has t_w \+ t at a step of the run",
        ),
    ],
)
def test_times_that_are_on_no_grid_are_not_nan_without_a_word(table: dict[str, Any], sentence: str) -> None:
    schedule = {"horizon": 10.0, "time": [0.0], "t_w": [0.0, 4.0, 8.0], "t": [0.0, 1.0, 5.0]}
    observables = [{"kind": "segment", "points": 3, **table}]
    with pytest.raises(glassyrun.Refusal, match=sentence) as told:
        glassyrun.run(tables("quadratic", "sgd", schedule=schedule, observables=observables), quiet=True)
    assert "\n" not in str(told.value)


def test_a_lag_is_a_lag_in_every_stage() -> None:
    """Half a unit is no lag of the stage of whole steps, although the nearest step there is one away."""
    stages = [{"kind": "sgd", "batch_size": 4, "until": 4.0}, {"kind": "quench", "dt": 0.5}]
    schedule = {"horizon": 6.0, "time": [0.0], "t_w": [0.0, 1.0, 4.0], "t": [0.0, 0.5, 1.0]}
    observables = [{"kind": "segment", "points": 3, "t": [0.5]}]
    ds = glassyrun.run(tables("quadratic", "sgd", dynamics=stages, schedule=schedule, observables=observables), quiet=True)
    there = ds.segment_barrier.isel(sample=0, replica=0).notnull()
    assert there.values.tolist() == [[False] * 3, [False] * 3, [False, True, False]]


def test_the_plan_prices_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pairs that are asked for, each at what a segment costs."""
    monkeypatch.setattr("glassyrun.plan.CALIBRATION_SECONDS", 0.01)
    looks = []
    monkeypatch.setattr(Segment, "read", lambda self, now, then: looks.append(then))
    schedule = {"horizon": 10.0, "time": [0.0], "t_w": [0.0, 4.0, 8.0], "t": [0.0, 1.0, 5.0]}
    observables = [{"kind": "segment", "t_w": [4.0, 8.0], "t": [0.0, 5.0]}]
    text = plan(load(tables("quadratic", "sgd", schedule=schedule, observables=observables)))
    assert "segment: 3 times" in text
    assert looks
