"""Response by twins: against the exact one of a quadratic energy, in weak fields, under each dynamics, through stages and stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.test_resume import attempt, bytes_of
from tests.engine_tools import Crash, load, tables
from tests.models import begin, context, dynamics
from tests.observables.aging import agrees, built, curvature, in_equilibrium, two_times

import glassyrun
from glassyrun import Dynamics, Snapshot, State, System
from glassyrun_observables.response import ResponseOptions
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import Quadratic, QuadraticOptions

T_W, LAST = (2, 5), 14
DYNAMICS: dict[str, dict[str, Any]] = {
    "heun": {"kind": "langevin", "dt": 0.1, "temperature": 0.4},
    "adams": {"kind": "langevin", "dt": 0.1, "temperature": 0.4, "scheme": "adams"},
    "quench": {"kind": "quench", "dt": 0.1},
    "batches": {"kind": "langevin", "dt": 0.1, "temperature": 0.4, "batch_size": 5},
    "sgd": {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.6, "batch_size": 5},
}


def quadratic(n: int = 6, terms: int = 15) -> Quadratic:
    return QuadraticOptions(n=n, terms=terms, noise=0.3).build(context("system"))


def moved(system: Quadratic, moves: Dynamics, name: str, field: torch.Tensor, since: int) -> dict[int, torch.Tensor]:
    """What a field that acts from a step on has moved x by, at each later step, by the linear recursion of each method."""
    shift, velocity = torch.zeros_like(field), torch.zeros_like(field)
    steps, found = DYNAMICS[name], {since: shift}
    dt = steps.get("dt", steps.get("learning_rate"))
    before = -field if name == "adams" else None
    for step in range(since, LAST):
        batch = moves.draw(step, State(field)).batch
        inputs = system.inputs.expand(len(field), -1, -1) if batch is None else system.inputs[batch]
        K = torch.einsum("rbi,rbj->rij", inputs, inputs) / inputs.shape[1]

        def slope(x: torch.Tensor, K: torch.Tensor = K) -> torch.Tensor:
            return torch.einsum("rij,rj->ri", K, x) - field

        now = slope(shift)
        if name == "sgd":
            velocity = steps["momentum"] * velocity + now
            shift = shift - dt * velocity
        elif name == "quench":
            shift = shift - dt * now
        elif name == "adams":
            assert before is not None
            shift, before = shift - dt * (1.5 * now - 0.5 * before), now
        else:
            shift = shift - dt / 2 * (now + slope(shift - dt * now))
        found[step + 1] = shift
    return found


def fields(options: ResponseOptions, system: System, moves: Dynamics, replicas: int) -> dict[int, torch.Tensor]:
    observable: Any = built(options, system)
    zeros = torch.zeros(replicas, system.dof, dtype=torch.float64)
    return {since: observable.drawn_field(Snapshot(system, moves, State(zeros, since))) for since in T_W}


@pytest.mark.parametrize("superposed", [False, True], ids=["apart", "superposed"])
@pytest.mark.parametrize("opposite", [False, True], ids=["one", "opposite"])
@pytest.mark.parametrize("name", DYNAMICS)
def test_a_quadratic_energy_answers_as_it_must(name: str, opposite: bool, superposed: bool) -> None:
    """h·Φh/(dof h²) to rounding, with Φ of the method itself; superposed fields add up, and each is read by its own h."""
    system, replicas = quadratic(), 3
    moves = dynamics(**DYNAMICS[name], system=system)
    options = ResponseOptions(field=0.2, opposite=opposite, superposed=superposed)
    found = two_times([options], system, moves, begin(system, moves, replicas), T_W, LAST, chunk=3)["response"]
    drawn = fields(options, system, moves, replicas)
    answers = {since: moved(system, moves, name, field, since) for since, field in drawn.items()}
    looked = [[step for step in range(since, LAST + 1) if np.isfinite(found[k, step]).all()] for k, since in enumerate(T_W)]
    assert [len(steps) for steps in looked] == [5, 4]
    for k, since in enumerate(T_W):
        for step in looked[k]:
            acting = [answers[at][step] for at in T_W if at == since or (superposed and at <= step)]
            expected = (drawn[since] * sum(acting)).sum(1) / (system.dof * 0.2**2)
            np.testing.assert_allclose(found[k, step], expected.numpy(), rtol=1e-8, atol=1e-10)


def test_fields_are_independent_and_normal() -> None:
    """Of each replica and each t_w, with the standard deviation that was asked for."""
    system = quadratic(2_000, 1)
    drawn = torch.cat([*fields(ResponseOptions(field=0.2), system, dynamics("quench", system), 2).values()]) / 0.2
    np.testing.assert_allclose((drawn @ drawn.T / 2_000).numpy(), np.eye(4), atol=4 / 2_000**0.5 * 1.5)


@pytest.mark.parametrize("kind", ["response", "opposite", "superposed"])
def test_the_mean_is_the_susceptibility(kind: str) -> None:
    """(1/n) Σ (1 − e^{−λt})/λ of a quadratic energy, by a joint χ² over lags; superposed fields cost a larger error."""
    system = quadratic(60, 180)
    moves = dynamics("langevin", system, dt=0.05, temperature=0.5)
    options = ResponseOptions(**({kind: True} if kind != "response" else {}))
    state = in_equilibrium(system, 0.5, 300)
    found = two_times([options], system, moves, state, (1, 3, 5), 25)["response"]
    lags = np.array([4, 10, 20])
    rates = np.linalg.eigvalsh(curvature(system).numpy())
    expected = ((1 - np.exp(-np.outer(lags * 0.05, rates))) / rates).mean(1)
    agrees(found[2, 5 + lags].T, expected, cap=0.014 if kind == "superposed" else 0.01)


def test_superposed_fields_have_the_larger_error() -> None:
    system = quadratic(60, 180)
    moves = dynamics("langevin", system, dt=0.05, temperature=0.5)
    both = [ResponseOptions(), ResponseOptions(name="superposed", superposed=True)]
    found = two_times(both, system, moves, in_equilibrium(system, 0.5, 300), (1, 3, 5, 7), 27)
    assert found["superposed"][3, 27].std() > 1.4 * found["response"][3, 27].std()


def glass(field: float, **options: Any) -> np.ndarray:
    """Responses of a 3-spin at T = 0.5 to fields along the same vectors, [replica]."""
    system = PSpinOptions(p=3, n=20).build(context("system"))
    moves = dynamics("langevin", system, dt=0.1, temperature=0.5)
    state = begin(system, moves, 4)
    return two_times([ResponseOptions(field=field, **options)], system, moves, state, (5,), 25)["response"][0, 25]


def test_the_response_is_linear() -> None:
    """A pair of twins is wrong by O(h²), one twin by O(h); both go to the same number, which the noise of the run has not changed."""
    limit = glass(1e-5, opposite=True)
    pair = [np.abs(glass(h, opposite=True) - limit).max() for h in (0.1, 0.05)]
    single = [np.abs(glass(h) - limit).max() for h in (0.1, 0.05)]
    assert pair[0] / pair[1] == pytest.approx(4, rel=0.15)
    assert single[0] / single[1] == pytest.approx(2, rel=0.15)
    assert pair[0] < 0.3 * single[0]


def test_the_default_field_is_weak() -> None:
    """0.1 for spins, and a tenth of the slope where energies are not extensive, whatever their unit."""
    spins: Any = built(ResponseOptions(), PSpinOptions(p=3, n=20).build(context("system")))
    assert spins.strength == 0.1
    system = quadratic(200, 800)
    strength = built(ResponseOptions(), system).strength  # pyrefly: ignore[missing-attribute]
    at_start = system.gradient(system.initial([context("x").stream("x")])).gradient.square().mean().sqrt()
    assert strength == pytest.approx(0.1 * float(at_start), rel=0.2)
    scaled = Quadratic(system.inputs * 7, system.targets * 7)
    assert built(ResponseOptions(), scaled).strength == pytest.approx(49 * strength)  # pyrefly: ignore[missing-attribute]


STAGES = [
    {"kind": "langevin", "dt": 0.1, "temperature": 0.4, "scheme": "adams", "until": 0.5},
    {"kind": "sgd", "learning_rate": 0.05, "momentum": 0.5, "batch_size": 4, "until": 4.5},
    {"kind": "sgd", "learning_rate": 0.02, "momentum": 0.5, "batch_size": 4},
]
KINDS = [
    {"kind": "response"},
    {"kind": "response", "name": "alone", "superposed": True},
    {"kind": "response", "name": "pair", "opposite": True},
    {"kind": "response", "name": "pair_alone", "opposite": True, "superposed": True},
]


@pytest.mark.parametrize("system", ["quadratic", "pspin"])
@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("t_w", [0.3, 0.5, 2.5])
def test_twins_go_through_stages_as_the_run_does(t_w: float, opposite: bool, system: str) -> None:
    """A twin in `memory`, which the observable leads from stage to stage, is to the bit the one that the engine hands over."""
    schedule = {"horizon": 7.5, "t_w": [t_w], "t": {"from": 0.0, "to": 5.0, "n": 51}}
    ends = []
    for superposed in (False, True):
        kinds = [{"kind": "response", "field": 0.1, "opposite": opposite, "superposed": superposed}]
        spec = tables(system, "sgd", dynamics=STAGES, schedule=schedule, observables=kinds, run={"dtype": "float64"})
        ends.append(glassyrun.run(spec, quiet=True).response.isel(t_w=0).dropna("t", how="all"))
    assert ends[0].sizes["t"] > 4
    assert (ends[0].isel(t=slice(1, None)) > 0).all()
    assert ends[0].equals(ends[1])


@pytest.mark.parametrize(("system", "gently"), [("quadratic", True), ("pspin", False)], ids=["stopped", "killed"])
def test_interrupted_between_stages(system: str, gently: bool, tmp_path: Path) -> None:
    """Twins, and the noise since t_w, are in each checkpoint."""
    kinds = [*KINDS, {"kind": "noise_response"}, {"kind": "clone"}, {"kind": "clone", "name": "near", "chance": "same"}]
    every = {"from": 0.0, "to": 4.5, "n": 19}
    schedule = {"horizon": 7.5, "t_w": every, "t": every}
    spec = load(tables(system, "sgd", dynamics=STAGES, schedule=schedule, observables=kinds, run={"checkpoint_seconds": 1e-9}))
    assert attempt(spec, tmp_path / "whole", Crash())
    rounds = 1
    while not attempt(spec, tmp_path / "parts", Crash(after=4, gently=gently)):
        rounds += 1
        assert rounds < 60
    assert rounds > 2
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")


def test_a_superposed_twin_begins_anew_where_no_lag_was_left() -> None:
    """Fields of waiting times that were read for the last time long ago are no noise for the next one."""
    schedule = {"horizon": 2.0, "t_w": [0.0, 1.0], "t": [0.0, 0.2]}
    kinds = [{"kind": "response", "name": "alone", "superposed": True}]
    spec = tables("pspin", "langevin", schedule=schedule, observables=kinds, run={"dtype": "float64"})
    ds = glassyrun.run(spec, quiet=True)
    assert (ds.alone.sel(t=0) == 0).all()
    overlapping = spec | {"schedule": {"horizon": 2.0, "t_w": [0.0, 1.0], "t": [0.0, 0.2, 1.5]}}
    assert (glassyrun.run(overlapping, quiet=True).alone.sel(t=0, t_w=1) != 0).all()


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize(("opposite", "superposed", "copies"), [(False, False, 2), (True, False, 4), (False, True, 1)])
def test_a_twin_costs_its_forces_and_no_more(name: str, opposite: bool, superposed: bool, copies: int) -> None:
    """Gradients beyond those of the plain run, a replica: at most 1.1 times those of the steps that the copies take."""
    counted: list[int] = []

    class Counting(Quadratic):
        def gradient(self, state: State, batch: torch.Tensor | None = None) -> Any:
            counted.append(len(state.x))
            return super().gradient(state, batch)

    system, replicas, last = quadratic(), 3, 42
    system.__class__ = Counting
    moves = dynamics(**DYNAMICS[name], system=system)

    def forces(observables: list[Any]) -> float:
        counted.clear()
        two_times(observables, system, moves, begin(system, moves, replicas), T_W, last, chunk=5)
        return sum(counted) / replicas

    plain = forces([])
    extra = forces([ResponseOptions(field=0.2, opposite=opposite, superposed=superposed)]) - plain
    spans = [last - t_w for t_w in T_W]
    needed = plain / last * (spans[0] * copies if superposed else sum(spans) * copies / len(spans))
    assert needed <= extra * 1.0001 <= 1.1 * needed
