"""The fluctuation-dissipation theorem: it holds in equilibrium, and below T_d it fails as it must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.models import context, dynamics
from tests.observables.aging import agrees, in_equilibrium, two_times

import glassyrun
from glassyrun_observables.noise_response import NoiseResponseOptions
from glassyrun_observables.overlap import OverlapOptions
from glassyrun_observables.response import ResponseOptions
from glassyrun_quadratic.quadratic import QuadraticOptions

RESPONSES: list[dict[str, Any]] = [{"kind": "overlap"}, {"kind": "response"}, {"kind": "noise_response"}]


@pytest.mark.parametrize("scheme", ["heun", "adams"])
def test_it_holds_for_a_quadratic_energy_in_equilibrium(scheme: str) -> None:
    """Tχ = C(t, t) − C(t, t_w), where C(t, t) fluctuates from replica to replica; 400 replicas, joint χ² over lags."""
    temperature, since, steps = 0.5, 4, np.array([8, 12, 24])
    system = QuadraticOptions(n=60, terms=180).build(context("system"))
    moves = dynamics("langevin", system, dt=0.05, temperature=temperature, scheme=scheme)
    kinds = [OverlapOptions(), ResponseOptions(), NoiseResponseOptions()]
    found = two_times(kinds, system, moves, in_equilibrium(system, temperature, 400), (since, *steps.tolist()), 24)
    now = np.stack([found["overlap"][1 + k, step] for k, step in enumerate(steps)])
    fluctuation = (now - found["overlap"][0, steps]).T
    agrees(temperature * found["response"][0, steps].T - fluctuation, 0.0, cap=0.01)
    noise = found["noise_response"][0, steps] - found["noise_response_start"][0, steps]
    agrees(temperature * noise.T - fluctuation, 0.0, cap=0.01)


def planted(temperature: float, scheme: str, dt: float) -> Any:
    """Means over replicas. At dt = 0.1 the error of the steps, which goes with dt², is seen: 0.002 at the lag 0.2."""
    spec = {
        "seed": 5,
        "system": {"kind": "pspin", "p": 3, "n": 24, "initial_temperature": temperature},
        "dynamics": {"kind": "langevin", "temperature": temperature, "dt": dt, "scheme": scheme},
        "schedule": {"horizon": 1.4, "t_w": [0.4], "t": [0.2, 0.4, 1.0], "time": [0.0]},
        "ensemble": {"samples": 28, "replicas": 12},
        "observables": RESPONSES,
        "run": {"threads": 1},
    }
    return glassyrun.run(spec, quiet=True).mean("replica")


@pytest.mark.parametrize(("scheme", "dt"), [("heun", 0.05), ("adams", 0.04)])
def test_it_holds_for_a_planted_glass(scheme: str, dt: float) -> None:
    """T = 0.8, N = 24: exact at every N, both estimates, joint χ² over lags with 28 independent samples."""
    ds = planted(0.8, scheme, dt)
    fluctuation = 1 - ds.overlap
    noise = ds.noise_response - ds.overlap.mean("sample") * ds.noise_response_start
    for response in (ds.response, noise):
        off = (0.8 * response - fluctuation).stack(point=("t_w", "t")).transpose("sample", "point").values
        agrees(off, 0.0, cap=0.01)


def test_it_fails_in_aging() -> None:
    """T = 0.3 from T_i = ∞: as in equilibrium at lags much below t_w, and far from it at lags above.

    At N = 64 and t_w = 4 the ratio Tχ/(1 − C) at t = 12 is between the asymptotic X = 0.39 and 1.
    """
    spec = {
        "seed": 2,
        "system": {"kind": "pspin", "p": 3, "n": 64},
        "dynamics": {"kind": "langevin", "temperature": 0.3, "dt": 0.1},
        "schedule": {"horizon": 16.0, "t_w": [4.0], "t": [0.3, 12.0], "time": [0.0]},
        "ensemble": {"samples": 5, "replicas": 24},
        "observables": RESPONSES[:2],
        "run": {"threads": 1},
    }
    ds = glassyrun.run(spec, quiet=True).mean("replica").isel(t_w=0)
    ratio = 0.3 * ds.response / (1 - ds.overlap)
    mean, error = ratio.mean("sample").values, ratio.std("sample", ddof=1).values / 5**0.5
    assert (error < (0.03, 0.06)).all()
    assert mean[0] == pytest.approx(1, abs=3 * error[0] + 0.02)
    assert 0.45 < mean[1] < 0.85
    assert mean[1] + 4 * error[1] < 1
