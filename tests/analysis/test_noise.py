"""Collapse by the noise, and diffusion at the bottom."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tests.analysis.synthetic import assert_rate, coverage, noise, one_time, times, two_time

import glassyrun
from glassyrun import Refusal
from glassyrun.analysis import Sampling, diffusion, rescale_by_noise, sgd_temperature
from glassyrun.analysis.sampling import sampling_of

T_W, T, ALPHA = np.geomspace(1, 300, 8), times(1, 700, 14), 0.1
D = 1e-2 * (1 + T_W) ** -0.6
WOBBLE = np.sin(3 * np.arange(8))


def diffusing(
    rng: np.random.Generator, power: float = 1.0, wobble: float = 0.0, size: float = 0.1, replicas: int = 6, noisy: float = 0.03
) -> xr.Dataset:
    """Δ = α² e^{wobble} ∫ D^power ds from t_w to t_w + t, with a mean of exactly this."""
    grown = (1 + T_W[:, None] + T) ** (1 - 0.6 * power) - (1 + T_W[:, None]) ** (1 - 0.6 * power)
    exact = np.exp(wobble * WOBBLE)[:, None] * 1e-2**power * grown / (1 - 0.6 * power)
    shape = (1, replicas, len(T_W), len(T))
    own = size * noise(rng, shape, 0.9) + 0.5 * size * rng.standard_normal((1, replicas, 1, 1))
    ds = two_time(ALPHA**2 * exact * np.exp(own - 0.625 * size**2), T_W, T, horizon=1000)
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
    """The spread of D is 0, which the interval holds at least as often as it says; that of a constant is .63."""
    held, found = 0, xr.Dataset()
    for seed in range(60):
        found = rescale_by_noise(diffusing(np.random.default_rng(seed)), after=5.0).sel(regime="after")
        held += float(found.spread_interval.sel(scaling="noise", bound="low")) == 0
    assert held >= 56
    assert float(found.spread.sel(scaling="constant")) == pytest.approx(0.63, abs=0.06)
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


def test_free_diffusion_is_told_as_such_while_d_decays() -> None:
    """D falls eightfold over the longest lags: Δ is its integral, and its noise explains all of it."""

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        return rescale_by_noise(diffusing(rng), after=5.0).isel(regime=1)

    assert_rate(coverage(analyse, {"gamma": 1.0, "ratio": 1.0, "power": 1.0}))
    assert float(analyse(np.random.default_rng(0)).explained) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("law", ["with_replacement", "without_replacement"])
@pytest.mark.parametrize(
    ("beta", "nesterov"), [(0.0, False), (0.5, True), (0.9, False)], ids=["none", "Nesterov's", "heavy ball"]
)
def test_white_steps_are_those_of_the_sampling(law: str, beta: float, nesterov: bool) -> None:
    """The variance of x after t steps v ← βv + g, x ← x + (1−β)v on a constant gradient, over 20,000 runs of 10-batch epochs."""
    rng, terms = np.random.default_rng(0), np.random.default_rng(1).standard_normal(10)
    if law == "with_replacement":
        steps = terms[rng.integers(10, size=(20_000, 40))]
    else:
        steps = np.concatenate([rng.permuted(np.tile(terms, (20_000, 1)), axis=1) for _ in range(4)], axis=1)
    v, x = np.zeros(20_000), [np.zeros(20_000)]
    for step in steps.T:
        v = beta * v + step
        x.append(x[-1] + (1 - beta) * (step + beta * v if nesterov else v))
    t_w, t = np.array([0, 3, 7, 25]), np.array([1, 5, 9, 10, 14])
    sums = np.stack(x, axis=1)
    moved = sums[:, t_w[:, None] + t] - sums[:, t_w[:, None]]
    sampling = Sampling(law, 1, 10, beta, nesterov)  # type: ignore[arg-type]
    expected = sampling.white_steps(t_w.astype(float), t.astype(float))
    np.testing.assert_allclose(moved.var(axis=0) / terms.var(), expected, rtol=0.05, atol=0.02)


def test_white_steps_of_the_heavy_ball_in_the_stationary_state() -> None:
    """s = t − 2β(1 − β^t)/(1 − β²)."""
    t = np.array([0.0, 1, 10, 100])
    found = Sampling("with_replacement", 1, 10, 0.9).white_steps(np.array([1e4]), t)[0]
    np.testing.assert_allclose(found, t - 2 * 0.9 * (1 - 0.9**t) / (1 - 0.9**2), atol=1e-9)


def walk(rng: np.random.Generator, beta: float, dof: int = 200) -> xr.Dataset:
    """White noise of size 1 by the heavy ball, α = .01, in steps."""
    t_w, t = np.array([100, 200, 300, 400]), np.array([0, 1, 2, 3, 5, 10, 20, 50, 100])
    v, x = np.zeros((6, dof)), [np.zeros((6, dof))]
    for step in rng.standard_normal((500, 6, dof)):
        v = beta * v + step
        x.append(x[-1] - 0.01 * v)
    path = np.stack(x, axis=1)
    moved = ((path[:, t_w[:, None] + t] - path[:, t_w[:, None]]) ** 2).mean(axis=-1)
    ds = two_time(moved[None], t_w.astype(float), t.astype(float))
    ds["gradient_noise"] = (("sample", "replica", "t_w"), np.ones((1, 6, 4)))
    ds.attrs |= {"spec": spec(f"momentum = {beta}\nsampling = 'with_replacement'"), "terms": 1000}
    flow = 0.01 / (1 - beta)
    return ds.assign_coords(t_step=("t", t), t_flow=("t", flow * t), t_w_step=("t_w", t_w), t_w_flow=("t_w", flow * t_w))


def spec(more: str, batch: float = 10) -> str:
    return f"[dynamics]\nkind = 'sgd'\nlearning_rate = 0.01\nbatch_size = {batch}\n{more}\n"


def test_momentum_carries_noise_on() -> None:
    """Lags from a step on, where white noise without that would have Δ a twentieth of its law."""

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        return diffusion(walk(rng, 0.9, dof=50))

    assert_rate(coverage(analyse, {"gamma": 1.0, "ratio": 1.0}))


def test_what_the_spec_says_of_the_mini_batches() -> None:
    ds = diffusing(np.random.default_rng(0)).assign_attrs(terms=10_000)
    found = sampling_of(ds.assign_attrs(spec=spec("momentum = 0.5\nnesterov = true", batch=0.02)))
    assert found == Sampling("without_replacement", 200, 50, 0.5, True)
    assert sampling_of(ds.assign_attrs(spec=spec("sampling = 'with_replacement'", batch=30))) == Sampling(
        "with_replacement", 30, 333
    )


def test_a_sweep_needs_the_mini_batches_of_each_of_its_points() -> None:
    """Two samplings side by side: the spec of the first says nothing about the second."""
    free = diffusing(np.random.default_rng(4)).assign_coords(t_w_step=("t_w", np.zeros(8)))
    free.attrs |= {"spec": spec("sampling = 'with_replacement'"), "terms": 3000}
    law = Sampling("without_replacement", 10, 300)
    bound = free.assign(msd=free.msd * law.white_steps(np.zeros(8), T) / np.where(T > 0, T, 1))
    names = xr.DataArray(["with", "without"], dims="dynamics.sampling", name="dynamics.sampling")
    both = xr.concat([free, bound], names, combine_attrs="override")
    for analysis in (lambda ds, **given: diffusion(ds, **given), lambda ds, **given: rescale_by_noise(ds, after=5.0, **given)):
        with pytest.raises(Refusal, match=r"mini-batches or momentum may differ along dynamics.sampling.*give\s+sampling="):
            analysis(both)
        laws = names.copy(data=np.array([Sampling("with_replacement", 10, 300), law], dtype=object))
        found = analysis(both, sampling=laws)
        np.testing.assert_allclose(found.ratio, 1, atol=0.15)
        np.testing.assert_allclose(found.gamma, 1, atol=0.05)
    rates = xr.concat([free, free], xr.DataArray([0.1, 0.1], dims="dynamics.learning_rate"), combine_attrs="override")
    assert diffusion(rates).gamma.sizes == {"dynamics.learning_rate": 2}


def test_lags_that_epochs_undo_are_left_out() -> None:
    """By default lags end at one epoch; beyond, pairs of which less than a tenth counts as white say nothing about D."""
    law, ds = Sampling("without_replacement", 1, 100), diffusing(np.random.default_rng(0))
    white = law.white_steps(T_W, T)
    ds["msd"] = ds.msd * white / np.where(T > 0, T, 1)
    longer = ds.assign(msd=ds.msd * np.where(T > 100, 100, 1))
    found = diffusion(longer, sampling=law)
    assert float(found.ratio) == pytest.approx(1, abs=0.15)
    assert found.ratio.attrs["lags"] == "0 to 100"
    undone = (white < 0.1 * T) & (T > 0)
    assert 5 < undone.sum() < 60
    found = diffusion(ds.assign(msd=ds.msd * np.where(undone, 100, 1)), sampling=law, lags=(0, 700))
    assert float(found.ratio) == pytest.approx(1, abs=0.15)


def test_without_d_there_is_an_exponent_but_no_ratio() -> None:
    ds = diffusing(np.random.default_rng(0), power=0.0)
    found = diffusion(ds.assign(gradient_noise=np.nan * ds.gradient_noise))
    assert float(found.gamma) == pytest.approx(1, abs=0.05)
    assert "D was not measured" in found.ratio.attrs["reason"]


def staged() -> xr.Dataset:
    """α = .1 up to step 100 and .01 from then on; D is constant, 1e-2."""
    ds = diffusing(np.random.default_rng(0), power=0.0)
    ds["gradient_noise"] = 0 * ds.gradient_noise + 1e-2 * np.exp(0.01 * np.arange(6))[:, None]
    flow = np.where(T_W < 100, 0.1 * T_W, 10 + 0.01 * (T_W - 100))
    first, last = (spec("sampling = 'with_replacement'").replace("[dynamics]", "[[dynamics]]") for _ in range(2))
    ds.attrs |= {"spec": first.replace("0.01", "0.1") + "until = 100\n" + last, "terms": 1000}
    return ds.drop_vars("t_flow").assign_coords(t_w_flow=("t_w", flow))


def test_stages_have_each_their_own_rate() -> None:
    """Between readings on both sides of a change of α neither slope of the flow is that of the reading."""
    found = sgd_temperature(staged()).temperature
    expected = 0.5 * np.where(T_W < 100, 0.1, 0.01) * 1e-2 * np.exp(0.01 * np.arange(6)).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    unknown = sgd_temperature(staged().drop_attrs()).temperature
    assert unknown.isnull().all()
    assert "changes on the way" in unknown.attrs["reason"]


def test_diffusion_is_of_one_stage() -> None:
    for analysis in (diffusion, lambda ds: rescale_by_noise(ds, after=200.0)):
        with pytest.raises(Refusal, match=r"from stage to stage.*ds.sel\(t_w=slice\(100, None\)\)"):
            analysis(staged())
        found = analysis(staged().sel(t_w=slice(100, None)).assign(msd=1e-4 * staged().msd))
        assert found.gamma.attrs["sampling"] == "with_replacement"
        assert float(found.ratio) == pytest.approx(1, abs=0.15)


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
