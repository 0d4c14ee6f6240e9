"""Several runs: α/B, side by side, N → ∞."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.analysis.synthetic import assert_rate, coverage, noise, one_time, times, two_time

from glassyrun import Refusal
from glassyrun.analysis import NullModel, compare, finite_size, fixed_ratio

TIME = times(1, 1000, 25)


def decay(flow: np.ndarray) -> np.ndarray:
    return 1 / (1 + flow / 20)


def sgd(
    rng: np.random.Generator,
    rate: float,
    batch: int,
    replicas: int,
    energy: Callable[[np.ndarray], np.ndarray] = decay,
    size: float = 0.03,
) -> xr.Dataset:
    """A run of SGD, its steps those of one axis of flow time."""
    step = np.round(TIME / rate)
    own = size * noise(rng, (1, replicas, len(TIME)), 0.9) - size**2 / 2
    ds = one_time(energy(step * rate) * np.exp(own), step)
    ds.attrs |= {"spec": f"[dynamics]\nkind = 'sgd'\nbatch_size = {batch}\n", "terms": 10_000}
    return ds.assign_coords(time_flow=("time", step * rate), time_step=("time", step))


def three(rng: np.random.Generator, gap: float) -> list[xr.Dataset]:
    """Two runs of equal α/B whose losses differ by a factor 1 + gap, and one of another ratio."""
    return [
        sgd(rng, 0.1, 100, 5),
        sgd(rng, 0.2, 200, 6, lambda flow: (1 + gap) * decay(flow)),
        sgd(rng, 0.1, 50, 5, lambda flow: 1.5 * decay(flow)),
    ]


def test_spread_of_runs_of_one_ratio() -> None:
    logs = np.log([1, 1.2, 1.5])
    assert_rate(coverage(lambda rng: fixed_ratio(three(rng, 0.2)), {"spread": logs[1] / 2, "spread_all": logs.std()}))
    same = coverage(lambda rng: fixed_ratio(three(rng, 0.0)), {"spread": 0.0}, sets=50)
    assert same["spread"] >= 0.94
    found = fixed_ratio(three(np.random.default_rng(0), 0.0))
    assert found.ratio.values == pytest.approx([1e-3])
    assert all("jackknife" in found[name].attrs["errors"] for name in ("spread", "spread_all"))


def test_runs_that_share_no_ratio() -> None:
    rng = np.random.default_rng(0)
    found = fixed_ratio([sgd(rng, 0.1, 100, 4), sgd(rng, 0.1, 50, 4)])
    assert found.spread.isnull().all()
    assert "no two runs" in found.spread.attrs["reason"]
    with pytest.raises(Refusal, match="not SGD"):
        fixed_ratio([one_time(np.ones((1, 3, 26)), TIME)] * 2)


def test_a_run_that_goes_on_is_compared_as_far_as_it_is() -> None:
    """Half of the readings of one run: equal runs are found equal, and what differs later does not count."""
    rng = np.random.default_rng(0)
    half = sgd(rng, 0.2, 200, 6, lambda flow: decay(flow) * np.where(flow > 100, 5, 1))
    half = half.where(half.time_flow < 90)
    found = fixed_ratio([sgd(rng, 0.1, 100, 5), half])
    assert float(found.spread[0]) < 0.05
    assert float(found.spread_interval[0, 0]) == 0


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: xr.concat([run, run], "rate"), "has the dimension rate; select a point"),
        (lambda run: run - 0.5, "energy is not positive everywhere"),
        (
            lambda run: run.assign(energy=run.energy.isel(time=0)),
            "energy is over sample, replica, and what is compared is over time",
        ),
    ],
    ids=["sweep", "negative", "no time"],
)
def test_what_fixed_ratio_cannot_compare(spoil: Callable[[xr.Dataset], xr.Dataset], told: str) -> None:
    rng = np.random.default_rng(0)
    run, other = sgd(rng, 0.1, 100, 4), sgd(rng, 0.2, 200, 4)
    with pytest.raises(Refusal, match=told):
        fixed_ratio([run, spoil(other).assign_attrs(other.attrs)])


def test_side_by_side_on_flow_time() -> None:
    """Steps of .1 and .5: read at equal flow time, one is three times the other; each has gone all of its own way at its end."""

    def analyse(rng: np.random.Generator, size: float = 0.03) -> xr.Dataset:
        runs = [sgd(rng, 0.1, 100, 5, size=size), sgd(rng, 0.5, 100, 5, lambda flow: 3 * decay(flow), size=size)]
        return compare(*runs, names=["a", "b"], variables=["energy"], points=10)

    exact = analyse(np.random.default_rng(0), 0.0)
    np.testing.assert_allclose(exact.energy.sel(system="a"), decay(exact.time.values), rtol=1e-3)
    np.testing.assert_allclose(exact.energy_fallen.isel(time=[0, -1]).sel(system="a"), [1 - decay(exact.time[0]), 1], atol=0.02)
    inside = slice(1, None)  # the first point is before the first step of b
    truths = {
        "energy": np.array([[1], [3]]) * decay(exact.time.values[inside]),
        "energy_fallen": (1 - decay(exact.time.values[inside])) / (1 - decay(1000.0)),
    }
    names = [f"{name}_interval" for name in truths]
    assert_rate(coverage(lambda rng: analyse(rng)[names].isel(time=inside), truths))


def deep(rng: np.random.Generator, size: float, bottoms: tuple[float, float], until: float = 1e9) -> list[xr.Dataset]:
    """A glass that falls from 0 towards −1 alone, above its bottom, and a loss that falls from 2 to 0."""
    runs = [sgd(rng, 0.1, 100, 5, size=size) - 1, 2 * sgd(rng, 0.5, 100, 5, size=size)]
    for run, bottom in zip(runs, bottoms, strict=True):
        run.energy.attrs["bottom"] = np.float64(bottom)
    return [run.sel(time=run.time_flow <= until) for run in runs]


def test_the_way_to_the_bottom_is_known_where_all_runs_know_their_bottom() -> None:
    """The glass stays below 0.8 of its way, the loss goes to 1, and neither hangs on how long the run was."""
    names = {"names": ["glass", "loss"], "variables": ["energy"], "points": 30}
    found = compare(*deep(np.random.default_rng(0), 0.0, (-1.25, 0.0)), **names)
    gone = 1 - decay(found.time.values)
    inside = found.time.values > 1
    np.testing.assert_allclose(found.energy_fallen.sel(system="glass")[inside], (gone / 1.25)[inside], rtol=2e-3)
    np.testing.assert_allclose(found.energy_fallen.sel(system="loss")[inside], gone[inside], rtol=2e-3)
    assert "to the bottom" in found.energy_fallen.attrs["long_name"]
    assert "(first − bottom)" in found.energy_fallen.attrs["definition"]
    short = compare(*deep(np.random.default_rng(0), 0.0, (-1.25, 0.0), until=110), **names)
    last = 1 - decay(short.time.values[-1])
    np.testing.assert_allclose(short.energy_fallen[:, -1], [last / 1.25, last], rtol=2e-3)
    given = compare(*deep(np.random.default_rng(0), 0.0, (np.nan, np.nan)), bottoms=[-1.25, 0], **names)
    np.testing.assert_array_equal(given.energy_fallen, found.energy_fallen)
    truth = np.stack([gone / 1.25, gone])[:, inside]

    def analyse(rng: np.random.Generator) -> xr.Dataset:
        return compare(*deep(rng, 0.03, (-1.25, 0.0)), **names)[["energy_fallen", "energy_fallen_interval"]].isel(time=inside)

    assert_rate(coverage(analyse, {"energy_fallen": truth}))


def test_without_all_bottoms_the_way_is_that_to_the_last_reading() -> None:
    """The bottom of one run is not known: both are as if none were, and the labels say so."""
    for bottoms in ((-1.25, np.nan), (np.nan, np.nan)):
        found = compare(*deep(np.random.default_rng(0), 0.0, bottoms), names=["glass", "loss"])
        np.testing.assert_allclose(found.energy_fallen.isel(time=-1), 1)
        assert "from the first to the last reading" in found.energy_fallen.attrs["long_name"]
        assert "(first − last)" in found.energy_fallen.attrs["definition"]


def test_bottoms_that_mean_nothing() -> None:
    runs = deep(np.random.default_rng(0), 0.03, (np.nan, np.nan))
    for bottoms in ([0.0], 0.0, "ab"):
        with pytest.raises(Refusal, match="one for each of 2 results, found"):
            compare(*runs, bottoms=bottoms)
    with pytest.raises(Refusal, match="each of bottoms is a finite number, found nan"):
        compare(*runs, bottoms=[np.nan, 0.0])
    twice = [run.assign(test_loss=run.energy) for run in runs]
    with pytest.raises(Refusal, match="found energy and test_loss; say which one with variables="):
        compare(*twice, variables=["energy", "test_loss"], bottoms=[-1.25, 0.0])
    above = compare(*runs, names=["glass", "loss"], bottoms=[3.0, 0.0])
    assert above.energy_fallen.isnull().any("time").sel(system="glass")
    assert above.energy_fallen.sel(system="loss").notnull().sum() > 30
    assert "glass: the first reading" in above.energy_fallen.attrs["reason"]
    assert "is not above the bottom, 3" in above.energy_fallen.attrs["reason"]


def pairs(delta: Callable[[np.ndarray, np.ndarray], np.ndarray], rng: np.random.Generator, size: float) -> xr.Dataset:
    """On the grids of a schedule as they are by default: two waiting times a decade, eight lags."""
    t_w, t = 10 ** np.arange(0, 3.01, 0.5), np.concatenate([[0], 10 ** np.arange(-1, 3.01, 0.125)])
    own = size * (noise(rng, (1, 5, len(t_w), len(t)), 0.9) + rng.standard_normal((1, 5, 1, 1)))
    ds = two_time(delta(t_w, t) * np.exp(own - size**2), t_w, t, horizon=1500)
    return ds.assign_coords(t_w_flow=("t_w", t_w), t_flow=("t", t))


DELTAS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "null model": NullModel().msd,
    "ballistic": lambda t_w, t: t**2 / t_w[:, None],
    "saturating": lambda t_w, t: t / (t + t_w[:, None]),
}


def between(name: str, rng: np.random.Generator, size: float) -> xr.Dataset:
    """Δ read on waiting times that were mostly not measured, within the horizon."""
    run = pairs(DELTAS[name], rng, size)
    found = compare(run, run.isel(t_w=[0, -1], t=[0, 1, -1]), names=["a", "b"], variables=["msd"], waiting=6, points=12)
    return found.isel(system=0).where(found.t_w + found.t < 1000)[["msd", "msd_interval"]]


@pytest.mark.parametrize("name", DELTAS)
def test_two_time_functions_between_coarse_waiting_times(name: str) -> None:
    """Hardly any noise: what may lie between the readings is in the interval."""
    found = between(name, np.random.default_rng(0), 1e-3)
    truth = DELTAS[name](found.t_w.values, found.t.values)
    known = np.isfinite(found.msd.values)
    assert known.sum() >= 40
    low, high = np.moveaxis(found.msd_interval.values, -1, 0)
    assert np.mean(((low <= truth) & (truth <= high))[known]) > 0.95
    np.testing.assert_allclose(found.msd.values[known], truth[known], rtol=0.1)


def test_the_interval_between_coarse_waiting_times_has_its_rate() -> None:
    """Noise that hides what lies between them; the truth is the closed form."""
    exact = between("null model", np.random.default_rng(0), 0.2)
    truth, known = DELTAS["null model"](exact.t_w.values, exact.t.values), np.isfinite(exact.msd.values)
    rate = coverage(lambda rng: between("null model", rng, 0.2), {"msd": truth})["msd"]
    assert_rate({"msd": rate[known]})


def test_two_time_functions_side_by_side() -> None:
    """Nothing is made up beyond the horizon or before the first waiting time, and times are those of the flow."""
    t_w, t = np.geomspace(1, 100, 9), times(1, 500, 40)

    def run(unit: float) -> xr.Dataset:
        curves = np.broadcast_to(unit**0.5 * t / t_w[:, None] ** 0.5, (1, 3, 9, 41))
        ds = two_time(curves, t_w, t, horizon=500)
        return ds.assign_coords(t_w_flow=("t_w", unit * t_w), t_flow=("t", unit * t))

    found = compare(run(1.0), run(10.0), names=["a", "b"], variables=["msd"], waiting=7, points=30)
    exact = found.t / found.t_w**0.5
    for name in ("a", "b"):
        ratio = (found.msd.sel(system=name) / exact).values
        assert np.isfinite(ratio).sum() > 30
        np.testing.assert_allclose(ratio[np.isfinite(ratio)], 1, rtol=1e-6)
    assert found.msd.sel(system="b").isel(t_w=0).isnull().all()
    a = found.msd.sel(system="a")
    assert a.where(a.t_w + a.t > 520).isnull().all()


def test_waiting_times_that_all_runs_have_are_on_the_axis() -> None:
    """10 in both, as 10 and as 100 steps of .1 that are rounded; it is read as it was measured."""
    t = times(1, 500, 40)

    def run(t_w: list[float], unit: float) -> xr.Dataset:
        ds = two_time(np.broadcast_to(t / np.array(t_w)[:, None] ** 0.5, (1, 3, len(t_w), 41)), np.array(t_w), t)
        return ds.assign_coords(t_w_flow=("t_w", unit * np.array(t_w)), t_flow=("t", t))

    a, b = run([1, 10, 50, 100], 1.0), run([10, 20, 30, 100, 1000], 0.1 * (1 + 1e-12))
    found = compare(a, b, names=["a", "b"], variables=["msd"], waiting=6, points=5)
    np.testing.assert_allclose(found.t_w, np.sort([*np.geomspace(1, 100, 6), 10]))
    at = {"t_w": 10, "method": "nearest"}
    for name, exact in (("a", 10**-0.5), ("b", 100**-0.5)):
        np.testing.assert_allclose(found.msd.sel(system=name).sel(**at), exact * found.t, rtol=1e-6)


def test_by_default_what_all_runs_have_is_compared() -> None:
    run = sgd(np.random.default_rng(0), 0.1, 100, 3)
    assert set(compare(run.assign(msd=run.energy), run, points=5)) == set(compare(run, run, points=5))


def test_few_trajectories_give_a_mean_without_an_interval() -> None:
    run = sgd(np.random.default_rng(0), 0.1, 100, 3)
    found = compare(run, sgd(np.random.default_rng(0), 0.1, 100, 2), names=["a", "b"], points=10).sel(system="b")
    np.testing.assert_allclose(found.energy, decay(found.time.values), rtol=0.1)
    assert float(found.energy_fallen[-1]) == pytest.approx(1)
    assert found.energy_interval.isnull().all()
    assert "b: no interval: an error needs 3" in found.energy.attrs["reason"]


def test_a_waiting_time_that_was_not_measured_leaves_a_gap() -> None:
    """Nothing is read between two waiting times of which one is not there; beside them everything is."""
    t_w, t = np.geomspace(1, 100, 9), times(1, 500, 40)
    ds = two_time(np.broadcast_to(t / t_w[:, None] ** 0.5, (1, 3, 9, 41)), t_w, t)
    run = ds.assign_coords(t_w_flow=("t_w", t_w), t_flow=("t", t))
    found = compare(run, run.where(run.t_w != t_w[4]), names=["whole", "without"], variables=["msd"], waiting=41, points=10)
    within = (found.t_w > t_w[3] * 1.001) & (found.t_w < t_w[5] * 0.999)
    assert int(within.sum()) > 5
    whole, without = (found.msd.sel(system=name).drop_vars("system") for name in ("whole", "without"))
    assert whole.notnull().any("t").all()
    assert without.where(within, drop=True).isnull().all()
    xr.testing.assert_allclose(without.where(~within, drop=True), whole.where(~within, drop=True))


def test_compare_refuses_what_it_cannot_put_on_one_axis() -> None:
    run = sgd(np.random.default_rng(0), 0.1, 100, 3)
    with pytest.raises(Refusal, match="two results"):
        compare(run)
    with pytest.raises(Refusal, match="lacks the coordinate time_flow"):
        compare(run, one_time(np.ones((1, 3, 26)), TIME))
    with pytest.raises(Refusal, match="select a point"):
        compare(run, xr.concat([run, run], "rate"))
    other = run.rename(energy="msd")
    with pytest.raises(Refusal, match="b has no variable overlap; leave it out of variables="):
        compare(run.assign(overlap=run.energy), run, names=["a", "b"], variables=["energy", "overlap"])
    with pytest.raises(Refusal, match="share neither energy nor msd"):
        compare(run, other)
    with pytest.raises(Refusal, match="list of names, found 'energy'; write"):
        compare(run, run, variables="energy")
    with pytest.raises(Refusal, match="list of names, found none"):
        compare(run, run, variables=[])
    with pytest.raises(Refusal, match="two results are named 'a'"):
        compare(run, run, names=["a", "a"])
    with pytest.raises(Refusal, match="one a result, found 'ab'"):
        compare(run, run, names="ab")
    with pytest.raises(Refusal, match="found 1 names for 2"):
        compare(run, run, names=["a"])
    begun = pairs(DELTAS["ballistic"], np.random.default_rng(0), 0.1)
    with pytest.raises(Refusal, match="no time after 0"):
        compare(begun, begun.isel(t_w=[0]).assign_coords(t_w_flow=("t_w", [0.0])), variables=["msd"])


def sizes(
    rng: np.random.Generator, samples: int, size: float, numbers: tuple[int, ...] = (64, 128, 256, 512, 1024)
) -> list[xr.Dataset]:
    """E_N = E_∞ − 3/N, fluctuations of samples as N^{−1/2}."""
    runs = []
    for number in numbers:
        own = noise(rng, (samples, 1, len(TIME)), 0.9) + rng.standard_normal((samples, 1, 1))
        runs.append(one_time(-1.1 - 3 / number + 0.1 * np.exp(-TIME / 50) + size * (64 / number) ** 0.5 * own, TIME))
        runs[-1].attrs["degrees_of_freedom"] = number
    return runs


@pytest.mark.parametrize("samples", [4, 12])
def test_extrapolation_to_infinite_size(samples: int) -> None:
    truths = {"limit": -1.1 + 0.1 * np.exp(-TIME / 50), "amplitude": -3.0}
    assert_rate(coverage(lambda rng: finite_size(sizes(rng, samples, 0.02)), truths))


def test_an_exponent_is_fitted_where_four_sizes_allow() -> None:
    def analyse(rng: np.random.Generator) -> xr.Dataset:
        runs = [run.isel(time=[5, 20]) for run in sizes(rng, 20, 0.002)]
        return finite_size(runs, exponent=None)

    assert_rate(coverage(analyse, {"exponent": 1.0}, sets=200))
    found = finite_size(sizes(np.random.default_rng(0), 5, 0.002)[:3], exponent=None)
    assert np.isnan(found["exponent"])
    assert "four" in found["exponent"].attrs["reason"]


def test_an_exponent_that_the_data_leave_open_is_no_number() -> None:
    """Noise far above the corrections: whatever is printed is the range of the search, unless nothing is."""
    for seed in range(20):
        found = finite_size(sizes(np.random.default_rng(seed), 3, 0.5, (64, 128, 256, 512)), exponent=None)
        assert found["exponent"].isnull()
        assert found.limit.isnull().all()
        assert "undetermined between 0.05 and 4" in found["exponent"].attrs["reason"]
        assert "undetermined" in found.limit.attrs["reason"]


def test_a_wrong_law_shows_in_chi_squared() -> None:
    runs = sizes(np.random.default_rng(0), 20, 0.002)
    assert float(finite_size(runs).chi_squared) < 3
    assert float(finite_size(runs, exponent=0.25).chi_squared) > 10


def test_sizes_must_differ_and_grids_agree() -> None:
    runs = sizes(np.random.default_rng(0), 4, 0.01)
    with pytest.raises(Refusal, match="different sizes"):
        finite_size([runs[0], runs[0]])
    with pytest.raises(Refusal, match="different grids"):
        finite_size([runs[0], runs[1].isel(time=slice(5))])
    few = [run.isel(sample=[0, 1]) for run in runs]
    assert finite_size(few).limit.isnull().all()
    assert "needs 3" in finite_size(few).limit.attrs["reason"]


SPEC = """seed = {seed}
[system]
kind = "pspin"
n = {n}
disorder = "{disorder}"
[dynamics]
kind = "langevin"
dt = 0.1
temperature = {temperature}
[schedule]
horizon = {horizon}
[ensemble]
samples = {samples}
start = "own"
[run]
threads = {threads}
"""


def specified(**changes: object) -> list[xr.Dataset]:
    """Three runs that differ in size, and in what else a size may bring with it; of the last something is changed."""
    about = [
        {"seed": k, "n": 64 * 2**k, "disorder": ("full", "lazy")[k > 1], "horizon": 10 * k, "samples": 4 + k, "threads": 1 + k}
        for k in range(3)
    ]
    about[-1] |= changes
    runs = sizes(np.random.default_rng(0), 4, 0.01, (64, 128, 256))
    return [run.assign_attrs(spec=SPEC.format(**{"temperature": 0.3, **one})) for run, one in zip(runs, about, strict=True)]


def test_runs_of_one_law_differ_in_size_alone() -> None:
    runs = specified()
    assert finite_size(runs).limit.notnull().all()
    with pytest.raises(Refusal, match=r"differ in dynamics.temperature, 0.3 and 0.7, and one law") as refused:
        finite_size(specified(temperature=0.7))
    assert "\n" not in str(refused.value)
    bare = [run.energy for run in specified(temperature=0.7)]
    assert finite_size(bare, sizes=[64, 128, 256]).limit.notnull().all()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('kind = "pspin"', 'kind = "mlp"', "system.kind, 'pspin' and 'mlp'"),
        ('kind = "langevin"', 'kind = "quench"', "dynamics.kind, 'langevin' and 'quench'"),
        ("temperature = 0.3\n", "", "dynamics.temperature, 0.3 and nothing"),
        ("dt = 0.1", "dt = 0.1\nramp = { start = 1.0, until = 2.0 }", "dynamics.ramp.start, nothing and 1.0"),
        ('start = "own"', 'start = "shared"', "ensemble.start, 'own' and 'shared'"),
        ("[dynamics]", "[[dynamics]]", "dynamics.kind, 'langevin' and nothing"),
    ],
)
def test_what_makes_another_law_is_named(old: str, new: str, told: str) -> None:
    runs = specified()
    runs[1].attrs["spec"] = runs[1].attrs["spec"].replace(old, new)
    with pytest.raises(Refusal) as refused:
        finite_size(runs)
    assert f"the runs differ in {told}," in str(refused.value)
