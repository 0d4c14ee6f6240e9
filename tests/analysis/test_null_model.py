"""The closed form of the null model against the quadratic system, and against independent sums."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from tests.models import begin, context, dynamics

import glassyrun
from glassyrun.analysis import NullModel
from glassyrun_quadratic.quadratic import QuadraticOptions


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 0.5, 2.0])
def test_the_closed_form_is_the_integral_over_the_spectrum(exponent: float) -> None:
    """E, Δ and C by adaptive quadrature of (a+1) λ^a, cutoff 3, mean square start 2."""
    model, cutoff, amplitude = NullModel(exponent, 3.0, 2.0), 3.0, 2.0
    t_w, t = np.array([0.0, 0.5, 30.0]), np.array([1e-4, 2.0, 300.0])

    def mean(f) -> float:
        scale = amplitude * (exponent + 1) / cutoff ** (exponent + 1)
        parts = [quad(f, 0, 1e-2, weight="alg", wvar=(exponent, 0), epsabs=0, epsrel=1e-9)[0]]
        edges = [1e-2, 0.1, 0.5, cutoff]
        parts += [quad(lambda x: f(x) * x**exponent, *pair, epsabs=1e-14)[0] for pair in itertools.pairwise(edges)]
        return scale * sum(parts)

    for row, w in enumerate(t_w):
        assert model.energy(t_w)[row] == pytest.approx(0.5 * mean(lambda x, w=w: x * np.exp(-2 * x * w)), rel=1e-7)
        for column, lag in enumerate(t):
            moved = mean(lambda x, w=w, lag=lag: np.exp(-2 * x * w) * np.expm1(-x * lag) ** 2)
            assert model.msd(t_w, t)[row, column] == pytest.approx(moved, rel=1e-6)
            kept = mean(lambda x, w=w, lag=lag: np.exp(-x * (2 * w + lag)))
            assert model.overlap(t_w, t)[row, column] == pytest.approx(kept, rel=1e-6)


def test_by_default_it_is_the_spectrum_of_a_semicircle() -> None:
    """ρ ∝ λ^½ below 1, as the edge of a random matrix and p = 2 have it, and mean square start 1."""
    assert NullModel() == NullModel(0.5, 1.0, 1.0)


def test_asymptotic_powers() -> None:
    """E ~ t^{−(a+2)} and Δ(t_w, t_w + c t_w) ~ t_w^{−(a+1)} for times beyond 1/cutoff."""
    model, times = NullModel(0.5), np.array([1e3, 1e4])
    assert np.log10(np.divide(*model.energy(times)[::-1])) == pytest.approx(-2.5, abs=0.01)
    delta = [model.msd(np.array([w]), np.array([2 * w]))[0, 0] for w in times]
    assert np.log10(delta[1] / delta[0]) == pytest.approx(-1.5, abs=0.01)


def test_the_quadratic_system_descends_as_the_spectrum_says() -> None:
    """E(t) and Δ(t_w, t_w+t) of one run from its own start, mode by mode, to 1e-5: Heun's method at dt = .01."""
    system = QuadraticOptions(n=30, terms=40, noise=0.0, spectrum="power", exponent=0.5).build(context("system"))
    moves = dynamics("quench", system, scheme="heun", dt=0.01)
    state = begin(system, moves, 2)
    inputs = system.inputs.numpy()
    eigenvalues, frame = np.linalg.eigh(inputs.T @ inputs / 40)
    minimum = np.linalg.lstsq(inputs, system.targets.numpy(), rcond=None)[0]
    start = (state.x.numpy() - minimum) @ frame
    kept = {0: state.x.numpy().copy()}
    for step in (300, 1000):
        moves.advance(system, state, step - state.step)
        kept[step] = state.x.numpy().copy()
        exact = 0.5 * (start**2 * eigenvalues * np.exp(-2 * eigenvalues * step * 0.01)).sum(axis=1)
        np.testing.assert_allclose(system.energy(state).numpy(), exact, rtol=1e-4)
    moved = ((kept[1000] - kept[300]) ** 2).mean(axis=1)
    modes = np.exp(-2 * eigenvalues * 3.0) * np.expm1(-eigenvalues * 7.0) ** 2
    np.testing.assert_allclose(moved, (start**2 * modes).mean(axis=1), rtol=1e-4)


def test_a_run_of_the_shipped_spec_is_the_closed_form() -> None:
    """n = 256, twelve trajectories, to time 20: within 5 % of n → ∞ and four standard errors; mean square start 2 (start and teacher)."""
    path = Path(__file__).parents[2] / "specs" / "null_model.toml"
    changes = {"system.n": 256, "system.terms": 256, "schedule.horizon": 20, "run.threads": 1}
    ds = glassyrun.run(glassyrun.load(path, changes), quiet=True)
    model = NullModel(0.5, amplitude=2.0)
    energy = ds.energy.stack(run=("sample", "replica")) / 256
    error = energy.std("run") / 3**0.5  # replicas share their teacher: three samples count
    exact = model.energy(ds.time.values)
    late = 0.05 * exact + 4 * error
    assert (np.abs(energy.mean("run") - exact) < late).all()
    msd = ds.msd.stack(run=("sample", "replica"))
    measured, expected = msd.mean("run"), model.msd(ds.t_w.values, ds.t.values)
    near = 4 * msd.std("run") / 3**0.5 + 0.05 * expected
    assert (np.abs(measured - expected) <= near).where(measured.notnull(), True).all()
    assert float((np.abs(measured / expected - 1)).where(ds.t > 0).median()) < 0.03
