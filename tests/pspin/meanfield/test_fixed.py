"""The fixed-step scheme against its order, exact solutions and what the equations conserve."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ive
from tests.dynamics.mean_field import extrapolated as first_order

from glassyrun import Refusal
from glassyrun_pspin.meanfield import Equations, extrapolated, solve_fixed

QUENCH = Equations({3: 1.0}, 0.0)
WARM = Equations({3: 1.0}, 0.5)
PLANTED = Equations({3: 1.0}, 0.8, 0.8)


def test_the_order_is_three():
    """Errors of E and C fall by 8 when the step is halved; the reference is the extrapolation of two finer steps."""
    for equations in (QUENCH, WARM, PLANTED):
        exact, _ = extrapolated(equations, 5, 0.0125)
        error = []
        for step in (0.1, 0.05, 0.025):
            found = solve_fixed(equations, 5, step)
            here, there = exact.at(5), found.at(5)
            c = found.C[there, found.at(1)] - exact.C[here, exact.at(1)]
            error.append(np.abs([found.energy[there] - exact.energy[here], c]))
        order = np.log2(np.array(error[1]) / error[2])
        assert np.all(np.abs(order - 3) < 0.45), order


def test_known_energies_and_a_first_order_solver_agree():
    quench, error = extrapolated(QUENCH, 10, 0.025)
    assert quench.energy[quench.at(5)] == pytest.approx(-1.03566, abs=1e-5)
    assert quench.energy[quench.at(10)] == pytest.approx(-1.08160, abs=1e-5)
    assert error.energy.max() < 1e-4
    warm, _ = extrapolated(WARM, 5, 0.025)
    assert warm.energy[-1] == pytest.approx(-0.76899, abs=1e-5)
    oracle = first_order(3, 0.5, 5.0, 0.05)
    assert warm.energy[-1] == pytest.approx(oracle.energy[-1], abs=2e-3)
    assert warm.C[warm.at(5), warm.at(1)] == pytest.approx(oracle.C[oracle.at(5), oracle.at(1)], abs=2e-3)
    assert warm.R[warm.at(5), warm.at(1)] == pytest.approx(oracle.R[oracle.at(5), oracle.at(1)], abs=2e-3)


@pytest.mark.parametrize("equations", [QUENCH, WARM, PLANTED, Equations({3: 1.0, 4: 1.0}, 0.3)])
def test_what_nothing_imposes_drifts_with_the_order(equations):
    """C(t,t) = 1; and the decay of R at the diagonal is μ, for pure p also T − pE."""
    drift, decay = [], []
    for step in (0.05, 0.025):
        found = solve_fixed(equations, 8, step)
        drift.append(np.abs(found.drift).max())
        n = len(found.decay)
        decay.append(np.abs(found.decay - found.mu[:n])[4:].max())
        if equations.mixture == {3: 1.0}:
            assert np.abs(found.mu - (equations.temperature - 3 * found.energy)).max() < 1e-10
    assert 0 < drift[1] < 7e-5
    assert drift[0] / drift[1] > 5
    assert decay[1] < 2e-2
    assert decay[0] / decay[1] > 5


def test_a_planted_start_is_stationary_and_obeys_the_fluctuation_dissipation_theorem():
    best, error = extrapolated(PLANTED, 6, 0.025)
    assert np.abs(best.energy + 1 / 1.6).max() < 1e-5
    assert error.energy[100:].max() > 5e-6  # the extrapolation does it
    lag = best.at(2)
    assert np.ptp(np.diag(best.C, -lag)) < 2e-5
    t = best.at(6)
    chi = 0.025 * (np.cumsum(best.R[t, ::-1]) - 0.5 * best.R[t, ::-1] - 0.5)[: best.at(5)]
    # the trapezoidal sum has an error of h²/12 (R′ at the end)
    assert np.abs(0.8 * chi - (1 - best.C[t, ::-1])[: best.at(5)]).max() < 3e-4


def test_p_2_at_zero_temperature_is_exact():
    """g(s) = I₁(2s)/s is the Laplace transform of the semicircle: E = −g′(2t)/(2 g(2t)), C = g(t+t′)/√(g(2t) g(2t′))."""
    best, _ = extrapolated(Equations({2: 1.0}, 0.0), 8, 0.05)
    t = best.step * np.arange(len(best.energy))

    def g(s):  # times e^{−2s}, which cancels in C
        return np.where(s == 0, 1.0, ive(1, 2 * s) / np.where(s == 0, 1.0, s))

    s = 2 * t[1:]
    energy = -(ive(0, 2 * s) + ive(2, 2 * s) - ive(1, 2 * s) / s) / s / (2 * g(s))
    assert np.abs(best.energy[1:] - energy).max() < 5e-6
    j = best.at(2)
    C = g(t[j:] + t[j]) / np.sqrt(g(2 * t[j:]) * g(2 * t[j]))
    assert np.abs(best.C[j:, j] - C).max() < 5e-6


def test_refusals_are_sentences():
    with pytest.raises(Refusal, match="at most 8000"):
        solve_fixed(QUENCH, 1000, 0.1)
    with pytest.raises(Refusal, match="too long"):
        solve_fixed(QUENCH, 200, 2.0)
    with pytest.raises(Refusal, match="T ≥ 0"):
        Equations({3: 1.0}, -0.1)
    with pytest.raises(Refusal, match=r"T_s = 0\.58"):
        Equations({3: 1.0}, 0.1, 0.5)
