"""Replicas against each other, copies that part from the run, and the multiplier of the sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.engine_tools import tables
from tests.models import FreeSpins, begin, context, dynamics
from tests.observables.aging import built, curvature, two_times
from tests.observables.tools import MLP, normal, read

import glassyrun
from glassyrun import Reference, Refusal, Snapshot, State
from glassyrun_observables.clone import CloneOptions
from glassyrun_observables.multiplier import MultiplierOptions
from glassyrun_observables.replica_overlap import ReplicaOverlapOptions
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import QuadraticOptions

# Replicas against each other.


def test_overlaps_and_distances_are_those_of_all_pairs() -> None:
    system = QuadraticOptions(n=17_000, terms=1).build(context("system"))
    x = normal(1, 4, system.dof)
    values = read(built(ReplicaOverlapOptions(pairs=True), system, 4), system, State(x))
    numbers = x.numpy()
    overlap = numbers @ numbers.T / system.dof
    distance = ((numbers[:, None] - numbers) ** 2).mean(2)
    np.testing.assert_allclose(values["replica_overlap_pair"], overlap, rtol=1e-10)
    np.testing.assert_allclose(values["replica_overlap_pair_distance"], distance, rtol=1e-10, atol=1e-14)
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(values["replica_overlap"].mean(), overlap[off].mean(), rtol=1e-9)
    np.testing.assert_allclose(values["replica_overlap_square"].mean(), (overlap[off] ** 2).mean(), rtol=1e-9)
    np.testing.assert_allclose(values["replica_overlap_distance"], distance.sum(1) / 3, rtol=1e-10)


def test_small_distances_are_not_lost_in_float32() -> None:
    system = QuadraticOptions(n=1_000, terms=1).build(context("system", dtype=torch.float32))
    x = normal(1, 1, 1_000).float().expand(2, -1).clone()
    x[1] += 1e-4
    moved = ((x[1].double() - x[0].double()) ** 2).mean()
    values = read(built(ReplicaOverlapOptions(), system), system, State(x))
    np.testing.assert_allclose(values["replica_overlap_distance"], [moved, moved], rtol=1e-12)


def test_replicas_of_one_start_part_by_their_noise() -> None:
    """No force on the sphere: 1 − q is 0 at first, and q = e^{−2T(1−1/N)t} on the average."""
    temperature, n = 0.4, 12
    system = FreeSpins(n)
    moves = dynamics("langevin", system, dt=0.05, temperature=temperature)
    state = State(system.initial([context("x").stream("start")]).x.repeat(1_500, 1))
    observable = built(ReplicaOverlapOptions(), system, 1_500)
    assert read(observable, system, state)["replica_overlap_distance"].max() == 0
    moves.advance(system, state, 20)
    # two copies that move independently: each has decayed towards the common start
    expected = np.exp(-2 * temperature * (1 - 1 / n))
    assert read(observable, system, state)["replica_overlap"].mean() == pytest.approx(expected, abs=0.01)


def test_one_replica_is_refused() -> None:
    spec = tables("quadratic", "langevin", ensemble={"replicas": 1}, observables=[{"kind": "replica_overlap"}])
    with pytest.raises(Refusal, match=r"observables\.replica_overlap: one replica has no other .* set ensemble\.replicas to 2"):
        glassyrun.run(spec, quiet=True)


# Copies.


@pytest.mark.parametrize(
    "system", [{"kind": "pspin", "n": 16}, {"kind": "pspin", "n": 500, "disorder": "lazy"}, MLP], ids=["p-spin", "lazy", "mlp"]
)
def test_another_start_with_the_same_noise(system: dict[str, Any]) -> None:
    """At t_w = 0 the copy is as far from the run as two starts are; its law is that of the run; the noise of both is one."""
    spec = {
        "system": system,
        "dynamics": {"kind": "langevin", "temperature": 3.0 if system["kind"] == "pspin" else 1e-4, "dt": 0.05},
        "schedule": {"horizon": 5, "time": [0], "t_w": [0, 1], "t": [0, 4]},
        "ensemble": {"replicas": 8},
        "observables": [
            {"kind": "replica_overlap"},
            {"kind": "clone", "chance": "same", "start": "other"},
            {"kind": "clone", "name": "apart", "start": "other"},
        ],
        "run": {"dtype": "float64"},
    }
    ds = glassyrun.run(spec, quiet=True).isel(sample=0)
    starts = float(ds.replica_overlap_distance.isel(time=0).mean())
    first = ds.clone_distance.sel(t_w=0, t=0)
    assert float(first.mean()) == pytest.approx(starts, rel=0.35)
    assert first.std() > 0  # each replica has a start of its own
    assert not np.allclose(first, ds.apart_distance.sel(t_w=0, t=0))  # observables draw their own
    if system["kind"] == "pspin":  # far above T_d one noise brings any two starts together
        assert float(ds.clone_distance.sel(t_w=0, t=4).mean()) < 0.2 * starts
        assert float(ds.apart_distance.sel(t_w=0, t=4).mean()) > 0.7 * starts


def test_another_start_where_there_is_none() -> None:
    spec = tables("pspin", "quench", observables=[{"kind": "clone", "chance": "same", "start": "other"}])
    spec["system"]["initial_temperature"] = 1.0
    with pytest.raises(Refusal, match=r"observables\.clone\.start: .* the start is planted"):
        glassyrun.run(spec, quiet=True)


@pytest.mark.parametrize("moves", ["heun", "sgd"])
def test_a_copy_takes_the_chance_of_the_next_replica(moves: str) -> None:
    """It meets that replica if both come from one place, and else nears it as the noise-free dynamics of a quadratic energy does."""
    system = QuadraticOptions(n=4, terms=12, noise=0.4).build(context("system"))
    table: dict[str, Any] = {
        "heun": {"kind": "langevin", "dt": 0.1, "temperature": 0.5},
        "sgd": {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.5, "batch_size": 12, "sampling": "with_replacement"},
    }[moves]
    dynamic = dynamics(**table, system=system)
    state = begin(system, dynamic, 3)
    state.x.copy_(state.x[:1].expand(3, -1))
    observable = built(CloneOptions(), system, 3)
    copy = observable.remember(Snapshot(system, dynamic, state))
    dynamic.advance(system, state, 7)
    observable.follow(Snapshot(system, dynamic, state), then := Reference(0, copy))
    torch.testing.assert_close(copy.x, state.x.roll(-1, 0), rtol=1e-12, atol=1e-12)
    values = observable.read(Snapshot(system, dynamic, state), then)
    expected = (state.x * state.x.roll(-1, 0)).mean(1)
    torch.testing.assert_close(values["clone"], expected, rtol=1e-12, atol=1e-12)
    assert float((values["clone_distance"]).min()) > 1e-3


def test_damage_heals_in_a_quadratic_energy() -> None:
    """With the noise of the run the distance is that of the noise-free dynamics, |M^n kick|²/dof, whatever the noise."""
    system = QuadraticOptions(n=4, terms=12).build(context("system"))
    moves = dynamics("langevin", system, dt=0.1, temperature=0.5)
    found = two_times([CloneOptions(chance="same", kick=0.01)], system, moves, begin(system, moves, 2_000), (2,), 12)
    K = curvature(system)
    step = torch.eye(4, dtype=torch.float64) - 0.1 * K + 0.005 * K @ K
    decay = torch.linalg.matrix_power(step, 10)
    expected = 1e-4 * float((decay @ decay.T).trace()) / 4
    assert found["clone_distance"][0, 2].mean() == pytest.approx(1e-4, rel=0.05)
    assert found["clone_distance"][0, 12].mean() == pytest.approx(expected, rel=0.08)


def test_the_kick_keeps_to_the_sphere_and_has_its_size() -> None:
    system = PSpinOptions(p=3, n=400).build(context("system"))
    moves = dynamics("langevin", system, dt=0.1, temperature=0.5)
    state = begin(system, moves, 3)
    for kick, size in ((None, 1e-3), (0.05, 0.05)):
        copy = built(CloneOptions(chance="same", kick=kick), system, 3).remember(Snapshot(system, moves, state))
        np.testing.assert_allclose((copy.x.square().sum(1) / 400).numpy(), 1, rtol=1e-12)
        np.testing.assert_allclose((copy.x - state.x).square().mean(1).sqrt().numpy(), size, rtol=0.15)


def test_a_huge_kick_is_another_start() -> None:
    system = PSpinOptions(p=3, n=400).build(context("system"))
    moves = dynamics("langevin", system, dt=0.1, temperature=0.5)
    state = begin(system, moves, 20)
    copy = built(CloneOptions(chance="same", kick=1e6), system, 20).remember(Snapshot(system, moves, state))
    assert (copy.x * state.x).mean(1).square().mean().item() == pytest.approx(1 / 400, rel=1)


@pytest.mark.parametrize("table", [{"kind": "response", "opposite": True}, {"kind": "clone"}])
def test_copies_that_do_not_fit_are_refused(table: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    from glassyrun_observables import twins

    class Small:
        @staticmethod
        def virtual_memory() -> Any:
            return type(psutil.virtual_memory())(*[3_000] * len(psutil.virtual_memory()))

    monkeypatch.setattr(twins, "psutil", Small)
    every = {"from": 0.0, "to": 2.0, "n": 41}
    spec = tables("pspin", "langevin", schedule={"horizon": 2.0, "t_w": every, "t": [0.1]}, observables=[table])
    with pytest.raises(
        Refusal, match=r"copies that live on from 41 waiting times need 1?\d?\.?\d+e-0\d GB, but 3e-06 GB are free on cpu; take"
    ):
        glassyrun.run(spec, quiet=True)


def test_copies_that_tell_nothing_are_refused() -> None:
    one = tables("quadratic", "langevin", ensemble={"replicas": 1}, observables=[{"kind": "clone"}])
    with pytest.raises(Refusal, match=r'observables\.clone: .* set ensemble\.replicas to 2 or more, or chance = "same"'):
        glassyrun.run(one, quiet=True)
    still = tables("quadratic", "langevin", observables=[{"kind": "clone", "chance": "same", "kick": 0.0}])
    with pytest.raises(Refusal, match=r"observables\.clone\.kick: found 0, with which the copy is the run itself"):
        glassyrun.run(still, quiet=True)


# The multiplier.


@pytest.mark.parametrize("scheme", ["heun", "adams"])
@pytest.mark.parametrize("mixture", [{"3": 1.0}, {"2": 0.6, "4": 1.0}])
def test_the_multiplier_is_that_of_euler(mixture: dict[str, float], scheme: str) -> None:
    """T(1 − 1/N) − Σ p H_p/N, and T − pE for pure p, where the energies of the degrees come from the energy itself at 0.5 x … 1.5 x."""
    system = PSpinOptions(n=9, mixture=mixture).build(context("system"))
    moves = dynamics("langevin", system, dt=0.05, temperature=0.7, scheme=scheme)
    state = begin(system, moves, 3)
    moves.advance(system, state, 10)
    degrees = [int(p) for p in mixture]
    scales = (0.5, 1.5)[: len(degrees)]
    energies = np.stack([system.energy(State(s * state.x)).numpy() for s in scales])
    parts = np.linalg.solve(np.array([[s**p for p in degrees] for s in scales]), energies)
    expected = 0.7 * (1 - 1 / 9) - (np.array(degrees)[:, None] * parts).sum(0) / 9
    np.testing.assert_allclose(read(MultiplierOptions(), system, state, moves=moves)["mu"], expected, rtol=1e-10)


@pytest.mark.parametrize("scheme", ["heun", "adams"])
def test_the_multiplier_is_what_pulls_x_back(scheme: str) -> None:
    """⟨x(t + dt)·x(t)⟩/N = 1 − (μ + x·∇H/N) dt + O(dt²): with ẋ = −∇H − μx + noise, measured over many steps from one place."""
    n, dt = 10, 0.01
    system = PSpinOptions(p=3, n=n).build(context("system"))
    moves = dynamics("langevin", system, dt=dt, temperature=1.3, scheme=scheme)
    start = system.initial([context("x").stream("start")])
    state = State(start.x.repeat(20_000, 1))
    multiplier = read(MultiplierOptions(), system, start, moves=moves)["mu"].item()
    force = float((start.x * system.gradient(start).gradient).sum()) / n
    moves.advance(system, state, 1)
    decay = (1 - (state.x * start.x).sum(1) / n) / dt
    assert float(decay.mean()) == pytest.approx(multiplier + force, abs=4 * float(decay.std()) / 20_000**0.5 + 0.02)


def test_the_multiplier_knows_no_other_noise() -> None:
    system = PSpinOptions(p=3, n=9).build(context("system"))
    state = system.initial([context("x").stream("start")])
    energy = float(system.energy(state)[0]) / 9
    for moves in (dynamics("quench", system), dynamics("sgd", system, batch_size=20)):
        assert read(MultiplierOptions(), system, state, moves=moves)["mu"].item() == pytest.approx(-3 * energy, rel=1e-10)
    with pytest.raises(Refusal, match=r"observables\.mu: found a system in flat space"):
        built(MultiplierOptions(), QuadraticOptions(n=2).build(context("system")))
