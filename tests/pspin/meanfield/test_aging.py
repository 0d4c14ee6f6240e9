"""The limits of aging against the marginal states of Cugliandolo and Kurchan."""

from __future__ import annotations

import numpy as np
import pytest

from glassyrun import Refusal
from glassyrun_pspin import theory
from glassyrun_pspin.meanfield import Equations, Resolution, Solution, solve_graded
from glassyrun_pspin.meanfield.aging import decay, extrapolated, fitted


def solved(mixture, temperature, horizon, start=np.inf, level=0):
    """On two coarse grids, whatever they differ by."""
    best, check = (
        solve_graded(Equations(mixture, temperature, start), horizon, Resolution.level(of)) for of in (level, level - 1)
    )
    return Solution(best.equations, horizon, best, check)


@pytest.mark.parametrize("temperature", [0.3, 0.5])
def test_the_plateau_and_the_effective_temperature(temperature):
    """Raw within 5 % at t = 10⁴, extrapolated over four octaves within 2 %."""
    found, expected = solved({3: 1.0}, temperature, 1e4), theory.marginal_state(3, temperature)
    raw = fitted(found, 1e4)
    limit, error = extrapolated(found, 1e4, 4)
    for value, accuracy in ((raw, 0.05), (limit, 0.02)):
        assert value.overlap == pytest.approx(expected.overlap, rel=accuracy)
        assert value.ratio == pytest.approx(expected.ratio, rel=accuracy)
        assert value.effective_temperature == pytest.approx(expected.effective_temperature, rel=accuracy)
    assert abs(limit.ratio - expected.ratio) < abs(raw.ratio - expected.ratio) / 3
    assert abs(limit.ratio - expected.ratio) < error.ratio < 0.02 * expected.ratio
    assert abs(limit.overlap - expected.overlap) < error.overlap < 0.02 * expected.overlap
    assert found.energy(1e4) - expected.energy == pytest.approx(0, abs=2e-3)


def test_the_energy_tends_to_the_threshold_like_a_power():
    """E − E_th = A t^{−2/3} at T = 0: local slope −0.667 ± 0.01 at t = 10⁴, and the amplitude with its error."""
    found = solved({3: 1.0}, 0.0, 2e4, level=1)
    slope, amplitude, error = decay(found, theory.threshold_energy(3), 1e4)
    assert slope == pytest.approx(-2 / 3, abs=0.01)
    assert error < 0.005
    assert amplitude == pytest.approx(0.3225, abs=error)


def test_a_mixture_that_remembers_its_start_goes_below_the_threshold():
    """3+4 from just above T_d: the start is not forgotten (Folena, Franz and Ricci-Tersenghi 2020)."""
    mixture = {3: 1.0, 4: 1.0}
    found = solved(mixture, 0.0, 2e3, 1.02 * theory.dynamical_temperature(mixture))
    below = theory.threshold_energy(mixture) - found.energy(2e3)
    assert below > 4e-4
    assert found.energy_error(2e3) < 0.2 * below
    assert found.correlation(0.0, 2e3) > 0.4
    with pytest.raises(Refusal, match="can't tend"):
        decay(found, theory.threshold_energy(mixture), 1e3)


def test_where_nothing_ages_is_a_sentence():
    with pytest.raises(Refusal, match="q_EA = 1"):
        fitted(solved({3: 1.0}, 0.0, 10), 10)
    with pytest.raises(Refusal, match=r"nothing ages|window"):
        fitted(solved({3: 1.0}, 0.6, 30, 0.6), 30)
