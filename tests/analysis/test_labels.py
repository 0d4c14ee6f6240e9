"""Sweeps, lazy data, runs that are not finished, and results of real runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.analysis.test_aging import curves
from tests.analysis.test_fluctuations import glass, relaxing
from tests.analysis.test_noise import diffusing
from tests.analysis.test_regimes import TIME, descent

import glassyrun
from glassyrun import analysis

RNG = np.random.default_rng


def fluctuating() -> xr.Dataset:
    ds = glass(RNG(0)).rename(response="displacement_fourth")
    return ds.assign(msd=2 * (1 - ds.overlap)).assign_attrs(degrees_of_freedom=100)


CASES: dict[str, tuple[Callable[[], xr.Dataset], Callable[[xr.Dataset], xr.Dataset]]] = {
    "regimes": (lambda: descent(RNG(0)), lambda ds: analysis.regimes(ds, bottom=0.0)),
    "aging": (lambda: curves(RNG(0)).isel(t_w=[0, 1, 3, 5], t=slice(0, None, 2)), analysis.aging),
    "rescale_by_noise": (lambda: diffusing(RNG(0)), lambda ds: analysis.rescale_by_noise(ds, after=5.0)),
    "diffusion": (lambda: diffusing(RNG(0)), lambda ds: analysis.diffusion(ds, after=5.0)),
    "sgd_temperature": (lambda: diffusing(RNG(0)), analysis.sgd_temperature),
    "fdt": (lambda: glass(RNG(0)), lambda ds: analysis.fdt(ds, temperature=0.5, levels=np.array([0.5, 0.8]))),
    "chi4": (fluctuating, analysis.chi4),
    "alpha2": (fluctuating, analysis.alpha2),
    "relaxation_time": (lambda: relaxing(RNG(0)), analysis.relaxation_time),
}


def swept(make: Callable[[], xr.Dataset]) -> xr.Dataset:
    """Two dimensions of a sweep; one of its points has nothing but NaN, as one that has not been run."""
    ds = make()
    whole = xr.concat([ds, ds], xr.DataArray([0.1, 0.2], dims="rate", name="rate"), data_vars="all")
    both = xr.concat([whole, whole], xr.DataArray([50, 100], dims="batch", name="batch"), data_vars="all")
    return both.where((both.rate < 0.15) | (both.batch < 75))


@pytest.mark.parametrize("name", list(CASES))
def test_each_point_of_a_sweep_as_if_alone(name: str) -> None:
    make, analyse = CASES[name]
    alone, found = analyse(make()), analyse(swept(make))
    for variable in alone.data_vars:
        assert set(found[variable].dims) == {*alone[variable].dims, "rate", "batch"}, variable
        xr.testing.assert_allclose(found[variable].sel(rate=0.2, batch=50, drop=True), alone[variable])
    first = next(iter(alone.data_vars))
    assert found[first].sel(rate=0.2, batch=100).isnull().all()
    assert "batch = 100, rate = 0.2: " in found[first].attrs["reason"]
    assert found.attrs["title"] == "synthetic"


@pytest.mark.parametrize("name", list(CASES))
def test_lazy_data_gives_the_same(name: str) -> None:
    pytest.importorskip("dask.array")
    make, analyse = CASES[name]
    lazy = swept(make).chunk({"rate": 1, "batch": 1, "replica": 2})
    xr.testing.assert_identical(analyse(lazy), analyse(swept(make)))


@pytest.mark.parametrize("name", list(CASES))
def test_a_trajectory_that_has_just_begun_is_left_out(name: str) -> None:
    """The last of six replicas has a fifth of its readings: what comes out is that of the other five."""
    make, analyse = CASES[name]
    whole = make()
    others = whole.isel(replica=slice(0, -1))
    along = "time" if "time" in whole.dims else "t" if "gradient_noise" not in whole else "t_w"
    last = xr.DataArray(np.arange(whole.sizes["replica"]) == whole.sizes["replica"] - 1, dims="replica")
    begun = whole.where(~last | (whole[along] <= whole[along][whole.sizes[along] // 5]))
    short, five = analyse(begun), analyse(others)
    for variable in five.data_vars:
        xr.testing.assert_allclose(short[variable], five[variable])


def test_a_trajectory_that_ends_early_makes_no_step_in_the_mean() -> None:
    """One of six has twice the energy and stops at four fifths; left out there, the mean would fall and t₂ come early."""
    ds = descent(RNG(0), size=1e-3)
    ds["energy"] = ds.energy * np.array([1, 1, 1, 1, 1, 2])[:, None]
    early = ds.where(xr.DataArray(np.arange(6) < 5, dims="replica") | (ds.time < 60))
    whole, part = analysis.regimes(ds, bottom=0.0), analysis.regimes(early, bottom=0.0)
    assert float(part.t2) == pytest.approx(float(whole.t2), rel=0.01)


def test_samples_are_the_units_where_there_are_three() -> None:
    """Replicas of a sample share its disorder: with it the error is that of samples, far above that over replicas."""
    shape = (6, 8, len(TIME))
    common = 0.1 * RNG(0).standard_normal((6, 1, 1))
    ds = descent(RNG(0), replicas=8, samples=6, size=0.01)
    ds["energy"] = ds.energy * (1 + common)
    assert ds.energy.shape == shape
    over_samples = analysis.regimes(ds, bottom=0.0).energy_start_error
    over_replicas = analysis.regimes(ds, bottom=0.0, over="replica").energy_start_error
    assert float(over_samples) > 5 * float(over_replicas)


@pytest.mark.parametrize("name", list(CASES))
def test_all_attributes_of_a_run_are_kept(name: str) -> None:
    """Seed, device, versions, digests, with and without a sweep: whatever the run knew of itself."""
    make, analyse = CASES[name]
    about = {"seed": 7, "device": "cpu", "versions": "{}", "complete": 1}
    for ds in (make(), swept(make)):
        ds = ds.assign_attrs(ds.attrs | about)
        assert analyse(ds).attrs == ds.attrs


def test_of_several_runs_what_they_agree_in_is_kept() -> None:
    runs = [descent(RNG(seed)).assign_attrs(seed=1, degrees_of_freedom=size, taps=[1, 2]) for seed, size in enumerate((10, 20))]
    kept = analysis.finite_size(runs).attrs
    assert kept.pop("sizes").tolist() == [10, 20]
    assert kept == {"title": "synthetic", "seed": 1, "taps": [1, 2]}


def test_a_real_run_of_a_glass_and_of_its_null_model() -> None:
    """The 3-spin after a quench, as glassyrun writes it: it leaves the start, and does not reach the ground state."""
    common = {
        "dynamics": {"kind": "quench", "dt": 0.1},
        "schedule": {"horizon": 30, "time": {"per_decade": 8}, "t_w": [0.1, 0.3, 1, 3], "t": {"per_decade": 6}},
        "ensemble": {"samples": 3, "replicas": 2},
        "run": {"threads": 1},
    }
    glass_run = glassyrun.run({"seed": 1, "system": {"kind": "pspin", "n": 48}, **common}, quiet=True)
    # E = −t·(p/2) at first: a tenth of the descent to −1.1717 is passed near 0.117/1.5
    found = analysis.regimes(glass_run, bottom=-1.1717)
    assert 0.05 < float(found.t1) < 0.12
    assert np.isnan(found.t2)
    ages = analysis.aging(glass_run)
    assert float(ages.mu) > 0.2 or "collapse" in ages.mu.attrs["reason"]
    assert np.isfinite(float(ages.mu_null)) or "amplitude" in ages.mu_null.attrs["reason"]
    assert ages.attrs["title"] == glass_run.attrs["title"]
    single = common | {"ensemble": {"replicas": 3}}
    null = glassyrun.run({"seed": 1, "system": {"kind": "quadratic", "n": 48, "spectrum": "power"}, **single}, quiet=True)
    side = analysis.compare(glass_run, null, names=["3-spin", "null model"])
    assert side.energy.notnull().any("time").all()


def test_a_bottom_and_a_t2_for_each_point_of_a_sweep() -> None:
    """Two landscapes of different depth, each with its own bottom; t₂ of each goes into the collapse."""
    whole = xr.concat([descent(RNG(0)), descent(RNG(0)) - 3.0], xr.DataArray([1, 2], dims="depth", name="depth"))
    found = analysis.regimes(whole, bottom=xr.DataArray([0.0, -3.0], dims="depth", coords={"depth": [1, 2]}))
    np.testing.assert_allclose(found.t2[0], found.t2[1])
    assert found.bottom.values.tolist() == [0.0, -3.0]
    noisy = xr.concat([diffusing(RNG(0))] * 2, xr.DataArray([1, 2], dims="depth", name="depth"))
    after = xr.DataArray([5.0, np.nan], dims="depth", coords={"depth": [1, 2]}, attrs={"reason": "depth = 2: not reached"})
    spread = analysis.rescale_by_noise(noisy, after=after).spread.sel(regime="after", scaling="noise")
    assert np.isfinite(spread.values).tolist() == [True, False]
    assert "depth = 2: " in spread.attrs["reason"]


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(glassyrun.Refusal, match="no variable msd, it has energy"):
        analysis.aging(descent(RNG(0)))
    with pytest.raises(glassyrun.Refusal, match="left is a number between 0 and 1"):
        analysis.regimes(descent(RNG(0)), left=2.0)
