"""Collapse by the noise, and diffusion at the bottom."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.analysis.synthetic import assert_rate, coverage, noise, one_time, times, two_time

import glassyrun
from glassyrun.analysis import Sampling, diffusion, rescale_by_noise, sgd_temperature

T_W, T, ALPHA = np.geomspace(1, 300, 8), times(1, 700, 14), 0.1
D = 1e-2 * (1 + T_W) ** -0.6
WOBBLE = np.sin(3 * np.arange(8))


def diffusing(
    rng: np.random.Generator, power: float = 1.0, wobble: float = 0.0, size: float = 0.1, replicas: int = 6, noisy: float = 0.03
) -> xr.Dataset:
    """Δ = α² D^power e^{wobble} t with a mean of exactly this."""
    factor = D**power * np.exp(wobble * WOBBLE)
    shape = (1, replicas, len(T_W), len(T))
    own = size * noise(rng, shape, 0.9) + 0.5 * size * rng.standard_normal((1, replicas, 1, 1))
    ds = two_time(ALPHA**2 * factor[:, None] * T * np.exp(own - 0.625 * size**2), T_W, T, horizon=1000)
    ds["gradient_noise"] = (("sample", "replica", "t_w"), D * np.exp(noisy * rng.standard_normal(shape[:3])))
    return ds.assign_coords(t_step=("t", T), t_flow=("t", ALPHA * T), t_w_step=("t_w", T_W), t_w_flow=("t_w", ALPHA * T_W))


@pytest.mark.parametrize("changes", [{"wobble": 0.3}, {"power": 0.5}], ids=["D and something else", "half the power of D"])
def test_the_intervals_hold_what_a_noiseless_set_has(changes: dict[str, float]) -> None:
    exact = rescale_by_noise(diffusing(np.random.default_rng(0), replicas=3, size=0, noisy=0, **changes), after=5.0)
    names = ["explained", "power", "gamma", "coefficient", "ratio"]
    truths = {name: exact[name].isel(regime=1, missing_dims="ignore").values for name in names}
    truths["spread"] = exact.spread.isel(regime=1, scaling=[0, 1]).values
    truths["rescaled"] = exact.rescaled.isel(t=slice(1, 8)).values

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        found = rescale_by_noise(diffusing(rng, **changes), after=5.0).isel(regime=1)
        return found[[f"{name}_interval" for name in truths]].isel(scaling=[0, 1], t=slice(1, 8))

    assert_rate(coverage(analyse, truths))


def test_perfect_collapse_is_told_from_that_of_a_constant() -> None:
    """The spread of D is 0, which the interval holds at least as often as it says; that of a constant is .80."""
    held, found = 0, xr.Dataset()
    for seed in range(60):
        found = rescale_by_noise(diffusing(np.random.default_rng(seed)), after=5.0).sel(regime="after")
        held += float(found.spread_interval.sel(scaling="noise", bound="low")) == 0
    assert held >= 56
    assert float(found.spread.sel(scaling="constant")) == pytest.approx(0.80, abs=0.06)
    assert float(found.explained) == pytest.approx(1, abs=0.05)
    assert float(found.ratio) == pytest.approx(1, abs=0.2)


def test_a_constant_d_explains_nothing_and_says_so() -> None:
    """A collapse that a constant does as well shows nothing: the trap of a D that hardly moves."""
    ds = diffusing(np.random.default_rng(1), power=0.0)
    ds["gradient_noise"] = 0 * ds.gradient_noise + 1e-2 * np.exp(0.03 * np.random.default_rng(0).standard_normal((1, 6, 8)))
    found = rescale_by_noise(ds, after=5.0).sel(regime="after")
    assert np.isnan(found.power)
    assert "hardly depends" in found.power.attrs["reason"]
    assert np.isnan(found.explained)


def test_before_and_after_are_told_apart() -> None:
    """Before t₂ = 20 the curves have factors that D does not know, after it they are those of D."""
    ds = diffusing(np.random.default_rng(2))
    ds["msd"] = ds.msd * np.where(T_W < 20, np.exp(WOBBLE), 1)[:, None]
    found = rescale_by_noise(ds, after=20.0)
    assert float(found.spread.sel(regime="before", scaling="noise")) > 0.2
    assert float(found.spread.sel(regime="after", scaling="noise")) < 0.05


def test_t2_comes_from_the_energy_where_it_is_not_given() -> None:
    ds = diffusing(np.random.default_rng(3))
    time = times(1, 1000, 30)
    energy = one_time(np.exp(-time / 4) * np.exp(0.01 * np.random.default_rng(0).standard_normal((1, 6, 31))), time)
    found = rescale_by_noise(ds.merge(energy), bottom=0.0)
    given = rescale_by_noise(ds, after=4 * np.log(100))
    xr.testing.assert_allclose(found.spread, given.spread)
    stuck = rescale_by_noise(ds.merge(energy + 0.5), bottom=0.0)
    assert np.isnan(stuck.spread).all()
    assert "t₂ is not known: not reached" in stuck.spread.attrs["reason"]
    assert "t₂ is not known" in stuck.gamma.attrs["reason"]


@pytest.mark.parametrize("law", ["with_replacement", "without_replacement"])
def test_white_steps_are_those_of_the_sampling(law: str) -> None:
    """The variance of the sum of t batch means on a constant gradient, over 20,000 runs of 10-batch epochs."""
    rng, terms = np.random.default_rng(0), np.random.default_rng(1).standard_normal(10)
    if law == "with_replacement":
        steps = terms[rng.integers(10, size=(20_000, 40))]
    else:
        steps = np.concatenate([rng.permuted(np.tile(terms, (20_000, 1)), axis=1) for _ in range(4)], axis=1)
    sums = np.concatenate([np.zeros((20_000, 1)), steps.cumsum(axis=1)], axis=1)
    t_w, t = np.array([0, 3, 7]), np.array([1, 5, 9, 10, 14])
    moved = sums[:, t_w[:, None] + t] - sums[:, t_w[:, None]]
    expected = Sampling(law, 1, 10).white_steps(t_w.astype(float), t.astype(float))  # type: ignore[arg-type]
    np.testing.assert_allclose(moved.var(axis=0) / terms.var(), expected, rtol=0.04, atol=0.02)


def test_both_samplings_diffuse_as_white_noise_once_their_law_is_known() -> None:
    """Batches without replacement: Δ = α² D t (K − t)/(K − 1) within an epoch; taken for white, the ratio would be below 1."""
    law = Sampling("without_replacement", 1, 1000)
    ds = diffusing(np.random.default_rng(4))
    steps = law.white_steps(np.zeros(8), T)
    ds["msd"] = ds.msd / np.where(T > 0, T, 1) * steps
    ds = ds.assign_coords(t_w_step=("t_w", np.zeros(8)))
    aware, naive = diffusion(ds, sampling=law), diffusion(ds)
    assert float(aware.ratio) == pytest.approx(1, abs=0.15)
    assert float(naive.ratio) < 0.85
    assert float(naive.gamma) < 0.95
    assert float(aware.gamma) == pytest.approx(1, abs=0.05)
    assert aware.gamma.attrs["sampling"] == "without_replacement"


@pytest.mark.parametrize("law", ["with_replacement", "without_replacement"])
def test_a_real_run_at_the_bottom_diffuses_by_its_own_noise(law: str) -> None:
    """Linear regression under SGD, lags short against the relaxation: Δ is that of its measured D under either sampling."""
    spec = {
        "system": {"kind": "quadratic", "n": 20, "terms": 200, "noise": 1.0},
        "dynamics": {"kind": "sgd", "learning_rate": 0.003, "batch_size": 10, "sampling": law},
        "schedule": {"horizon": 3060, "t_w": [3000, 3020, 3040], "t": [0, 1, 2, 3, 5, 7, 10, 13, 20]},
        "ensemble": {"replicas": 16},
        "run": {"threads": 1},
        "observables": [{"kind": "msd"}, {"kind": "gradient_noise"}],
    }
    ds = glassyrun.run(spec, quiet=True)
    found = diffusion(ds)
    assert found.gamma.attrs["sampling"] == law
    assert float(found.ratio) == pytest.approx(1, abs=0.1)
    assert float(found.gamma) == pytest.approx(1, abs=0.1)
    if law == "without_replacement":  # an epoch of 20 batches, at the end of which nothing is left
        assert float(ds.msd.sel(t=20).mean() / ds.msd.sel(t=10).mean()) < 0.01


def test_temperature_of_sgd() -> None:
    """α D/2, with its interval."""

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        return sgd_temperature(diffusing(rng, noisy=0.1))

    assert_rate(coverage(analyse, {"temperature": 0.5 * ALPHA * D * np.exp(0.005)}))
