"""Theory for N → ∞ has one curve and no trajectories: what is read off it has no statistical error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.analysis.synthetic import times

import glassyrun
from glassyrun import analysis
from glassyrun.analysis.trajectories import jackknife, theory, units

TIME, T_W, T = times(0.1, 1e3, 81), np.array([1.0, 2.0, 5.0, 10.0, 20.0]), times(0.1, 100, 40)
ANALYSES: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], dict[str, float]]] = {
    "regimes": (lambda ds: analysis.regimes(ds, bottom=0.0), {"t1": -30 * np.log(0.9), "t2": 30 * np.log(100)}),
    "relaxation_time": (lambda ds: analysis.relaxation_time(ds, variable="overlap").isel(t_w=0), {"tau": np.e - 1}),
    "fdt": (lambda ds: analysis.fdt(ds, temperature=0.5).isel(t_w=0), {"x": 1.0, "effective_temperature": 0.5}),
    "aging": (analysis.aging, {"mu": 1.0}),
}


def predicted(kind: str = "bare") -> xr.Dataset:
    """As the solver writes it, without dimensions of trajectories or with one or several equal ones."""
    c = 1 / (1 + T / T_W[:, None])
    ds = xr.Dataset(
        {
            "energy": ("time", np.exp(-TIME / 30), {"error": 1e-7}),
            "overlap": (("t_w", "t"), c, {"error": 1e-7}),
            "response": (("t_w", "t"), (1 - c) / 0.5, {"error": 1e-7}),
            "msd": (("t_w", "t"), 2 * (1 - c), {"error": 1e-7}),
        },
        {"time": TIME, "t_w": T_W, "t": T},
        {"theory": "two-time equations", "degrees_of_freedom": np.inf},
    )
    if kind == "bare":
        return ds
    return ds.expand_dims(sample=range(1), replica=range(1 if kind == "one" else 3)).copy()


@pytest.mark.parametrize("kind", ["bare", "one", "three"])
@pytest.mark.parametrize("name", list(ANALYSES))
def test_it_is_analysed_without_an_error_of_trajectories(name: str, kind: str) -> None:
    analyse, truths = ANALYSES[name]
    found = analyse(predicted(kind))
    for quantity, truth in truths.items():
        low, high = found[f"{quantity}_interval"].values
        assert float(found[quantity]) == pytest.approx(truth, rel=5e-3), quantity
        # what is read between points is uncertain by what the curve may do there, and by nothing else
        assert low <= float(found[quantity]) <= high < 1.01 * low + 1e-9
        assert "no error of trajectories" in found[quantity].attrs["errors"]
        assert "reason" not in found[quantity].attrs


def test_one_variable_alone_is_known_by_its_error() -> None:
    energy = predicted().energy
    assert float(analysis.regimes(energy, bottom=0.0).t2) == pytest.approx(30 * np.log(100), rel=5e-3)
    lost = analysis.regimes(energy.drop_attrs(), bottom=0.0)
    assert "needs 3 samples or 3 replicas" in lost.t2.attrs["reason"]


def test_trajectories_that_differ_are_no_theory_whatever_the_attributes_say() -> None:
    """As after `xr.concat` of theory and simulation, which keeps the attributes of the first."""
    ds = predicted("three")
    ds["energy"] = ds.energy * xr.DataArray([1.0, 1.1, 0.9], dims="replica")
    assert not theory(ds, ["energy"])
    assert float(jackknife(units(ds, ["energy"]), lambda means: means["energy"][0]).error) > 0.01


def test_what_has_no_meaning_for_it_is_refused() -> None:
    with pytest.raises(glassyrun.Refusal, match="doesn't fluctuate"):
        analysis.chi4(predicted("one"))
    finite = predicted("three").assign_attrs(degrees_of_freedom=100)
    with pytest.raises(glassyrun.Refusal, match="is the limit itself"):
        analysis.finite_size([finite, predicted("three")])


def test_of_a_real_solution() -> None:
    """The 3-spin at T = 0 for N → ∞ as glassyrun writes it: E(10) = −1.082."""
    spec = {
        "seed": 1,
        "system": {"kind": "pspin", "n": np.inf},
        "dynamics": {"kind": "quench", "dt": 0.1},
        "schedule": {"horizon": 10, "t_w": [0.1, 0.3, 1, 3]},
        "observables": [{"kind": "energy"}, {"kind": "msd"}],
    }
    run = glassyrun.run(spec, quiet=True)
    found = analysis.regimes(run, bottom=-1.1717)
    assert 0.05 < float(found.t1) < 0.12
    assert float(found.remaining) == pytest.approx((1.1717 - 1.082) / 1.1717, abs=0.002)
    assert np.isfinite(analysis.aging(run).slope.sel(t_w=1)).sum() > 10
