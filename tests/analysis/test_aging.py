"""The exponent of aging, where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.analysis.synthetic import assert_rate, coverage, noise, times, two_time

from glassyrun.analysis import NullModel, aging

T_W = np.concatenate([[0.0], np.geomspace(1, 300, 6)])
T = times(0.5, 700, 25)


def scaled(x: np.ndarray) -> np.ndarray:
    return x / (1 + x) + 0.3 * x**0.3


def curves(
    rng: np.random.Generator, mu: float = 0.7, replicas: int = 6, memory: float = 0.9, missing: float = 0.0, size: float = 0.05
) -> xr.Dataset:
    """F(t/t_w^μ), each trajectory with a factor of its own and noise correlated along t."""
    shape = (1, replicas, len(T_W), len(T))
    exact = scaled(T / np.maximum(T_W, 1e-9)[:, None] ** mu)
    noisy = exact * np.exp(size * noise(rng, shape, memory) + 0.5 * size * rng.standard_normal((1, replicas, 1, 1)))
    return two_time(np.where(rng.random(shape) < missing, np.nan, noisy), T_W, T, horizon=1000)


def test_the_intervals_hold_mu_and_local_exponents() -> None:
    """μ; slopes at each pair, except by the horizon, where differences are one-sided; μ of three neighbouring waiting times."""
    t_w, lags = T_W[[1, 2, 4, 6]], T[::2]
    inside = t_w[:, None] + lags[2:-1] < 600
    logs = np.log(scaled(lags[1:] / t_w[:, None] ** 0.7))
    exact = (logs[:, 2:] - logs[:, :-2]) / (np.log(lags[3:]) - np.log(lags[1:-2]))

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        found = aging(curves(rng).sel(t=lags, t_w=t_w))
        return found[["mu_interval", "slope_interval", "mu_local_interval"]].isel(t=slice(2, -1))

    rates = coverage(analyse, {"mu": 0.7, "slope": exact, "mu_local": 0.7})
    assert_rate({"mu": rates["mu"], "slope": rates["slope"][inside], "mu_local": rates["mu_local"][1:-1]})


@pytest.mark.parametrize(
    "changes",
    [{"mu": 1.0, "memory": 0.0, "replicas": 4}, {"mu": 0.0, "missing": 0.1}],
    ids=["full aging, white noise", "none, missing values"],
)
def test_the_interval_holds_mu(changes: dict[str, float]) -> None:
    def analyse(rng: np.random.Generator) -> xr.Dataset:
        coarse = {"t_w": [0, 1, 3, 6], "t": slice(0, None, 2)}
        null = curves(rng, mu=0.4, replicas=5).isel(coarse)
        return aging(curves(rng, **changes).isel(coarse), null=null, pieces=4)

    assert_rate(coverage(analyse, {"mu": changes["mu"], "mu_null": 0.4, "mu_excess": changes["mu"] - 0.4}))


def test_the_null_model_ages_fully_without_any_barrier() -> None:
    """Its Δ is t_w^{−(a+1)} G(t/t_w): μ = 1 with a free amplitude, whatever the spectrum; and a run of it has no excess."""
    t_w, t = np.geomspace(30, 1000, 6), np.concatenate([[0.0], np.geomspace(10, 5000, 30)])
    for exponent in (0.0, 0.5, 2.0):
        model = NullModel(exponent)
        ds = two_time(np.broadcast_to(model.msd(t_w, t), (1, 4, 6, 31)) * np.exp(1e-3 * np.arange(4))[:, None, None], t_w, t)
        found = aging(ds, null=model, amplitude="free")
        assert float(found.mu) == pytest.approx(1, abs=0.005)
        assert float(found.mu_excess) == pytest.approx(0, abs=1e-3)
        assert float(aging(ds, null=ds, amplitude="free").mu_null) == pytest.approx(float(found.mu))
        assert all("errors" in found[name].attrs for name in ("mu", "mu_excess"))


def test_a_plateau_is_found_where_there_is_one() -> None:
    """Two steps at 1 and 10⁴: between them Δ is 0.5, and the interval holds it at its rate."""
    t_w, t = np.array([1.0, 10.0, 100.0]), times(0.01, 1e6, 50)
    exact = 0.5 * (t / (0.1 + t)) + 0.5 * (t / (1e4 + t))

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        return aging(
            two_time(exact * np.exp(0.03 * rng.standard_normal((1, 5, 1, 1)) + 0.003 * noise(rng, (1, 5, 3, 51), 0.9)), t_w, t)
        )

    found = aging(two_time(np.broadcast_to(exact, (1, 3, 3, 51)), t_w, t))
    assert 1 <= float(found.plateau_from) < 10
    assert 300 < float(found.plateau_to) < 3000
    assert float(found.plateau) == pytest.approx(0.5, rel=0.02)
    assert_rate(coverage(analyse, {"plateau": float(found.plateau) * np.exp(0.03**2 / 2)}))


def test_curves_that_do_not_collapse_have_no_mu() -> None:
    """Δ = t + 20 t/t_w is no function of t/t_w^μ: the best master curve is .27 away, fifty times the errors."""
    t_w, t = np.geomspace(1, 200, 5), times(0.5, 500, 14)
    exact, rng = t + 20 * t / t_w[:, None], np.random.default_rng(0)
    found = aging(two_time(exact * np.exp(0.02 * noise(rng, (1, 6, 5, 15), 0.8)), t_w, t))
    for name in ("mu", "mu_excess"):
        assert np.isnan(found[name])
        assert "the curves do not collapse" in found[name].attrs["reason"]
    assert float(found.misfit) > 0.2
    assert float(found.misfit_expected) < 0.01


def test_the_errors_explain_the_misfit_of_curves_that_collapse() -> None:
    """The expected mean square is that which is found, on average over sets; and noise of .3 withholds no μ."""
    coarse = {"t_w": [0, 1, 3, 6], "t": slice(0, None, 2)}
    for size in (0.05, 0.3):
        sets = [aging(curves(np.random.default_rng(seed), size=size).isel(coarse), null=NullModel()) for seed in range(40)]
        found, expected = (np.mean([float(one[name]) ** 2 for one in sets]) for name in ("misfit", "misfit_expected"))
        assert found / expected == pytest.approx(1, abs=0.25)
        assert np.isfinite([float(one.mu) for one in sets]).mean() >= 0.95


def test_the_null_model_is_a_range_where_its_cutoff_is_not_known() -> None:
    """Times of the order of 1/cutoff: μ of the null model goes from .1 to 1 with the cutoff, and the excess is as uncertain."""
    ds = curves(np.random.default_rng(0)).isel(t_w=[0, 1, 2, 3, 4])
    found = aging(ds, amplitude="free")
    known = {cutoff: aging(ds, amplitude="free", null=NullModel(cutoff=cutoff)) for cutoff in (0.1, 0.5, 1.0, 3.0, 10.0)}
    assert found.mu_null.attrs["errors"] == "range of cutoffs 0.1 to 10"
    assert float(found.mu_null) == pytest.approx(float(known[1.0].mu_null))
    assert float(found.misfit_null) == pytest.approx(float(known[1.0].misfit_null))
    low, high = found.mu_null_interval.values
    assert high - low > 0.5
    for one in known.values():
        assert low <= float(one.mu_null) <= high
        assert np.ptp(one.mu_null_interval.values) == 0
        for outer, inner, side in zip(found.mu_excess_interval.values, one.mu_excess_interval.values, (1, -1), strict=True):
            assert side * (inner - outer) >= 0
    narrow = aging(ds, amplitude="free", cutoffs=(0.5, 2.0)).mu_null_interval.values
    assert low < narrow[0] < narrow[1] < high


def test_the_null_model_goes_by_the_time_of_the_flow() -> None:
    ds = curves(np.random.default_rng(0)).isel(t_w=[0, 1, 2, 3, 4])
    steps = ds.assign_coords(t_w=10 * ds.t_w, t=10 * ds.t)
    steps = steps.assign_coords(t_w_flow=("t_w", ds.t_w.values), t_flow=("t", ds.t.values))
    both = [float(aging(run, amplitude="free", null=NullModel()).mu_null) for run in (steps, ds)]
    assert both[0] == pytest.approx(both[1], abs=0.01)
    assert both[0] < 0.9  # on the clock of the steps it would be 1


THERMAL = {
    "bath": "[dynamics]\ntemperature = 0.3\n",
    "stage": "[[dynamics]]\nkind = 'quench'\n[[dynamics]]\ntemperature = 0.3\n",
    "ramp": "[dynamics]\ntemperature = 0.0\nramp = { start = 0.3, until = 1.0 }\n",
}


@pytest.mark.parametrize("spec", THERMAL.values(), ids=list(THERMAL))
def test_beside_thermal_noise_the_closed_form_stands_for_nothing(spec: str) -> None:
    """It is that of T = 0: neither by default nor asked for has it an exponent, and a run of the null model has one."""
    ds = curves(np.random.default_rng(0)).isel(t_w=[0, 1, 3, 6], t=slice(0, None, 2)).assign_attrs(spec=spec)
    for null in (None, NullModel()):
        found = aging(ds, amplitude="free", null=null)
        assert np.isfinite(found.mu)
        assert np.isnan(found.misfit_null)
        for name in ("mu_null", "mu_excess"):
            assert np.isnan(found[name])
            assert np.isnan(found[f"{name}_interval"]).all()
            assert "is that of T = 0, and this run has T = 0.3" in found[name].attrs["reason"]
            assert "with null=" in found[name].attrs["reason"]
    assert np.isfinite(aging(ds, null=curves(np.random.default_rng(1), mu=0.4)).mu_excess)


def test_without_thermal_noise_the_closed_form_stands() -> None:
    """T = 0, SGD, a lone variable; and of a sweep over T, whose spec is that of its first point, the point at 0 alone."""
    ds = curves(np.random.default_rng(0)).isel(t_w=[0, 1, 3, 6], t=slice(0, None, 2))
    cold, sgd = ds.assign_attrs(spec="[dynamics]\ntemperature = 0\n"), ds.assign_attrs(spec="[dynamics]\nkind = 'sgd'\n")
    for data in (cold, sgd, ds.assign_attrs(spec=THERMAL["bath"]).msd):
        assert np.isfinite(aging(data, amplitude="free").mu_null)
    along = xr.DataArray([0.0, 0.3], dims="dynamics.temperature", name="dynamics.temperature")
    swept = aging(xr.concat([cold, cold], along), amplitude="free", null=NullModel())
    assert np.isfinite(swept.mu_null.values).tolist() == [True, False]


def test_what_is_free_already_is_no_remedy() -> None:
    """Curves that do not collapse, with a common amplitude and with free ones."""
    t_w, t = np.geomspace(1, 200, 5), times(0.5, 500, 14)
    exact, rng = t * np.exp(np.sin(np.log1p(t) * (1 + np.log(t_w[:, None])))), np.random.default_rng(0)
    ds = two_time(exact * np.exp(0.02 * noise(rng, (1, 6, 5, 15), 0.8)), t_w, t)
    reasons = [aging(ds, amplitude=kind, null=NullModel()).mu.attrs["reason"] for kind in ("common", "free")]
    assert all("the curves do not collapse" in reason for reason in reasons)
    assert ["free the amplitude" in reason for reason in reasons] == [True, False]


def test_a_power_law_with_free_amplitudes_determines_no_mu() -> None:
    """A(t_w) t^0.6 can be shifted at will."""
    told = 0
    for seed in range(40):
        rng, shape = np.random.default_rng(seed), (1, 6, len(T_W), len(T))
        own = 0.05 * noise(rng, shape, 0.9) + 0.02 * rng.standard_normal((1, 6, 1, 1))
        ds = two_time(T**0.6 * np.maximum(T_W, 1e-9)[:, None] ** -0.3 * np.exp(own), T_W, T).isel(t=slice(0, None, 2))
        found = aging(ds, amplitude="free", null=NullModel())
        told += bool(np.isfinite(found.mu))
    assert told <= 1
    assert "power law" in found.mu.attrs["reason"]


GROWTH = {"t^.2": lambda t: t**0.2, "t^.12": lambda t: t**0.12, "log(1+t)": np.log1p}


@pytest.mark.parametrize("name", GROWTH)
def test_errors_make_no_plateau_of_slow_growth(name: str) -> None:
    """One point in ten wrong by more than a half: a plateau in at most two of forty."""
    t_w, t = np.array([1.0, 10.0, 100.0]), times(0.1, 1e5, 25)
    told = 0
    for size in (0.1, 0.3):
        for seed in range(20):
            own = size * noise(np.random.default_rng([seed, 5]), (1, 5, 3, len(t)))
            found = aging(two_time(GROWTH[name](t) * np.exp(own), t_w, t), waiting=(1e9, 1e10))
            told += bool(np.isfinite(found.plateau))
    assert told <= 2


def test_the_plateau_is_that_of_the_longest_waiting_time() -> None:
    """Heights .2, .3 and .5."""
    t_w, t = np.array([1.0, 10.0, 100.0]), times(0.01, 1e6, 50)
    height = np.array([[0.2], [0.3], [0.5]])
    exact = height * (t / (0.1 + t)) + 0.5 * (t / (1e4 + t))
    found = aging(two_time(np.broadcast_to(exact, (1, 3, 3, 51)), t_w, t))
    assert float(found.plateau) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(("factor", "there"), [(6, False), (40, True)])
def test_a_short_stretch_is_no_plateau(factor: float, there: bool) -> None:
    """Flat from lag 10 to `factor` times that, and a power law before and after: a plateau lasts over a factor of ten at least."""
    t_w, t = np.array([1.0, 10.0, 100.0]), times(0.01, 1e5, 120)
    curve = np.minimum(t, 10) ** 0.7 * np.maximum(t / (10 * factor), 1) ** 0.7
    found = aging(two_time(np.broadcast_to(curve, (1, 3, 3, 121)), t_w, t))
    assert bool(np.isfinite(found.plateau)) == there
    if there:
        assert 5 < float(found.plateau_from) < 15
        assert 250 < float(found.plateau_to) < 600


def test_no_plateau_and_saturation_are_told_apart() -> None:
    t_w, t = np.array([1.0, 10.0, 100.0]), times(0.01, 1e4, 40)
    power = aging(two_time(np.broadcast_to(t**0.5, (1, 3, 3, 41)), t_w, t))
    assert np.isnan(power.plateau)
    assert "no plateau" in power.plateau.attrs["reason"]
    saturated = aging(two_time(np.broadcast_to(t / (1 + t), (1, 3, 3, 41)), t_w, t))
    assert float(saturated.plateau) == pytest.approx(1, rel=0.05)
    assert np.isnan(saturated.plateau_to)


@pytest.mark.parametrize(
    ("ds", "reason"),
    [
        (two_time(np.ones((1, 4, 7, 26)), T_W, T), "constant"),
        (curves(np.random.default_rng(0)).isel(t_w=slice(0, 3)), "a fit needs 3"),
        (curves(np.random.default_rng(0)).isel(replica=[0, 1]), "needs 3 samples or 3 replicas"),
    ],
    ids=["flat", "two waiting times", "two replicas"],
)
def test_too_little_data_gives_a_reason_and_no_number(ds: xr.Dataset, reason: str) -> None:
    found = aging(ds)
    assert np.isnan(found.mu)
    assert np.isnan(found.mu_interval).all()
    assert reason in found["mu"].attrs["reason"]
    assert np.isnan(found.mu_excess)


def test_pure_noise_determines_no_mu() -> None:
    """Either there is no number, or the interval is so wide that it says nothing, in nineteen of twenty."""
    t, told = times(0.5, 700, 25), 0
    for seed in range(40):
        ds = two_time(np.exp(noise(np.random.default_rng(seed), (1, 5, 7, 26))), T_W, t).isel(t_w=[1, 3, 5, 6])
        low, high = aging(ds).mu_interval.values
        told += bool(high - low < 0.3)
    assert told <= 2
