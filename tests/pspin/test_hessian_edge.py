"""The predicted spectrum of the Hessian."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import glassyrun
from glassyrun_pspin.hessian_edge import below_zero


def measured(system: dict[str, Any]) -> xr.Dataset:
    return glassyrun.run(
        {
            "system": {"kind": "pspin", **system},
            "dynamics": {"kind": "quench", "dt": 0.1, "scheme": "heun"},
            "schedule": {"horizon": 2.0, "time": [0.0, 1.0, 2.0]},
            "observables": [{"kind": "energy"}, {"kind": "hessian_edge"}],
        },
        quiet=True,
    )


@pytest.mark.parametrize("system", [{"n": 40}, {"n": 1e6, "disorder": "lazy"}])
def test_the_edge_follows_from_the_energy(system: dict[str, Any]) -> None:
    """−3E − √12 for p = 3."""
    run = measured(system)
    np.testing.assert_allclose(run.hessian_edge, -3 * run.energy - math.sqrt(12), atol=2e-5)
    assert bool((run.hessian_edge_index.diff("time") < 0).all())  # fewer negative ones the deeper


def test_the_edge_of_a_mixture_is_that_of_the_radial_force() -> None:
    """By E of each degree alone: two systems with the same couplings share the x at time 0."""
    run = measured({"n": 24, "mixture": {"3": 1.0, "4": 0.5}})
    width = 2 * math.sqrt(0.5 * (6 + 0.25 * 12))
    assert abs(float(run.hessian_edge[0, 0, 0]) + width) < 3.5 * float(np.abs(run.energy).max()) + 1.0
    assert float(run.hessian_edge.attrs["half_width"]) == pytest.approx(width)


def test_the_share_below_zero_is_the_area_of_the_semicircle() -> None:
    centres = torch.linspace(-1.2, 1.2, 9, dtype=torch.float64)
    u = np.linspace(-1, 1, 2_000_001)
    density = 2 / math.pi * np.sqrt(1 - u * u)
    areas = [np.trapezoid(np.where(c + u < 0, density, 0.0), u) for c in centres.numpy()]
    np.testing.assert_allclose(below_zero(centres).numpy(), areas, atol=2e-6)


def test_other_systems_are_refused() -> None:
    with pytest.raises(glassyrun.Refusal, match="no p-spin"):
        glassyrun.run(
            {
                "system": {"kind": "quadratic", "n": 4, "terms": 8},
                "dynamics": {"kind": "quench", "dt": 0.1},
                "schedule": {"horizon": 1.0},
                "observables": [{"kind": "hessian_edge"}],
            },
            quiet=True,
        )
