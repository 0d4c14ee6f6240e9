"""Constants against literature, against each other, and against their own conditions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glassyrun import Refusal
from glassyrun_pspin import theory


def test_ground_states_of_pure_models():
    assert theory.ground_state(3).energy == pytest.approx(-1.17167, abs=2e-5)
    assert theory.ground_state(4).energy == pytest.approx(-1.26861, abs=2e-5)
    assert theory.ground_state(2).energy == pytest.approx(-1)
    assert theory.ground_state({2: 3.0}).energy == pytest.approx(-3)
    assert theory.ground_state({3: 2.0}).energy == pytest.approx(2 * theory.ground_state(3).energy)


def test_the_ground_state_is_where_the_complexity_of_minima_vanishes():
    """Σ(E) of the pure p-spin (Crisanti and Sommers 1995; Auffinger, Ben Arous and Černý 2013)."""
    for p in (3, 4, 6):
        e = theory.ground_state(p).energy
        u = -e * math.sqrt(2)  # energies in the unit where the covariance is q^p
        edge = 2 * math.sqrt((p - 1) / p)
        rate = u / edge**2 * math.sqrt(u * u - edge * edge) - math.log((u + math.sqrt(u * u - edge * edge)) / edge)
        theta = 0.5 * math.log(p - 1) - (p - 2) / (4 * (p - 1)) * u * u - rate
        assert theta == pytest.approx(0, abs=1e-6)


def test_one_step_is_refused_where_it_is_not_enough():
    assert theory.ground_state({3: 1.0, 4: 1.0}).energy < theory.threshold_energy({3: 1.0, 4: 1.0})
    with pytest.raises(Refusal, match="more than one step"):
        theory.ground_state({2: 1.0, 4: 0.3})


@pytest.mark.parametrize("model", [3, 5, {3: 1.0, 4: 1.0}, {3: 0.5, 5: 2.0}])
@pytest.mark.parametrize("part", [0.2, 0.7, 0.95])
def test_marginal_states_solve_their_conditions(model, part):
    mixture = {model: 1.0} if isinstance(model, int) else model
    T = part * theory.dynamical_temperature(model)
    state = theory.marginal_state(model, T)
    q, x = state.overlap, state.ratio
    f1, f2 = theory.derivative(mixture, 1, q), theory.derivative(mixture, 2, q)
    assert f2 * (1 - q) ** 2 == pytest.approx(T * T)
    assert f1 * (1 - q) * (1 - q + x * q) == pytest.approx(T * T * q)
    assert state.effective_temperature == pytest.approx(T / x)
    assert state.plateau == pytest.approx(2 * (1 - q))
    assert 0 < x < 1
    cold = theory.marginal_state(model, 1e-5)
    assert cold.energy == pytest.approx(theory.threshold_energy(model), abs=1e-4)
    assert cold.effective_temperature == pytest.approx(theory.marginal_state(model, 0.0).effective_temperature, rel=1e-3)


def test_both_sides_of_the_dynamical_transition_meet():
    for model in (3, {3: 1.0, 4: 1.0}):
        T = theory.dynamical_temperature(model)
        state = theory.marginal_state(model, T)
        assert state.ratio == pytest.approx(1, abs=1e-4)
        assert state.energy == pytest.approx(theory.planted_energy({3: 1.0} if model == 3 else model, T), abs=1e-5)
        assert theory.equilibrium_overlap(model, T * (1 - 1e-9)) == pytest.approx(state.overlap, abs=1e-3)
        assert theory.equilibrium_overlap(model, 1.01 * T) == 0


def test_p_2_has_no_aging_slope():
    state = theory.marginal_state(2, 0.25)
    assert (state.overlap, state.ratio, state.energy) == pytest.approx((0.75, 0.0, -1 + 0.125))
    assert theory.asymptotic_energy({2: 2.0}, 0.5) == pytest.approx(2 * (-1 + 0.125))


def test_what_is_not_known_is_refused():
    assert theory.asymptotic_energy(3, 0.0) == theory.threshold_energy(3)
    assert theory.asymptotic_energy({3: 1.0, 4: 1.0}, 2.0) == pytest.approx(-0.5)
    with pytest.raises(Refusal, match="known from no formula"):
        theory.asymptotic_energy({3: 1.0, 4: 1.0}, 0.1)
    with pytest.raises(Refusal, match="planted"):
        theory.equilibrium_overlap(3, 0.5)
    with pytest.raises(Refusal, match="marginal"):
        theory.marginal_state({3: 1.0, 4: 1.0}, 2.0)


def test_derivatives_are_those_of_the_correlator():
    mixture = {2: 0.3, 3: 1.0, 7: 0.5}
    q, step = 0.7, 1e-5
    for order in range(3):
        slope = (theory.derivative(mixture, order, q + step) - theory.derivative(mixture, order, q - step)) / (2 * step)
        assert theory.derivative(mixture, order + 1, q) == pytest.approx(slope, rel=1e-8)
    assert np.isclose(theory.derivative(mixture, 0, q), theory.correlator(mixture, q))


@pytest.mark.parametrize("weak", [0.05, 0.3, 1.0])
@pytest.mark.parametrize(("p", "s"), [(2, 3), (2, 4), (3, 4), (3, 8), (2, 6)])
def test_a_threshold_lies_above_the_ground_state_or_is_refused(p: int, s: int, weak: float) -> None:
    """Full breaking (2 + 4 with a weak 4) has no threshold of this kind: its formula gives energies that no state has."""
    mixture = {p: 1.0, s: weak}
    try:
        lowest = theory.ground_state(mixture).energy
    except Refusal:
        for of in (theory.threshold_energy, lambda model: theory.marginal_state(model, 0.1)):
            with pytest.raises(Refusal, match="more than one step"):
                of(mixture)
        return
    assert theory.threshold_energy(mixture) > lowest


@pytest.mark.parametrize("model", [1, {}, {3: 0.0}, {3: float("nan")}, {1: 1.0, 3: 1.0}])
def test_a_model_that_is_none(model: theory.Model) -> None:
    for of in (theory.threshold_energy, theory.ground_state, theory.dynamical_temperature):
        with pytest.raises(Refusal, match="p-spin model"):
            of(model)


def test_the_lowest_energy_is_not_guessed() -> None:
    assert theory.lowest_energy(3) == theory.ground_state(3).energy
    assert theory.lowest_energy({2: 1.0, 4: 0.3}) is None
