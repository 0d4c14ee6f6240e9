"""Response from the noise: against the exact one, against twins, and where there is no noise that could be correlated."""

from __future__ import annotations

import re
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from tests.engine_tools import load, tables
from tests.models import FreeSpins, begin, context, dynamics
from tests.observables.aging import agrees, built, crowd, curvature, in_equilibrium, two_times

import glassyrun
from glassyrun import Refusal, Schedule
from glassyrun_observables.noise_response import NoiseResponseOptions
from glassyrun_quadratic.quadratic import QuadraticOptions

SCHEMES = ("heun", "adams")


def without_start(found: dict[str, np.ndarray]) -> np.ndarray:
    """The estimate with x(t_w)·W taken off, which has mean zero."""
    return found["noise_response"] - found["noise_response_start"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("temperature", [0.3, 1.5])
def test_a_quadratic_energy_answers_as_it_must(scheme: str, temperature: float) -> None:
    """(1/n) Σ (1 − e^{−λt})/λ whatever T is, by a joint χ²; a wrong factor of T or dt can't pass."""
    system = QuadraticOptions(n=60, terms=180).build(context("system"))
    moves = dynamics("langevin", system, dt=0.05, temperature=temperature, scheme=scheme)
    state = in_equilibrium(system, temperature, 400)
    found = two_times([NoiseResponseOptions()], system, moves, state, (0, 5), 25)
    lags = np.array([4, 10, 20])
    rates = np.linalg.eigvalsh(curvature(system).numpy())
    expected = ((1 - np.exp(-np.outer(lags * 0.05, rates))) / rates).mean(1)
    agrees(without_start(found)[1, 5 + lags].T, expected, cap=0.01)
    agrees(found["noise_response_start"][1, 5 + lags].T, 0.0, cap=0.02)


def bias(dt: float, scheme: str) -> float:
    """(x(t) − x(t_w))·W/(2T n) − χ(t) at t = 1.2 of one particle on a spring of λ = 1, exactly: a linear recursion of x and W.

    Shares of dt in the noise before and after the gradient, and the linear step between them.
    """
    moment = np.zeros(3)  # ⟨x W⟩, ⟨g_before W⟩ and ⟨W²⟩ over 2T
    for _ in range(round(1.2 / dt)):
        if scheme == "heun":
            x, W = moment[0] + dt / 2, moment[2]
            x = (1 - dt + dt**2 / 2) * (moment[0] + dt / 2)
            moment = np.array([x + dt / 2, 0.0, W + dt])
        else:
            x = moment[0] - dt * (1.5 * moment[0] - 0.5 * moment[1])
            moment = np.array([x + dt, moment[0], moment[2] + dt])
    return float(moment[0] - (1 - np.exp(-1.2)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_is_of_second_order(scheme: str) -> None:
    """What the reading sums up is right to dt² by both schemes: halving dt divides the bias by four, or by more."""
    ratios = [bias(dt, scheme) / bias(dt / 2, scheme) for dt in (0.1, 0.05)]
    assert min(ratios) > 3.8


@pytest.mark.parametrize("scheme", SCHEMES)
def test_free_spins_answer_as_they_must(scheme: str) -> None:
    """J = 0: χ = (1 − e^{−T(1−1/N)t})/T on the sphere, long steps and N = 5."""
    system, temperature = FreeSpins(5), 0.8
    moves = dynamics("langevin", system, dt=0.1, temperature=temperature, scheme=scheme)
    found = two_times([NoiseResponseOptions()], system, moves, begin(system, moves, 3_000), (0,), 12)
    steps = np.array([3, 6, 12])
    expected = (1 - np.exp(-temperature * 0.8 * steps * 0.1)) / temperature
    agrees(without_start(found)[0, steps].T, expected, cap=0.01)


def test_the_noise_is_what_moved_x() -> None:
    """Without any force x(t) − x(t_w) is W itself: the estimate is Δ/(2T) to rounding, of each replica, through a ramp as well."""
    system = QuadraticOptions(n=7, terms=1).build(context("system"))
    system.inputs.zero_()
    for ramp in (None, {"start": 2.0, "until": 0.6}):
        moves = dynamics("langevin", system, dt=0.1, temperature=0.5, **({"ramp": ramp} if ramp else {}))
        state = begin(system, moves, 3)
        path = {0: state.x.clone()}
        found = two_times([NoiseResponseOptions()], system, moves, state, (0, 2), 8, chunk=2)
        again = begin(system, moves, 3)
        for _ in range(8):
            moves.advance(system, again, 1)
            path[again.step] = again.x.clone()
        weighed = torch.zeros(3, 7, dtype=torch.float64)
        for step in range(2, 8):
            weighed += (path[step + 1] - path[step]) / (2 * moves.temperature_at((step + 0.5) * 0.1))
        expected = (path[8] * weighed).sum(1) / 7
        np.testing.assert_allclose(found["noise_response"][1, 8], expected.numpy(), rtol=1e-10)


def refused(spec: dict[str, Any]) -> str:
    with pytest.raises(Refusal) as error:
        glassyrun.run(spec, quiet=True)
    return str(error.value)


@pytest.mark.parametrize("moves", ["quench", "sgd"])
def test_other_dynamics_are_refused(moves: str) -> None:
    told = refused(tables("quadratic", moves, observables=[{"kind": "noise_response"}]))
    assert told.startswith("observables.noise_response: no step has thermal noise")
    assert 'the observable "response"' in told


def test_no_temperature_is_refused() -> None:
    cold = {"kind": "langevin", "dt": 0.05, "temperature": 0.0}
    assert "no step has thermal noise" in refused(
        tables("quadratic", "langevin", dynamics=cold, observables=[{"kind": "noise_response"}])
    )
    ends_cold = cold | {"ramp": {"start": 1.0, "until": 0.2}}
    told = refused(tables("quadratic", "langevin", dynamics=ends_cold, observables=[{"kind": "noise_response"}]))
    assert "a temperature above 0" in told


def test_pairs_with_steps_that_have_no_noise_are_left_out() -> None:
    """Langevin, quench, Langevin: only pairs within one of the warm stages, and those that end or begin where it does."""
    stages = [
        {"kind": "langevin", "dt": 0.1, "temperature": 0.4, "until": 0.4},
        {"kind": "quench", "dt": 0.1, "until": 0.6},
        {"kind": "langevin", "dt": 0.1, "temperature": 0.2},
    ]
    every = {"from": 0.0, "to": 1.0, "n": 11}
    schedule = {"horizon": 1.0, "t_w": every, "t": every}
    spec = tables("quadratic", "langevin", dynamics=stages, schedule=schedule, observables=[{"kind": "noise_response"}])
    ds = glassyrun.run(spec, quiet=True)
    for t_w in range(11):
        for t in range(11 - t_w):
            expected = t_w + t <= 4 or t_w >= 6 or (t == 0 and t_w in (4, 6))
            found = np.isfinite(ds.noise_response.isel(t_w=t_w, t=t)).all().item()
            assert found == expected or t == 0, (t_w, t)


@pytest.mark.parametrize(("dtype", "vectors"), [("float64", 2 * 6 + 2), ("float32", 3 * 6 + 4)])
def test_what_it_keeps_is_refused_where_it_is_not_free(dtype: str, vectors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """x, and a sum in float64, of each of six waiting times; a sum and the noise of a step beside them."""
    import psutil

    size = vectors * 3 * 1_000 * torch.finfo(getattr(torch, dtype)).bits // 8
    spec = tables(
        "quadratic",
        "langevin",
        system={"kind": "quadratic", "n": 1_000, "terms": 1},
        ensemble={"replicas": 3},
        schedule={"horizon": 1.0, "t_w": {"from": 0.0, "to": 0.5, "n": 6}, "t": [0.0, 0.5]},
        run={"dtype": dtype, "threads": 1},
        observables=[{"kind": "noise_response"}],
    )
    setting = load(spec)

    def free(amount: int) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": amount, "total": 10**12}))

    options = setting.observables[0]
    observable = options.build(
        attrs.evolve(crowd(options, 3), dtype=getattr(torch, dtype)), QuadraticOptions(n=1_000, terms=1).build(context("system"))
    )
    warm = dynamics("langevin", FreeSpins(5), dt=0.1, temperature=0.5)
    free(size)
    observable.suits([warm], Schedule.of(setting))
    free(size - 1)
    told = f"observables.noise_response: x and sums of noise from 6 waiting times need {size / 1e9:.3g} GB, but"
    with pytest.raises(Refusal, match=re.escape(told)):
        observable.suits([warm], Schedule.of(setting))


def test_suits_is_asked_of_any_grids() -> None:
    system = QuadraticOptions(n=3, terms=6).build(context("system"))
    warm = dynamics("langevin", system, temperature=0.1, batch_size=2)
    built(NoiseResponseOptions(), system).suits([warm], Schedule.of(load(tables("quadratic", "langevin"))))
