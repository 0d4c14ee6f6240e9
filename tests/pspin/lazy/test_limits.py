"""What is known for certain: N → ∞ in closed form and by the integral equations, fluctuation and dissipation, fluctuations at finite N."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.special import iv
from tests.dynamics.mean_field import extrapolated

import glassyrun
from glassyrun_pspin.theory import marginal_state

INFINITE = float("inf")
QUENCH = {"kind": "quench", "scheme": "heun", "dt": 0.1}


def measured(
    system: dict[str, Any], moves: dict[str, Any], times: list[float], kinds: list[dict[str, Any]], **rest: Any
) -> xr.Dataset:
    return glassyrun.run(
        {
            "system": {"kind": "pspin", "disorder": "lazy", **system},
            "dynamics": moves,
            "schedule": {"horizon": max(times), "time": times, "t_w": [0.0, 1.0], "t": [0.4, 1.0]},
            "observables": kinds,
            **rest,
        },
        quiet=True,
    )


def richardson(coarse: np.ndarray, fine: np.ndarray, order: int = 2) -> np.ndarray:
    return fine + (fine - coarse) / (2**order - 1)


def test_two_spins_follow_the_closed_form() -> None:
    """E = −g′(2t)/(2g(2t)) and C = g(t+t′)/√(g(2t)g(2t′)) with g(s) = I₁(2s)/s, by extrapolation of three step lengths."""
    runs = [
        measured({"p": 2, "n": INFINITE}, QUENCH | {"dt": dt}, [0.0, 0.4, 1.0], [{"kind": "overlap"}])
        for dt in (0.1, 0.05, 0.025)
    ]
    energy, overlap = (
        richardson(richardson(a, b), richardson(b, c), 3)
        for a, b, c in ([run[name].values[0, 0] for run in runs] for name in ("energy", "overlap"))
    )

    def g(s: float) -> float:
        return iv(1, 2 * s) / s

    def exact(t: float) -> float:
        return -(g(2 * t + 1e-5) - g(2 * t - 1e-5)) / 2e-5 / (2 * g(2 * t))

    np.testing.assert_allclose(energy[1:3], [exact(0.4), exact(1.0)], atol=1e-6)
    np.testing.assert_allclose(overlap[0], [g(t) / math.sqrt(g(2 * t)) for t in (0.4, 1.0)], atol=1e-6)  # g(0) = 1


def test_three_spins_follow_the_integral_equations() -> None:
    """At T = 0 and T = 0.5, energy and correlation; the oracle is of first order, extrapolated."""
    for temperature, moves in ((0.0, QUENCH), (0.5, {"kind": "langevin", "temperature": 0.5})):
        runs = [measured({"n": INFINITE}, moves | {"dt": dt}, [0.0, 1.0, 2.0], [{"kind": "overlap"}]) for dt in (0.1, 0.05)]
        energy, overlap = (richardson(*(run[name].values[0, 0] for run in runs)) for name in ("energy", "overlap"))
        theory = extrapolated(3, temperature, 2.0, 0.02)
        np.testing.assert_allclose(energy[1:], theory.energy[[50, 100]], atol=2e-3)
        np.testing.assert_allclose(overlap[1, 1], theory.C[100, 50], atol=2e-3)


def test_the_limit_is_deterministic() -> None:
    first, second = (measured({"n": INFINITE}, QUENCH, [0.0, 2.0], [{"kind": "overlap"}], seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(first.energy, second.energy)
    np.testing.assert_array_equal(first.overlap, second.overlap)


@pytest.mark.parametrize("scheme", ["heun", "adams"])
@pytest.mark.parametrize("temperature", [0.8, 0.6])
def test_a_planted_start_obeys_the_fluctuation_dissipation_theorem(temperature: float, scheme: str) -> None:
    """Tχ = 1 − C for N → ∞, by twins and by the noise, with all three heading there in second order."""
    kinds = [{"kind": "overlap"}, {"kind": "response", "opposite": True, "field": 0.02}, {"kind": "noise_response"}]
    runs = [
        measured(
            {"n": INFINITE, "initial_temperature": temperature},
            {"kind": "langevin", "scheme": scheme, "dt": dt, "temperature": temperature},
            [0.0, 2.0],
            kinds,
        )
        for dt in (0.1, 0.05)
    ]
    apart = {
        name: [temperature * run[name].values[0, 0] - (1 - run.overlap.values[0, 0]) for run in runs]
        for name in ("response", "noise_response")
    }
    for coarse, fine in apart.values():
        assert np.abs(coarse).max() < 0.02
        np.testing.assert_allclose(richardson(coarse, fine), 0.0, atol=6e-4 if scheme == "heun" else 1e-3)
    assert np.abs(apart["response"][1]).max() > 5e-4  # before extrapolation


def test_a_response_out_of_equilibrium_does_not() -> None:
    run = measured(
        {"n": INFINITE},
        {"kind": "langevin", "dt": 0.05, "temperature": 0.3},
        [0.0, 4.0],
        [{"kind": "overlap"}, {"kind": "response", "opposite": True, "field": 0.02}],
    )
    gap = (1 - run.overlap.values[0, 0]) - 0.3 * run.response.values[0, 0]
    assert gap[1, 1] > 0.02


@pytest.mark.parametrize("kind", ["quench", "thermal"])
def test_fluctuations_are_of_the_order_of_one_over_root_n(kind: str) -> None:
    """N·Var[E] is one number from N = 10² to 10⁸, and that of dense couplings, within what so many samples say (χ² at 0.1 %)."""
    moves = QUENCH if kind == "quench" else {"kind": "langevin", "scheme": "adams", "dt": 0.1, "temperature": 0.5}
    samples, scaled = 40, []
    dense = [(256, {"disorder": "full"})] if kind == "quench" else []
    for n, system in [*((n, {}) for n in (1e2, 1e4, 1e8)), *dense]:
        run = measured({"n": n, **system}, moves, [0.0, 2.0], [{"kind": "energy"}], ensemble={"samples": samples})
        scaled.append(float(run.energy.isel(time=-1).var("sample", ddof=1)[0]) * n)
    low, high = (stats.chi2.ppf(q, samples - 1) / (samples - 1) for q in (5e-4, 1 - 5e-4))
    middle = np.mean(scaled[1:3])
    assert all(low < value / middle < high for value in scaled), scaled
    assert 0.05 < middle < (0.25 if kind == "quench" else 0.8)


def test_overlaps_and_spins_are_one_law_at_large_n() -> None:
    """N = 10⁵: the energies of either are within a few 1/√N of the limit, and of each other."""
    limit = measured({"n": INFINITE}, QUENCH, [0.0, 2.0], [{"kind": "overlap"}])
    for coordinates in ("overlaps", "spins"):
        run = measured({"n": 1e5, "coordinates": coordinates}, QUENCH, [0.0, 2.0], [{"kind": "overlap"}], ensemble={"samples": 8})
        gap = (run.energy - limit.energy.isel(sample=0)).values[:, 0, 1] * math.sqrt(1e5 / 0.12)
        assert abs(gap.mean()) < 4 / math.sqrt(8) + 0.1
        assert stats.chi2.ppf(1e-4, 7) < 7 * gap.var(ddof=1) < stats.chi2.ppf(1 - 1e-4, 7)


def test_spins_written_down_are_those_of_the_overlaps() -> None:
    """x on the sphere of radius √N, with Gaussian components: ⟨σ⁴⟩ = 3."""
    run = measured({"n": 2e4, "coordinates": "spins"}, QUENCH, [0.0, 2.0], [{"kind": "participation"}, {"kind": "constraint"}])
    np.testing.assert_allclose(run.participation.values, 3.0, atol=0.2)
    assert float(np.abs(run.constraint).max()) < 1e-12


@pytest.mark.parametrize("temperature", [0.3, 0.5])
def test_a_long_thermal_run_is_stable(temperature: float) -> None:
    """Below T_d from a random start the energy falls towards that of the marginal states, from above."""
    run = measured(
        {"n": 1e6},
        {"kind": "langevin", "scheme": "adams", "dt": 0.1, "temperature": temperature},
        [0.0, 1.0, 3.0, 10.0, 25.0],
        [{"kind": "overlap"}],
    )
    energy = run.energy.values[0, 0]
    assert np.all(np.diff(energy) < 0)
    assert energy[-1] > marginal_state(3, temperature).energy


def test_memory_of_a_start_is_lost_in_the_same_way_by_twins_with_the_same_noise() -> None:
    """Damage spreading: a copy from nearby comes back to the run above T_d, where there is one state."""
    run = measured(
        {"n": INFINITE},
        {"kind": "langevin", "dt": 0.05, "temperature": 1.5},
        [0.0, 6.0],
        [{"kind": "clone", "chance": "same", "kick": 0.1}],
        schedule={"horizon": 6.0, "time": [0.0], "t_w": [1.0], "t": [0.0, 2.0, 5.0]},
    )
    distance = run.clone_distance.values[0, 0, 0]
    assert distance[0] > 0.005
    assert distance[2] < distance[1] < distance[0]


def test_two_replicas_on_one_disorder_forget_each_other_for_many_spins() -> None:
    run = measured({"n": INFINITE}, QUENCH, [0.0, 2.0], [{"kind": "replica_overlap"}], ensemble={"replicas": 2})
    np.testing.assert_allclose(run.replica_overlap.values, 0.0, atol=1e-9)
