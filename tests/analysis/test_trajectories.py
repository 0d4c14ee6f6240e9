"""Units, the jackknife, and holes in curves."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from tests.analysis.synthetic import one_time, times

from glassyrun.analysis.labels import labelled
from glassyrun.analysis.trajectories import Estimate, NotEnough, jackknife, units

TIME = times(1, 100, 8)


def runs(samples: int = 1, replicas: int = 5) -> xr.Dataset:
    return one_time(np.random.default_rng(0).normal(2, 0.3, (samples, replicas, len(TIME))), TIME)


def test_of_a_mean_it_is_students_interval_exactly() -> None:
    ds = runs()
    found = jackknife(units(ds, ["energy"]), lambda means: means["energy"])
    values = ds.energy.values[0]
    np.testing.assert_allclose(found.value, values.mean(axis=0))
    np.testing.assert_allclose(found.error, stats.sem(values))
    low, high = stats.t.interval(0.95, 4, values.mean(axis=0), stats.sem(values))
    np.testing.assert_allclose(found.low, low)
    np.testing.assert_allclose(found.high, high)


def test_of_a_logarithm_it_is_that_of_the_transformed() -> None:
    these = units(runs(), ["energy"])
    plain = jackknife(these, lambda means: np.log(means["energy"]))
    logs = jackknife(these, lambda means: means["energy"], log=True)
    np.testing.assert_allclose(np.log(logs.low), plain.low)
    np.testing.assert_allclose(np.log(logs.high), plain.high)
    np.testing.assert_allclose(logs.error, logs.value * plain.error)


def test_units_are_samples_from_three_on() -> None:
    assert (units(runs(3, 2), ["energy"]).over, units(runs(3, 2), ["energy"]).count) == ("sample", 3)
    assert (units(runs(2, 6), ["energy"]).over, units(runs(2, 6), ["energy"]).count) == ("replica", 6)
    np.testing.assert_allclose(units(runs(3, 2), ["energy"]).means()["energy"], runs(3, 2).energy.mean(["sample", "replica"]))
    with pytest.raises(NotEnough, match="there are 2 and 2"):
        units(runs(2, 2), ["energy"])


def test_the_reason_says_which_variable_has_no_readings() -> None:
    ds = runs().assign(gradient_noise=runs().energy.where(False))
    with pytest.raises(NotEnough, match=r"^no readings of gradient_noise: "):
        units(ds, ["energy", "gradient_noise"])
    begun = runs(1, 4).where(xr.DataArray(np.arange(4) < 2, dims="replica") | (runs().time < 1))
    with pytest.raises(NotEnough, match="there are 1 and 2, besides some that have just begun"):
        units(begun, ["energy"])


def test_an_estimate_says_what_was_averaged_over() -> None:
    ds = runs(1, 5).where(xr.DataArray(np.arange(5) < 4, dims="replica") | (runs().time < 1))
    found = labelled("e", jackknife(units(ds, ["energy"]), lambda means: means["energy"][1]), long_name="energy")
    told = "4 replicas at fixed disorder, jackknife, Student's t; 1 with too few readings left out"
    assert found["e"].attrs["errors"] == told
    assert units(runs(3, 2), ["energy"]).about() == "3 samples, jackknife, Student's t"


def test_what_holds_for_all_but_not_without_one_is_no_number() -> None:
    def needs(means: dict[str, np.ndarray]) -> float:
        if means["energy"].mean() < whole:
            raise NotEnough("too low")
        return 1.0

    these = units(runs(), ["energy"])
    whole = these.means()["energy"].mean() - 1e-9
    found = jackknife(these, needs)  # type: ignore[arg-type]
    assert np.isnan(found.value)
    assert "but not without one of them: too low" in found.reason


@pytest.mark.parametrize("shape", ["products", "sums", "signed products"])
def test_holes_are_filled_by_the_level_of_the_unit(shape: str) -> None:
    """Units that differ by a factor or a constant alone: whatever is missing, the mean is that of the whole."""
    rng = np.random.default_rng(1)
    curve, level = 1 / TIME.clip(0.5), np.arange(1, 6)[:, None]
    table = {"products": curve * level, "sums": curve + level - 3, "signed products": (curve - 0.3) * level}[shape]
    holes = rng.random(table.shape) < 0.25
    holes[:, 0] = False
    these = units(one_time(np.where(holes, np.nan, table)[None], TIME), ["energy"])
    kept = (~holes).sum(axis=0) >= 3
    np.testing.assert_allclose(these.means()["energy"][kept], table.mean(axis=0)[kept], rtol=2e-2, atol=1e-3)
    assert np.isnan(these.means()["energy"][~kept]).all()


def test_differences_by_welch() -> None:
    """Against scipy's own interval for the difference of two means of unequal variance."""
    rng = np.random.default_rng(2)
    parts = [rng.normal(1, 0.5, (1, 4, len(TIME))), rng.normal(0, 0.1, (1, 9, len(TIME)))]
    a, b = (jackknife(units(one_time(part, TIME), ["energy"]), lambda means: means["energy"][0]) for part in parts)
    expected = stats.ttest_ind(parts[0][0, :, 0], parts[1][0, :, 0], equal_var=False).confidence_interval(0.95)
    found = a.minus(b)
    assert (float(found.low), float(found.high)) == pytest.approx((expected.low, expected.high))
    assert a.minus(Estimate.none("because")).reason == "because"
