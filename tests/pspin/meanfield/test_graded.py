"""The long-time scheme against the fixed-step one, its order, exact solutions and the asymptotic laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ive

from glassyrun import Refusal
from glassyrun_pspin.meanfield import Equations, Resolution, extrapolated, graded, solution, solve, solve_graded
from glassyrun_pspin.meanfield.queries import one_time


def energy(graded, times):
    e, h = graded.equations, graded.history
    return one_time(h, graded.last, np.asarray(times, dtype=float), e.kernels, e.temperature, e.beta, 0.6)[:, 1]


@pytest.mark.parametrize(
    ("mixture", "temperature", "start"),
    [
        ({3: 1.0}, 0.0, np.inf),
        ({3: 1.0}, 0.5, np.inf),
        ({3: 1.0}, 0.6, 0.8),
        ({3: 1.0, 4: 1.0}, 0.2, np.inf),
        ({3: 1.0}, 0.0, 0.65),
    ],
)
def test_two_independent_schemes_agree(mixture, temperature, start):
    """On both sides of the seam, where the long-time scheme begins, and across it."""
    long = solve(mixture, temperature, start, 30.0, 1e-4)
    step = 0.12 / long.equations.rate
    square, error = extrapolated(long.equations, 30.0, step)
    points = np.unique(np.geomspace(4, 30 / step - 1, 12).astype(int))
    times = step * points
    assert np.abs(long.energy(times) - square.energy[points]).max() < 6e-5
    assert np.abs(long.mu(times) - square.mu[points]).max() < 3e-4
    for j in (0, *points[:-1]):
        later = points[points > j]
        lag, since = step * (later - j), step * j
        assert np.abs(long.correlation(since, lag) - square.C[later, j]).max() < 1e-4
        assert np.abs(long.response(since, lag) - square.R[later, j]).max() < 2e-4
    assert error.energy.max() < 3e-3


def test_the_errors_fall_and_bound_the_truth():
    """Columns are of sixth order, rows of fourth: one level is a factor of 4/3, and errors fall at least like the fourth power."""
    equations = Equations({3: 1.0}, 0.8, 0.8)
    grids = [solve_graded(equations, 60, Resolution.level(level)) for level in (-1, 0, 1)]
    errors = [np.abs(energy(grid, [30, 40, 50, 60]) + 0.625).max() for grid in grids]
    assert errors[0] < 1e-5
    assert errors[2] < errors[0] * 0.75**8
    found = solve({3: 1.0}, 0.8, 0.8, 60, 1e-4)
    t = np.linspace(0, 60, 241)
    truth = np.abs(found.energy(t) + 0.625).max()
    assert truth < found.energy_error(t).max() <= found.largest_error() <= 1e-4


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_the_stated_errors_bound_the_distance_from_a_finer_solution(temperature):
    """E, C and χ at tolerance 10⁻⁴ against 10⁻⁶; not far above it either."""
    rough, fine = (solve({3: 1.0}, temperature, np.inf, 100, tolerance) for tolerance in (1e-4, 1e-6))
    t_w, t = (grid.ravel() for grid in np.meshgrid([0.0, 1.0, 10.0, 30.0], np.geomspace(0.1, 60, 25), indexing="ij"))
    along = np.geomspace(0.1, 100, 60)
    for name, at in (("energy", (along,)), ("correlation", (t_w, t)), ("susceptibility", (t_w, t))):
        actual = np.abs(getattr(rough, name)(*at) - getattr(fine, name)(*at)).max()
        stated = getattr(rough, f"{name}_error")(*at).max()
        assert actual < stated < 12 * actual, (name, actual, stated)


@pytest.mark.parametrize("temperature", [0.6, 0.8])
def test_a_planted_start_is_in_equilibrium_at_all_times(temperature):
    """E = −1/(2T), no aging, and the fluctuation-dissipation theorem; at 0.6 < T_d the start is never left: C tends to q."""
    found = solve({3: 1.0}, temperature, temperature, 400, 1e-4)
    t = np.geomspace(0.1, 200, 9)
    assert np.abs(found.energy(t) + 0.5 / temperature).max() < 5e-6
    C = found.correlation(0.0, t)
    for since in (3.0, 50.0, 200.0):
        assert np.abs(found.correlation(since, t) - C).max() < 5e-5
        assert np.abs(temperature * found.susceptibility(since, t) - (1 - C)).max() < 5e-5
    # f′(q) (1−q) = T² q: the plateau of the state that holds the start
    q = max(np.roots([1.5, -1.5, temperature**2]).real) if temperature < 0.6123 else 0.0
    assert C[-1] == pytest.approx(q, abs=2e-3)


def test_p_2_at_zero_temperature_is_exact():
    found = solve({2: 1.0}, 0.0, np.inf, 1e3, 1e-4)

    def g(s):
        return ive(1, 2 * s) / s

    t = np.array([0.05, 0.3, 2.0, 30.0, 1e3])
    s = 2 * t
    exact = -(ive(0, 2 * s) + ive(2, 2 * s) - ive(1, 2 * s) / s) / s / (2 * g(s))
    assert np.abs(found.energy(t) - exact).max() < 1e-5
    for since in (1.0, 40.0):
        lag = np.array([0.5, 20.0, 900.0])
        exact = g(2 * since + lag) / np.sqrt(g(2 * since) * g(2 * (since + lag)))
        assert np.abs(found.correlation(since, lag) - exact).max() < 3e-5


def test_the_multiplier_of_a_pure_model_follows_the_energy():
    found = solve({3: 1.0}, 0.3, np.inf, 100, 1e-4)
    t = np.geomspace(0.1, 100, 9)
    assert np.abs(found.mu(t) - (0.3 - 3 * found.energy(t))).max() < 1e-9


def test_refusals_are_sentences(monkeypatch):
    for wrong, told in (
        ({"temperature": -1.0}, "T ≥ 0"),
        ({"temperature": 0.3, "initial_temperature": 0.4}, "at least T_s"),
        ({"temperature": 0.3, "horizon": np.inf}, "finite time"),
        ({"temperature": 0.3, "tolerance": 1e-12}, "can show"),
    ):
        with pytest.raises(Refusal, match=told):
            solve({3: 1.0}, **wrong)
    monkeypatch.setattr(solution, "FINEST", 1)
    with pytest.raises(Refusal, match="can't be had to 1e-07 up to time 15: the finest grid has an error of"):
        solve({3: 1.0}, 0.5, np.inf, 15.0, 1e-7)
    monkeypatch.setattr(graded, "MOST_PASSES", 1)
    with pytest.raises(Refusal, match=r"could not be solved beyond t = 7\.\d+, but 15"):
        solve({3: 1.0}, 0.5, np.inf, 15.0)
    monkeypatch.undo()
    with pytest.raises(Refusal, match="outside"):
        solve({3: 1.0}, 0.5, np.inf, 5.0).correlation(3.0, 3.0)
