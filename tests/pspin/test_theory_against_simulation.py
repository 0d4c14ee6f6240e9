"""Theory and simulation of one spec, on the same axes: the equations of the limit against lazily drawn and dense couplings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import glassyrun

INFINITE = float("inf")
CASES: dict[str, tuple[dict[str, Any], float]] = {
    "T = 0": ({}, 0.0),
    "T = 0.3": ({}, 0.3),
    "T = 0.5": ({}, 0.5),
    "T = 0.8, planted": ({"initial_temperature": 0.8}, 0.8),
    "T = 0.6, planted": ({"initial_temperature": 0.6}, 0.6),
    "3 + 4, T = 0": ({"mixture": {"3": 1.0, "4": 1.0}}, 0.0),
    "p = 2, T = 0.2": ({"p": 2}, 0.2),
    "quench of T_i = 1": ({"initial_temperature": 1.0}, 0.0),
}


def tables(system: dict[str, Any], temperature: float, dt: float, **rest: Any) -> dict[str, Any]:
    hot = {"kind": "langevin", "temperature": temperature}
    moves = hot if temperature else {"kind": "quench", "scheme": "heun"}
    kinds = ["energy", "overlap", *(["response"] if rest.pop("response", True) else [])]
    return {
        "system": {"kind": "pspin", **system},
        "dynamics": {**moves, "dt": dt},
        "schedule": {"horizon": 4.0, "time": [0.0, 1.0, 2.0, 4.0], "t_w": [0.0, 1.0, 2.0], "t": [0.4, 1.0, 2.0]},
        "observables": [{"kind": kind, **({"opposite": True, "field": 0.02} if kind == "response" else {})} for kind in kinds],
        **rest,
    }


def measured(system: dict[str, Any], temperature: float, dt: float = 0.1, **rest: Any) -> xr.Dataset:
    return glassyrun.run(tables(system, temperature, dt, **rest), quiet=True)


@pytest.mark.parametrize("case", CASES)
def test_two_solvers_of_the_limit_agree(case: str) -> None:
    """The two-time equations, and the lazily drawn model of infinitely many spins, which knows nothing of them; extrapolated in dt."""
    system, temperature = CASES[case]
    theory = measured({**system, "n": INFINITE}, temperature)
    lazy = {**system, "n": INFINITE, "disorder": "lazy", "pivot_tolerance": 1e-9}  # a weak field wants small ones
    coarse, fine = (measured(lazy, temperature, dt) for dt in (0.1, 0.05))
    for name, tolerance in (("energy", 5e-4), ("overlap", 5e-4), ("response", 1e-3)):
        gap = (fine[name] + (fine[name] - coarse[name]) / 3 - theory[name]).values
        assert np.nanmax(np.abs(gap)) < tolerance, (name, gap)
        assert np.isfinite(gap).sum() == np.isfinite(theory[name].values).sum()


def chi_squared(run: xr.Dataset, theory: xr.Dataset, least: float) -> tuple[float, int]:
    """Joint χ² of E and C over all points, mean over samples against theory; `least` is added to each variance, squared."""
    values, exact = [], []
    for name in ("energy", "overlap"):
        data = run[name].mean("replica")
        flat = data.values.reshape(data.sizes["sample"], -1)
        known = theory[name].isel(sample=0, replica=0).values.reshape(-1)
        keep = np.isfinite(known) & (flat.std(0) > 1e-12)
        values.append(flat[:, keep])
        exact.append(known[keep])
    all_values, target = np.concatenate(values, 1), np.concatenate(exact)
    samples, points = all_values.shape
    covariance = np.cov(all_values.T) / samples + least**2 * np.eye(points)
    gap = all_values.mean(0) - target
    return float(gap @ np.linalg.solve(covariance, gap)), points


@pytest.mark.parametrize(("case", "n"), [("T = 0", 1e5), ("T = 0.5", 1e8), ("T = 0.8, planted", 1e5)])
def test_the_lazy_model_of_many_spins_lies_on_the_theory(case: str, n: float) -> None:
    """Two dozen samples; standard errors are below 3·10⁻⁴ here, so the cap is the error of dt² that is left at dt = 0.05."""
    system, temperature = CASES[case]
    theory = measured({**system, "n": INFINITE}, temperature, response=False)
    run = measured({**system, "n": n, "disorder": "lazy"}, temperature, 0.05, response=False, ensemble={"samples": 24})
    square, points = chi_squared(run, theory, least=2e-3)
    assert stats.chi2.sf(square, points) > 1e-3, (square, points)
    errors = run.energy.std("sample", ddof=1) / 24**0.5
    assert float(errors.max()) < 3e-3


@pytest.mark.parametrize("diagonals", [True, False])
def test_dense_couplings_come_closer_the_more_spins_there_are(diagonals: bool) -> None:
    """E(2) and C at N = 64 and 256: the distance from theory falls, and is within a few 1/N."""
    theory = measured({"n": INFINITE}, 0.0, response=False)
    gaps = []
    for n in (48, 192):
        run = measured({"n": n, "diagonals": diagonals}, 0.0, 0.1, response=False, ensemble={"samples": 32, "replicas": 2})
        gap = (run.energy.mean(["sample", "replica"]) - theory.energy.isel(sample=0, replica=0)).values[1:]
        error = (run.energy.mean("replica").std("sample", ddof=1) / 32**0.5).values[1:]
        assert np.all(error < 0.012)
        gaps.append(np.abs(gap))
        assert np.all(np.abs(gap) < 4.0 / n + 4 * error + 0.004)
    assert gaps[1].mean() < gaps[0].mean()
