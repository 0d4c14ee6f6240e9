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


POINTS = (
    ("energy", {"time": [1.0, 2.0, 4.0]}),
    ("overlap", {"t_w": [1.0, 2.0], "t": [1.0, 2.0]}),
    ("response", {"t_w": [1.0, 2.0], "t": [1.0, 2.0]}),
)
SAMPLES, REMAINDER = 24, 3e-4


def at_points(ds: xr.Dataset) -> np.ndarray:
    """E, C and χ at eleven points, [sample, point]; theory has one row."""
    rows = [ds[name].mean("replica") if "replica" in ds.dims else ds[name].expand_dims("sample") for name, _ in POINTS]
    return np.concatenate(
        [row.sel(at).values.reshape(row.sizes["sample"], -1) for row, (_, at) in zip(rows, POINTS, strict=True)], axis=1
    )


@pytest.mark.parametrize(
    ("case", "n"), [*((case, 1e5) for case in list(CASES)[:5]), ("T = 0", 1e8), ("T = 0.5", 1e8)], ids=lambda value: str(value)
)
def test_the_lazy_model_of_many_spins_lies_on_the_theory(case: str, n: float) -> None:
    """Hotelling's T² of two dozen samples over E, C and χ together, less what the step costs in the same model of infinite N.

    Standard errors are at most a thousandth at N = 10⁵, and at 10⁸ nothing but the 3·10⁻⁴ that extrapolation in dt leaves.
    """
    system, temperature = CASES[case]
    lazy = {"disorder": "lazy", "pivot_tolerance": 1e-9}
    theory = at_points(measured({**system, "n": INFINITE}, temperature))[0]
    coarse, fine = (at_points(measured({**system, **lazy, "n": INFINITE}, temperature, dt))[0] for dt in (0.1, 0.05))
    rows = at_points(measured({**system, **lazy, "n": n}, temperature, 0.1, ensemble={"samples": SAMPLES}))
    gap = rows.mean(axis=0) - (coarse - fine) * 4 / 3 - theory
    points = len(gap)
    covariance = np.cov(rows.T) / SAMPLES + REMAINDER**2 * np.eye(points)
    square = float(gap @ np.linalg.solve(covariance, gap)) * (SAMPLES - points) / (points * (SAMPLES - 1))
    assert stats.f.sf(square, points, SAMPLES - points) > 1e-3, (square, gap)
    assert np.sqrt(np.diag(covariance)).max() < 2.5e-3


@pytest.mark.parametrize("diagonals", [True, False])
def test_dense_couplings_come_closer_the_more_spins_there_are(diagonals: bool) -> None:
    """E at N = 48 and 192: the distance from theory falls, and is within a few 1/N (to 1024, at five temperatures, C and χ too:
    benchmarks/dense_theory.py)."""
    theory = measured({"n": INFINITE}, 0.0, response=False)
    gaps = []
    for n in (48, 192):
        run = measured({"n": n, "diagonals": diagonals}, 0.0, 0.1, response=False, ensemble={"samples": 32, "replicas": 2})
        gap = (run.energy.mean(["sample", "replica"]) - theory.energy).values[1:]
        error = (run.energy.mean("replica").std("sample", ddof=1) / 32**0.5).values[1:]
        assert np.all(error < 0.012)
        gaps.append(np.abs(gap))
        assert np.all(np.abs(gap) < 4.0 / n + 4 * error + 0.004)
    assert gaps[1].mean() < gaps[0].mean()
