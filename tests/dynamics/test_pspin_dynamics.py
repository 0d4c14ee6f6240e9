"""The p-spin in motion: against eigenmodes, against N → ∞, from planted and from random starts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.special import iv, ive
from tests.dynamics.mean_field import MeanField, extrapolated
from tests.models import begin, context, dynamics

import glassyrun
from glassyrun import State
from glassyrun_pspin.options import PSpinOptions
from glassyrun_pspin.theory import marginal_state


def simulate(
    system: dict[str, Any], moves: dict[str, Any], times: list[float], waiting: list[float], **ensemble: int
) -> xr.Dataset:
    """Energy at `times`, overlaps for t_w in `waiting` and t in `times`, as far as the last time goes."""
    schedule = {"horizon": times[-1], "time": times, "t_w": waiting, "t": times}
    spec = {"seed": 5, "system": system, "dynamics": moves, "schedule": schedule, "ensemble": ensemble}
    return glassyrun.run({**spec, "observables": [{"kind": "energy"}, {"kind": "overlap"}]}, quiet=True)


def over_samples(data: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error; the replicas of a sample share its disorder, so samples are what is independent."""
    by_sample = data.mean("replica")
    return by_sample.mean("sample").values, by_sample.std("sample", ddof=1).values / by_sample.sizes["sample"] ** 0.5


def couplings_matrix(system: glassyrun.System) -> np.ndarray:
    """K of H = −½ σᵀKσ, read off the gradient along unit vectors."""
    unit = State(torch.eye(system.dof, dtype=torch.float64))
    return -system.gradient(unit).gradient.numpy()


@pytest.mark.parametrize("diagonals", [True, False])
def test_p2_follows_its_eigenmodes(diagonals: bool) -> None:
    """T = 0, one sample: x(t) ∝ e^{Kt} x(0); energy and C(t, t′) to 1e-6 after Richardson's extrapolation in dt."""
    system = PSpinOptions(n=24, p=2, diagonals=diagonals).build(context("system"))
    values, vectors = np.linalg.eigh(couplings_matrix(system))
    found: dict[float, list[float]] = {}
    for dt in (0.02, 0.01):
        moves = dynamics("quench", system, dt=dt, scheme="heun")
        state = begin(system, moves, 2)
        start = state.x.numpy().copy()
        moves.advance(system, state, round(1 / dt))
        early = state.x.numpy().copy()
        moves.advance(system, state, round(3 / dt))
        found[dt] = [*(system.energy(state).numpy() / 24), *((early * state.x.numpy()).sum(1) / 24)]
    extrapolated = (4 * np.array(found[0.01]) - np.array(found[0.02])) / 3
    exact_energy, exact_overlap = [], []
    for x in start:
        modes = [vectors @ (np.exp(values * t) * (vectors.T @ x)) for t in (1.0, 4.0)]
        unit = [mode / np.linalg.norm(mode) for mode in modes]
        exact_energy.append(-0.5 * unit[1] @ vectors @ (values * (vectors.T @ unit[1])))
        exact_overlap.append(unit[0] @ unit[1])
    np.testing.assert_allclose(extrapolated, [*exact_energy, *exact_overlap], atol=1e-6)


def test_p2_tends_to_its_exact_large_n_solution() -> None:
    """E = −g′(2t)/(2g(2t)), C = g(t+t′)/√(g(2t)g(2t′)) with g(s) = I₁(2s)/s; N = 600, errors of 1/N allowed for."""
    times = [0.5, 1.0, 2.0, 4.0]
    ds = simulate(
        {"kind": "pspin", "n": 600, "p": 2},
        {"kind": "quench", "dt": 0.05, "scheme": "heun"},
        times,
        [0.5, 1.0],
        samples=16,
        replicas=24,
    )

    def g(s: float) -> float:
        return ive(1, 2 * s) / s * np.exp(2 * s)

    def slope(s: float) -> float:
        return ((iv(0, 2 * s) + iv(2, 2 * s)) * s - iv(1, 2 * s)) / s**2

    mean, error = over_samples(ds.energy)
    exact = np.array([-slope(2 * t) / (2 * g(2 * t)) for t in times])
    assert np.all(error < 0.003)
    assert np.all(np.abs(mean - exact) < 0.012), (mean, exact)
    for t_w in (0.5, 1.0):
        mean, error = over_samples(ds.overlap.sel(t_w=t_w, t=[0.5, 1.0, 2.0]))
        exact = np.array([g(2 * t_w + t) / np.sqrt(g(2 * t_w) * g(2 * (t_w + t))) for t in (0.5, 1.0, 2.0)])
        assert np.all(error < 0.01)
        assert np.all(np.abs(mean - exact) < 0.015), (mean, exact)


def test_planted_start_is_stationary_from_the_first_moment() -> None:
    """p = 3 at T = T_i = 0.8 > T_d: E = −1/(2T) at every time, exactly at finite N, and C depends on t alone.

    A random start at the same T is far from both. Joint χ² over the curve, standard errors capped.
    """
    temperature, times = 0.8, [0.4, 0.8, 1.6, 2.4]
    system = {"kind": "pspin", "n": 64, "initial_temperature": temperature}
    moves = {"kind": "langevin", "dt": 0.04, "temperature": temperature}
    ds = simulate(system, moves, times, [0.0, 0.8, 1.6], samples=120, replicas=4)
    energies = ds.energy.mean("replica").values
    assert energies.std(0, ddof=1).max() / 120**0.5 < 0.009
    covariance = np.cov(energies.T) / 120
    off = energies.mean(0) + 1 / (2 * temperature)
    assert off @ np.linalg.solve(covariance, off) < 18.5  # 99.9 % of χ² with four degrees of freedom
    early, late = ds.overlap.sel(t_w=0.0, t=[0.4, 0.8]), ds.overlap.sel(t_w=1.6, t=[0.4, 0.8])
    difference, error = over_samples(late - early)
    assert np.all(error < 0.01)
    assert np.all(np.abs(difference) < 3.5 * error), (difference, error)


@functools.cache
def theory(temperature: float) -> MeanField:
    return extrapolated(3, temperature, 8.0, 0.04)


@functools.cache
def aging_run(temperature: float) -> xr.Dataset:
    moves = {"kind": "langevin", "dt": 0.05, "temperature": temperature}
    return simulate({"kind": "pspin", "n": 256}, moves, [1.0, 2.0, 4.0, 8.0], [1.0, 4.0], samples=30, replicas=4)


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_below_t_d_it_follows_the_mean_field_equations(temperature: float) -> None:
    """Random start, N = 256, T = 0 and 0.3: energy and C(t_w, t_w+t) along N → ∞, shifts of order 2/N allowed for."""
    ds, exact = aging_run(temperature), theory(temperature)
    mean, error = over_samples(ds.energy)
    expected = np.array([exact.energy[exact.at(float(t))] for t in ds.time])
    assert np.all(error < 0.0045)
    assert np.all(np.abs(mean - expected) < 3.5 * error + 0.009), (mean, expected)
    for t_w in (1.0, 4.0):
        lags = [1.0, 2.0, 4.0]
        mean, error = over_samples(ds.overlap.sel(t_w=t_w, t=lags))
        expected = np.array([exact.C[exact.at(t_w + t), exact.at(t_w)] for t in lags])
        assert np.all(error < 0.01)
        assert np.all(np.abs(mean - expected) < 3.5 * error + 0.01), (t_w, mean, expected)


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_it_ages_towards_the_marginal_states(temperature: float) -> None:
    """The excess over E_∞ falls, stays positive, and falls by 40 % from t = 2 to t = 8; C(t_w, t_w+4) grows with t_w."""
    ds = aging_run(temperature)
    excess = over_samples(ds.energy)[0] - marginal_state(3, temperature).energy
    assert np.all(np.diff(excess) < 0)
    assert 0 < excess[-1] < 0.6 * excess[1]
    older, younger = (over_samples(ds.overlap.sel(t_w=t_w, t=4.0))[0] for t_w in (4.0, 1.0))
    assert older - younger > 0.1
