"""t₁ and t₂ of descents whose passages are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.analysis.synthetic import assert_rate, coverage, noise, one_time, times

from glassyrun import Refusal
from glassyrun.analysis import regimes

TAU = 30.0
T1, T2 = -TAU * np.log(0.9), -TAU * np.log(0.01)
TIME = times(0.1, 1e3, 81)


def descent(
    rng: np.random.Generator, replicas: int = 6, memory: float = 0.9, size: float = 0.02, missing: float = 0.0, samples: int = 1
) -> xr.Dataset:
    """A loss e^{−t/τ}, each trajectory with a relative noise of its own."""
    shape = (samples, replicas, len(TIME))
    curves = np.exp(-TIME / TAU) * (1 + size * noise(rng, shape, memory)) + 5e-4 * noise(rng, shape, memory)
    return one_time(np.where(rng.random(shape) < missing, np.nan, curves), TIME)


@pytest.mark.parametrize(
    "changes",
    [{}, {"replicas": 3}, {"memory": 0.0, "size": 0.01}, {"missing": 0.1}, {"samples": 5, "replicas": 2}],
    ids=["correlated", "three replicas", "white noise", "missing", "samples"],
)
def test_the_intervals_hold_the_passages(changes: dict[str, float]) -> None:
    rates = coverage(
        lambda rng: regimes(descent(rng, **changes), bottom=0.0),
        {"t1": T1, "t2": T2, "energy_start": 1.0, "remaining": 0.0},
        sets=400,
    )
    assert_rate(rates)


@pytest.mark.parametrize("per_decade", [2, 4, 8, 20])
@pytest.mark.parametrize("power", [1.0, 1.5, 3.0])
def test_few_readings_are_part_of_the_interval(per_decade: int, power: float) -> None:
    """1/(1+(t/τ)^a) read without noise: the passages lie in the intervals, wherever the readings fall, to within 1/2 %."""
    for phase in np.linspace(0, 1, 5, endpoint=False):
        time = np.concatenate([[0.0], 10 ** np.arange(-1.5 + phase / per_decade, 5, 1 / per_decade)])
        found = regimes(one_time(np.broadcast_to(1 / (1 + (time / TAU) ** power), (1, 3, len(time))), time), bottom=0.0)
        for name, fraction in (("t1", 0.9), ("t2", 0.01)):
            low, high = found[f"{name}_interval"].values
            assert low / 1.005 < TAU * (1 / fraction - 1) ** (1 / power) < high * 1.005, (name, phase)


def test_a_power_law_never_reaches_a_bottom_below_its_limit() -> None:
    """A p-spin: E_th − E_0 is 1.45 % of the descent. With the threshold in place of the ground state it would arrive."""
    time = times(0.1, 1e5, 60)
    curve = -1.1547 + 1.1547 / (1 + time) ** (2 / 3)
    ds = one_time(curve + 1e-4 * np.random.default_rng(0).standard_normal((1, 4, len(time))), time)
    found = regimes(ds, bottom=-1.1717)
    assert np.isnan(found.t2)
    assert "not reached" in found.t2.attrs["reason"]
    assert float(found.remaining) == pytest.approx(0.0170 / 1.1717 + 1e5 ** (-2 / 3) * 1.1547 / 1.1717, abs=3e-4)
    assert found.t1 == pytest.approx((1 - 0.1 * 1.1717 / 1.1547) ** -1.5 - 1, rel=0.02)
    assert regimes(ds, bottom=-1.1547).t2 == pytest.approx(0.01**-1.5 - 1, rel=0.02)


def test_noise_about_a_constant_is_no_descent() -> None:
    """Pure noise: nothing is said to have been reached, in any of fifty runs that never moved."""
    time = times(1, 1e4, 30)
    for seed in range(50):
        curves = 2.3 + 0.05 * noise(np.random.default_rng(seed), (1, 4, len(time)), 0.5)
        found = regimes(one_time(curves, time), bottom=0.0)
        assert np.isnan(found.t1)
        assert np.isnan(found.t2)


def test_an_energy_that_may_be_negative_needs_its_bottom() -> None:
    ds = one_time(np.zeros((1, 3, len(TIME))) - TIME / 1e3, TIME)
    with pytest.raises(Refusal, match="bottom="):
        regimes(ds)
    ds.energy.attrs["bottom"] = -1.1
    assert float(regimes(ds).bottom) == -1.1
    assert float(regimes(ds, bottom=-2.0).bottom) == -2.0


def test_a_bottom_of_each_landscape_comes_before_an_attribute() -> None:
    """Of concatenated runs xarray keeps the attribute of the first: a variable or coordinate along the sweep is right."""
    runs = [descent(np.random.default_rng(0)) - depth for depth in (0.0, 3.0)]
    for run, depth in zip(runs, (0.0, 3.0), strict=True):
        run.energy.attrs["bottom"] = -depth
    both = xr.concat(runs, xr.DataArray([0.0, 3.0], dims="depth", name="depth"))
    assert both.energy.attrs["bottom"] == 0.0
    bottom = xr.DataArray([0.0, -3.0], dims="depth")
    told = (both.assign(bottom=bottom), both.assign_coords(bottom=bottom), both.energy.assign_coords(bottom=bottom))
    for data in told:
        found = regimes(data)
        assert found.bottom.values.tolist() == [0.0, -3.0]
        np.testing.assert_allclose(found.t2, [found.t2[0]] * 2)
    lost = regimes(both, bottom=xr.DataArray([0.0, np.nan], dims="depth"))
    assert np.isfinite(lost.t2.values).tolist() == [True, False]
    assert "depth = 3.0: the bottom of this landscape is not known" in lost.t2.attrs["reason"]


def test_where_the_energy_was_read_too_late() -> None:
    late = descent(np.random.default_rng(0)).isel(time=slice(60, None))  # what came before is not known
    found = regimes(late.assign(energy=late.energy / late.energy.isel(time=0)), bottom=0.0)
    assert np.isnan(found.t1)
    assert "measure the energy earlier" in found.t1.attrs["reason"]


def test_a_descent_that_is_over_before_its_second_reading_gives_no_time() -> None:
    """From time 0, most of the descent between two readings: where in the interval it passed can't be told."""
    time = np.concatenate([[0.0], np.arange(100.0, 1000.0, 50.0)])
    curve = np.exp(-time / TAU) + 1e-3 * np.random.default_rng(0).standard_normal((1, 4, len(time))) * (time > 0)
    found = regimes(one_time(curve, time), bottom=0.0)
    assert np.isnan(found.t1)
    assert "passed before the second reading, at time 100" in found.t1.attrs["reason"]


@pytest.mark.parametrize(("rate", "told"), [(0.05, False), (0.3, True), (5.0, True)])
def test_what_is_passed_within_the_first_step_is_no_number_of_steps(rate: float, told: bool) -> None:
    """A loss e^{−rate·step}: a tenth is gone after 2.1, 0.35 and 0.02 steps. On a clock without steps 0.35 is a time."""
    step = np.concatenate([[0.0], np.unique(np.round(np.geomspace(1, 1000, 40)))])
    curve = np.exp(-rate * step) * (1 + 1e-3 * np.random.default_rng(0).standard_normal((1, 4, len(step))))
    ds = one_time(curve, step).assign_coords(time_flow=("time", 0.1 * step, {"units": "1"}))
    steps = ds.assign_coords(time=ds.time.assign_attrs(units="step"))
    for clock, unit in (("time", 1.0), ("flow", 0.1)):
        found = regimes(steps, bottom=0.0, clock=clock)
        assert np.isnan(found.t1) == np.isnan(found.t1_interval).all() == told
        assert ("within the first step" in found.t1.attrs.get("reason", "")) == told
        if not told:
            assert float(found.t1) == pytest.approx(unit * np.log(1 / 0.9) / rate, rel=0.02)
    if rate == 0.3:
        assert float(regimes(ds, bottom=0.0).t1) == pytest.approx(np.log(1 / 0.9) / rate, rel=0.05)


def test_a_trajectory_that_is_faster_than_a_step_takes_nothing_from_the_mean() -> None:
    """A tenth is gone after 1.05 steps, without the slowest of three trajectories after 0.95."""
    step, rates = np.arange(40.0), np.log(1 / 0.9) / np.array([0.95, 0.95, 1.3])
    ds = one_time(np.exp(-rates[:, None] * step)[None], step)
    found = regimes(ds.assign_coords(time=ds.time.assign_attrs(units="step")), bottom=0.0)
    assert 1 < float(found.t1) < 1.1
    assert float(found.t1_interval[0]) < 1


def test_one_trajectory_gives_no_number() -> None:
    found = regimes(descent(np.random.default_rng(0), replicas=2), bottom=0.0)
    assert np.isnan(found.t1)
    assert "needs 3 samples or 3 replicas" in found.t1.attrs["reason"]


def test_times_along_the_flow() -> None:
    ds = descent(np.random.default_rng(0)).assign_coords(time_flow=("time", 0.1 * TIME, {"units": "1"}))
    slow, flow = regimes(ds, bottom=0.0), regimes(ds, bottom=0.0, clock="flow")
    assert float(flow.t2) == pytest.approx(0.1 * float(slow.t2))
    assert flow.attrs["title"] == "synthetic"
