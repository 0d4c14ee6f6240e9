"""Fluctuation-dissipation, χ₄, α₂, relaxation times, superposition."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.analysis.synthetic import assert_rate, coverage, noise, times, two_time

from glassyrun import Refusal
from glassyrun.analysis import alpha2, chi4, fdt, relaxation_time, superposition

T_W, T = np.array([1.0, 10.0, 100.0]), times(0.5, 500, 20)


def two_slopes(c: np.ndarray, temperature: float = 0.5, plateau: float = 0.7, x: float = 0.4) -> np.ndarray:
    """χ(C) of a glass: slope −1/T above the plateau, −X/T below."""
    return np.where(c > plateau, 1 - c, 1 - plateau + x * (plateau - c)) / temperature


def glass(rng: np.random.Generator, size: float = 0.01, replicas: int = 8) -> xr.Dataset:
    c = np.broadcast_to(0.3 + 0.7 / (1 + T / 10) ** 0.8, (3, len(T)))
    shape = (1, replicas, 3, len(T))

    def wobble() -> np.ndarray:
        return (T > 0) * (size * noise(rng, shape, 0.9) + size * rng.standard_normal((1, replicas, 1, 1)))

    ds = two_time(c + wobble(), T_W, T, "overlap")
    return ds.assign(response=(ds.overlap.dims, two_slopes(c) + 2 * wobble()))


def test_the_ratio_x_and_the_effective_temperature() -> None:
    levels = np.array([0.4, 0.5, 0.6, 0.8, 0.9])

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        return fdt(glass(rng), temperature=0.5, window=(0.35, 0.65), levels=levels)

    assert_rate(coverage(analyse, {"x": 0.4, "effective_temperature": 1.25, "chi": two_slopes(levels)}))


def test_x_at_a_fixed_final_time() -> None:
    """C = t_w/(t_w + t), χ = (1 − C²)/2T: X = C at the final time, where the plot at fixed t_w gives the same here."""
    t_w = np.linspace(1, 50, 50)
    t = np.concatenate([[0.0], np.linspace(1, 60, 60)])
    c = t_w[:, None] / (t_w[:, None] + t)
    ds = two_time(np.broadcast_to(c, (1, 3, 50, 61)) + np.array([0, 1e-4, -1e-4])[:, None, None], t_w, t, "overlap")
    ds["response"] = (1 - ds.overlap**2) / (2 * 0.5) * t_w[:, None] ** 0.5
    found = fdt(ds, temperature=0.5, along="t_w", window=(0.4, 0.6))
    # at a final time s the waiting time is C s: T χ = (1 − C²)/2 (C s)^½, and −T dχ/dC its derivative at C = ½
    s, half = 50.0, 0.5
    expected = s**0.5 * (half * half**0.5 - 0.25 * (1 - half**2) * half**-0.5)
    assert float(found.x.sel(end=50)) == pytest.approx(expected, rel=0.02)
    with pytest.raises(AssertionError):
        assert float(fdt(ds, temperature=0.5, window=(0.4, 0.6)).x.sel(t_w=50)) == pytest.approx(expected, rel=0.02)


def test_chi_of_c_at_a_fixed_final_time() -> None:
    """χ = (1 − C)/T wherever: the curve, its slope X = 1 and its intervals, at levels that the final time has."""
    t_w, t = np.linspace(0, 50, 51), np.linspace(0, 60, 61)
    c, levels = np.exp(-0.05 * t), np.array([0.05, 0.2, 0.4, 0.6, 0.8, 0.95])

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        shape = (1, 6, 51, 61)
        ds = two_time(np.broadcast_to(c, shape) + 0.01 * (t > 0) * rng.standard_normal((1, 6, 1, 1)), t_w, t, "overlap")
        ds["response"] = (1 - c) / 0.5 + 0.02 * (t > 0) * rng.standard_normal((1, 6, 1, 1)) + 0 * ds.overlap
        return fdt(ds.isel(t_w=[0, 10, 20, 30, 35, 40, 45, 48, 50]), temperature=0.5, along="t_w", levels=levels).sel(end=50)

    found = analyse(np.random.default_rng(0))
    assert found.chi.isel(level=slice(1, -1)).notnull().all()
    np.testing.assert_allclose(found.chi.isel(level=slice(1, -1)), (1 - levels[1:-1]) / 0.5, atol=0.06)
    np.testing.assert_allclose(found.chi_slope.isel(level=[2, 3]), 1, atol=0.02)
    assert np.isnan(found.chi[0])
    assert "end = 50: 1 of 6 levels lie outside of the C that was measured" in found.chi.attrs["reason"]
    assert_rate(coverage(lambda rng: analyse(rng).isel(level=slice(1, -1)), {"chi": (1 - levels[1:-1]) / 0.5}))


def misses(found: list[xr.Dataset], name: str, truth: float) -> tuple[float, float]:
    """The parts of intervals that lie above the truth, and below."""
    bounds = xr.concat([each[f"{name}_interval"] for each in found], "set")
    return float((bounds.sel(bound="low") > truth).mean()), float((bounds.sel(bound="high") < truth).mean())


def test_responses_that_have_a_factor_of_their_own_miss_on_no_side() -> None:
    """X is then largest where its error is: the interval of the plain jackknife lies below the truth in a tenth of the sets."""

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        ds = glass(rng)
        factors = np.exp(0.6 * rng.standard_normal(ds.response.shape[:3])[..., None] - 0.18)
        return fdt(ds.assign(response=ds.response * factors), temperature=0.5, window=(0.35, 0.65), levels=np.array([0.5]))

    assert_rate(coverage(analyse, {"x": 0.4, "effective_temperature": 1.25}))
    above, below = misses([analyse(np.random.default_rng(seed)) for seed in range(100)], "x", 0.4)
    assert above < 0.07
    assert below < 0.07


def test_a_temperature_whose_ratio_may_be_0_has_no_upper_end() -> None:
    """Whatever the noise, the interval of T/X holds the truth: none is left out for being wide."""

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        return fdt(glass(rng, size=0.06, replicas=3), temperature=0.5, window=(0.3, 0.65), levels=np.array([0.5]))

    found = [analyse(np.random.default_rng(seed)) for seed in range(200)]
    sides = [misses(found, name, truth) for name, truth in (("x", 0.4), ("effective_temperature", 1.25))]
    assert sides[0] == sides[1][::-1]
    assert sum(sides[1]) < 0.08
    whole = xr.concat(found, "set")
    high, open_ended = whole.effective_temperature_interval.sel(bound="high"), whole.x_interval.sel(bound="low") <= 0
    assert open_ended.mean() > 0.3
    assert np.isinf(high.where(open_ended, np.inf)).all()
    assert np.isfinite(high.where(~open_ended, 1.0)).all()
    told = ["has no upper end" in each.effective_temperature.attrs.get("reason", "") for each in found]
    np.testing.assert_array_equal(
        told, ((whole.x_interval.sel(bound="low") <= 0) & (whole.x_interval.sel(bound="high") > 0)).any("t_w")
    )
    assert whole.effective_temperature.where(whole.x <= 0).isnull().all()


def test_no_temperature_no_ratio() -> None:
    with pytest.raises(Refusal, match="temperature above 0"):
        fdt(glass(np.random.default_rng(0)), temperature=0.0)


@pytest.mark.parametrize(("samples", "replicas"), [(1, 4), (8, 4), (30, 3)])
def test_chi4_split_into_disorder_and_the_rest(samples: int, replicas: int) -> None:
    def analyse(rng: np.random.Generator) -> xr.Dataset:
        own = 0.02 * noise(rng, (samples, 1, 3, 21), 0.9)
        ds = two_time(0.5 + own + 0.05 * noise(rng, (samples, replicas, 3, 21), 0.9), T_W, T, "overlap")
        found = chi4(ds, dof=100)
        return found if samples > 1 else found.sel(source=["initial state and noise"])

    exact = np.array([0.02**2, 0.05**2][0 if samples > 1 else 1 :]) * 100
    rates = coverage(analyse, {"chi4": exact[:, None, None]})["chi4"]
    assert_rate({f"part {number}": rate for number, rate in enumerate(rates)})


def test_chi4_of_three_sources() -> None:
    """Disorder, starts, noise, from runs that share a start."""
    sizes = np.array([0.03, 0.04, 0.05])

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        parts = [
            size * noise(rng, shape, 0.5)
            for size, shape in zip(sizes, [(10, 1, 1, 1, 6), (10, 6, 1, 1, 6), (10, 6, 4, 1, 6)], strict=True)
        ]
        return chi4(xr.Dataset({"overlap": (("sample", "start", "replica", "t_w", "t"), 0.5 + sum(parts))}), dof=100)

    assert list(analyse(np.random.default_rng(0)).source.values) == ["disorder", "initial state", "noise"]
    rates = coverage(analyse, {"chi4": 100 * sizes[:, None, None] ** 2})["chi4"]
    assert_rate({f"part {number}": rate for number, rate in enumerate(rates)})


def test_chi4_of_one_sample_says_nothing_of_disorder() -> None:
    ds = two_time(0.5 + noise(np.random.default_rng(0), (1, 5, 3, 21)), T_W, T, "overlap")
    found = chi4(ds, dof=100, shared_start=True)
    assert list(found.source.values) == ["disorder", "noise"]
    assert found["chi4"].sel(source="disorder").isnull().all()
    assert "disorder: one sample was measured" in found["chi4"].attrs["reason"]


@pytest.mark.parametrize(
    ("sizes", "truths"),
    [
        ({"sample": 12, "replica": 1}, {"disorder, initial state and noise": (0.02, 0.03, 0.05)}),
        ({"sample": 12, "start": 1, "replica": 4}, {"disorder and initial state": (0.02, 0.03), "noise": (0.05,)}),
        ({"sample": 1, "start": 8, "replica": 1}, {"disorder": (np.nan,), "initial state and noise": (0.03, 0.05)}),
    ],
    ids=["one replica", "one start", "one sample, one replica"],
)
def test_chi4_names_all_sources_that_a_level_holds(sizes: dict[str, int], truths: dict[str, tuple[float, ...]]) -> None:
    """What was measured once varies with what is around it: it must not be printed as disorder alone."""

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        counts, own = list(sizes.values()), {"sample": 0.02, "start": 0.03, "replica": 0.05}
        if "start" not in sizes:  # each replica has its own
            own["replica"] = (0.03**2 + 0.05**2) ** 0.5
        total = 0.5
        for place, dim in enumerate(sizes):
            total = total + own[dim] * noise(rng, (*counts[: place + 1], *[1] * (len(counts) - place), 6), 0.5)
        return chi4(xr.Dataset({"overlap": ((*sizes, "t_w", "t"), total)}), dof=100)

    found = analyse(np.random.default_rng(0))
    assert list(found.source.values) == list(truths)
    exact = np.array([100 * np.sum(np.square(parts)) for parts in truths.values()])
    known = np.isfinite(exact)
    np.testing.assert_array_equal(found["chi4"].notnull().all(["t_w", "t"]), known)
    rates = coverage(lambda rng: analyse(rng).isel(source=known), {"chi4": exact[known, None, None]})["chi4"]
    assert_rate({f"part {number}": rate for number, rate in enumerate(rates)})


def test_chi4_says_where_trajectories_have_holes() -> None:
    ds = two_time(0.5 + noise(np.random.default_rng(0), (4, 3, 3, 21)), T_W, T, "overlap")
    assert "reason" not in chi4(ds, dof=100)["chi4"].attrs
    ds["overlap"][2, 1, 1, 5] = np.nan
    found = chi4(ds, dof=100)["chi4"]
    assert found.isel(t_w=1, t=5).isnull().all()
    assert int(found.isnull().sum()) == 2
    assert "1 of 63 points were not measured in all trajectories" in found.attrs["reason"]


@pytest.mark.parametrize("dof", [-3, 0, np.inf])
def test_chi4_needs_a_number_of_degrees_of_freedom(dof: float) -> None:
    with pytest.raises(Refusal, match="positive and finite"):
        chi4(two_time(np.ones((1, 4, 3, 21)), T_W, T, "overlap"), dof=dof)
    with pytest.raises(Refusal, match="none of the dimensions sample, start, replica"):
        chi4(two_time(np.ones((1, 4, 3, 21)), T_W, T, "overlap").isel(sample=0, replica=0), dof=100)


def test_alpha2() -> None:
    """Displacements with a known α₂(t); where nothing moved there is none."""
    exact = 0.3 * np.exp(-(np.log(np.maximum(T, 0.01) / 20) ** 2))

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        shape = (1, 8, 3, len(T))
        ds = two_time(T**0.5 * np.exp(0.1 * noise(rng, shape, 0.9) - 0.005), T_W, T)
        fourth = 3 * T * (1 + exact) * np.exp(0.15 * noise(rng, shape, 0.9) - 0.15**2 / 2)
        ds["displacement_fourth"] = (ds.msd.dims, fourth)
        found = alpha2(ds)
        assert found["alpha2"].isel(t=0).isnull().all()
        return found.isel(t=slice(1, None))

    assert_rate(coverage(analyse, {"alpha2": exact[1:]}))


def relaxing(rng: np.random.Generator, size: float = 0.02) -> xr.Dataset:
    c = np.exp(-((T / (10 * T_W[:, None] ** 0.5)) ** 0.7))
    return two_time(c + size * (T > 0) * noise(rng, (1, 6, 3, len(T)), 0.9), T_W, T, "epsilon_overlap")


def test_relaxation_times() -> None:
    assert_rate(coverage(lambda rng: relaxation_time(relaxing(rng)), {"tau": 10 * T_W**0.5}))


def test_a_level_that_is_not_reached() -> None:
    found = relaxation_time(relaxing(np.random.default_rng(0)).isel(t=slice(0, 14)))
    assert np.isfinite(found.tau.values).tolist() == [True, True, False]
    assert "t_w = 100: not reached" in found.tau.attrs["reason"]


def test_a_correlation_that_has_fallen_at_the_shortest_lag_gives_no_time() -> None:
    found = relaxation_time(relaxing(np.random.default_rng(0)).isel(t=[0, *range(12, 21)]))
    assert np.isfinite(found.tau.values).tolist() == [False, True, True]
    assert f"t_w = 1: it has fallen already at the shortest lag, {T[12]:g}" in found.tau.attrs["reason"]
    late = relaxation_time(relaxing(np.random.default_rng(0)).isel(t=slice(1, None)))
    assert late.tau.isnull().all()
    assert "lag 0 and three more are needed" in late.tau.attrs["reason"]


def aging_at_two_temperatures() -> xr.Dataset:
    """The factor is 3 at t_w = 1, 10 at t_w = 10, 30 at t_w = 100, which was measured for short lags alone."""
    factors = np.stack([np.ones(3), [3.0, 10.0, 30.0]], axis=1)
    c = np.exp(-((T / (2 * factors[..., None])) ** 0.6))
    coords = {"t_w": T_W, "t": T, "temperature": [1.0, 0.8]}
    noisy = c + 1e-3 * np.random.default_rng(0).standard_normal((1, 4, 1, 1, 1)) * (T > 0)
    ds = xr.Dataset({"overlap": (("sample", "replica", "t_w", "temperature", "t"), noisy)}, coords)
    return ds.where((ds.t_w < 50) | (ds.t < 5))


def test_superposition_takes_the_longest_waiting_time_that_has_all_lags() -> None:
    ds = aging_at_two_temperatures()
    assert float(superposition(ds, "temperature")["shift"][1]) == pytest.approx(10, rel=0.05)
    assert float(superposition(ds, "temperature", t_w=1.0)["shift"][1]) == pytest.approx(3, rel=0.05)


def test_superposition_gives_the_factors() -> None:
    factors = np.array([1.0, 3.0, 20.0])

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        c = 0.8 * np.exp(-((T / (2 * factors[:, None])) ** 0.6)) + 0.2 * (T == 0)
        noisy = c + 0.01 * (T > 0) * noise(rng, (1, 6, 1, 3, len(T)), 0.9)
        coords = {"t_w": [1.0], "t": T, "temperature": [1.0, 0.8, 0.6]}
        ds = xr.Dataset({"overlap": (("sample", "replica", "t_w", "temperature", "t"), noisy)}, coords)
        return superposition(ds, "temperature", window=(0.05, 0.75)).isel(temperature=slice(1, None))

    assert_rate(coverage(analyse, {"shift": factors[1:]}))
