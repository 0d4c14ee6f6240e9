"""What is not meant is refused in one sentence: wrong words, numbers that can't be, variables of another kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.analysis.test_aging import curves
from tests.analysis.test_fluctuations import glass, relaxing
from tests.analysis.test_noise import diffusing
from tests.analysis.test_regimes import descent

from glassyrun import Refusal, analysis

RNG = np.random.default_rng
Analyse = Callable[..., xr.Dataset]


def hot(ds: xr.Dataset) -> xr.Dataset:
    return xr.concat([ds, ds], xr.DataArray([1.0, 0.5], dims="temperature", name="temperature"))


def fluctuating() -> xr.Dataset:
    ds = glass(RNG(0)).rename(response="displacement_fourth")
    return ds.assign(msd=2 * (1 - ds.overlap)).assign_attrs(degrees_of_freedom=100)


def two_sizes(ds: xr.Dataset, **changes: object) -> xr.Dataset:
    changes = {"sizes": [10, 20], **changes}
    return analysis.finite_size([ds, ds], **changes)  # type: ignore[arg-type]


CASES: dict[str, tuple[Callable[[], xr.Dataset], Analyse]] = {
    "regimes": (lambda: descent(RNG(0)), lambda ds, **more: analysis.regimes(ds, **{"bottom": 0.0, **more})),
    "aging": (lambda: curves(RNG(0)).isel(t_w=[0, 1, 3, 5], t=slice(0, None, 2)), analysis.aging),
    "diffusion": (lambda: diffusing(RNG(0)), analysis.diffusion),
    "rescale_by_noise": (lambda: diffusing(RNG(0)), lambda ds, **more: analysis.rescale_by_noise(ds, **{"after": 5.0, **more})),
    "sgd_temperature": (lambda: diffusing(RNG(0)), analysis.sgd_temperature),
    "fdt": (lambda: glass(RNG(0)), lambda ds, **more: analysis.fdt(ds, **{"temperature": 0.5, **more})),
    "chi4": (fluctuating, analysis.chi4),
    "alpha2": (fluctuating, analysis.alpha2),
    "relaxation_time": (lambda: relaxing(RNG(0)), analysis.relaxation_time),
    "superposition": (
        lambda: hot(glass(RNG(0))),
        lambda ds, **more: analysis.superposition(ds, **{"along": "temperature", **more}),
    ),
    "finite_size": (lambda: descent(RNG(0)), two_sizes),
}
FIRST = {"regimes": "energy", "sgd_temperature": "gradient_noise", "relaxation_time": "epsilon_overlap", "finite_size": "energy"}
FIRST |= dict.fromkeys(("fdt", "chi4", "superposition"), "overlap")


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("regimes", {"clock": "steps"}, "clock is one of 'time', 'flow', found 'steps'"),
        ("regimes", {"over": "runs"}, "sample or replica, found 'runs'"),
        ("regimes", {"clock": "flow"}, 'no coordinate time_flow; take clock="time"'),
        ("regimes", {"bottom": np.nan}, "bottom is a finite number, found nan"),
        ("regimes", {"bottom": [0.0, 1.0]}, "bottom is a finite number, found"),
        ("regimes", {"bottom": xr.DataArray([0.0], dims="sample")}, "one for each point of a sweep"),
        ("regimes", {"left": 2.0}, "left is a number between 0 and 1, found 2"),
        ("regimes", {"arrived": "a"}, "arrived is a number between 0 and 1, found 'a'"),
        ("relaxation_time", {"level": 1.5}, "level is a number between 0 and 1"),
        ("relaxation_time", {"over": "runs"}, "sample or replica, found 'runs'"),
        ("fdt", {"along": "time"}, "along is one of 't', 't_w', found 'time'"),
        ("fdt", {"temperature": "a"}, "temperature is a finite number, found 'a'"),
        ("fdt", {"temperature": -1.0}, "temperature above 0"),
        ("fdt", {"levels": 0}, "levels is a whole number of 1 or more"),
        ("fdt", {"levels": np.array([0.5, 0.5])}, "the lowest first"),
        ("fdt", {"window": (0.9, 0.3)}, "window is two numbers, the lower one first"),
        ("fdt", {"window": 0.3}, "window is two numbers, the lower one first"),
        ("chi4", {"dof": -3}, "positive and finite"),
        ("chi4", {"dof": "many"}, "positive and finite"),
        ("superposition", {"along": "t"}, "not t; the data have temperature"),
        ("superposition", {"along": "replica"}, "not replica"),
        ("superposition", {"along": "age"}, "not age"),
        ("superposition", {"pieces": 0}, "pieces is a whole number of 1 or more, found 0"),
        ("superposition", {"window": (0.9, 0.1)}, "window is two numbers"),
        ("superposition", {"t_w": np.nan}, "t_w is a finite number"),
        ("aging", {"amplitude": "fre"}, "amplitude is one of 'common', 'free', found 'fre'"),
        ("aging", {"pieces": 0}, "pieces is a whole number of 1 or more"),
        ("aging", {"null": "x"}, "null is a NullModel or a run of a null model, found 'x'"),
        ("aging", {"lags": (10.0, 1.0)}, "lags is two numbers"),
        ("aging", {"over": "runs"}, "sample or replica, found 'runs'"),
        ("diffusion", {"after": "a"}, "after is a waiting time"),
        ("diffusion", {"after": [1.0, 2.0]}, "after is a waiting time"),
        ("diffusion", {"lags": 3.0}, "lags is two numbers"),
        ("rescale_by_noise", {"after": "a"}, "after is a waiting time"),
        ("rescale_by_noise", {"over": "runs"}, "sample or replica, found 'runs'"),
        ("sgd_temperature", {"over": "runs"}, "sample or replica, found 'runs'"),
        ("finite_size", {"exponent": 0.0}, "exponent is a number above 0, found 0"),
        ("finite_size", {"exponent": np.nan}, "exponent is a number above 0"),
        ("finite_size", {"sizes": [-1, 20]}, "sizes are positive, found -1, 20"),
        ("finite_size", {"sizes": [10]}, "1 sizes for 2 results"),
        ("finite_size", {"at": {"bogus": 1.0}}, "can't be read at a bogus, it is over time"),
    ],
)
def test_an_argument_that_has_no_meaning(name: str, arguments: dict[str, object], told: str) -> None:
    make, analyse = CASES[name]
    with pytest.raises(Refusal) as refused:
        analyse(make(), **arguments)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", list(CASES))
def test_a_variable_that_is_no_number(name: str) -> None:
    make, analyse = CASES[name]
    ds, first = make(), FIRST.get(name, "msd")
    for kind in (str, complex):
        with pytest.raises(Refusal, match=f"{first} holds .* real numbers are needed"):
            analyse(ds.assign({first: ds[first].astype(kind)}))
    with pytest.raises(Refusal, match="an xarray Dataset, or one of its variables, found ndarray"):
        analyse(ds[first].values)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("chi4", "finite_size", "sgd_temperature")])
def test_a_dimension_that_is_not_there(name: str) -> None:
    make, analyse = CASES[name]
    ds, first = make(), FIRST.get(name, "msd")
    for dim in [dim for dim in ("time", "t_w", "t") if dim in ds[first].dims]:
        with pytest.raises(Refusal, match=f", and {dim} is needed"):
            analyse(ds.isel({dim: 2}))
        with pytest.raises(Refusal, match=f"no readings along {dim}"):
            analyse(ds.isel({dim: slice(0, 0)}))
        with pytest.raises(Refusal, match=f"no coordinate {dim}, which"):
            analyse(ds.drop_vars(dim))
        with pytest.raises(Refusal, match=f"the coordinate {dim} of {first} does not increase"):
            analyse(ds.isel({dim: slice(None, None, -1)}))


def test_a_displacement_relaxes_to_no_part_of_its_first_value() -> None:
    found = analysis.relaxation_time(curves(RNG(0)), variable="msd")
    assert found.tau.isnull().all()
    assert "t_w = 1: it is 0 at lag 0" in found.tau.attrs["reason"]
    assert "take a correlation" in found.tau.attrs["reason"]


def test_one_temperature_has_nothing_to_be_put_on() -> None:
    with pytest.raises(Refusal, match="temperature has one point"):
        analysis.superposition(hot(glass(RNG(0))).isel(temperature=[0]), "temperature")
    with pytest.raises(Refusal, match="a list of results"):
        analysis.finite_size(descent(RNG(0)))  # type: ignore[arg-type]


def test_a_null_model_that_is_none() -> None:
    for arguments in ({"exponent": -2.0}, {"cutoff": -1.0}, {"amplitude": 0.0}):
        with pytest.raises(Refusal, match=f"{next(iter(arguments))} is a number above"):
            analysis.NullModel(**arguments)


def test_runs_without_a_time_above_0_have_no_axis() -> None:
    run = diffusing(RNG(0)).isel(t_w=[0]).assign_coords(t_w=[0.0], t_w_flow=("t_w", [0.0]))
    with pytest.raises(Refusal, match="no time after 0"):
        analysis.compare(run, run, names=["a", "b"], variables=["msd"])


@pytest.mark.parametrize(
    ("waiting", "told"),
    [("six", "a number of waiting times"), (2.5, "a number of"), ([1.0, -1.0], "each of waiting is a number above 0")],
)
def test_waiting_times_of_compare_are_a_number_of_them_or_themselves(waiting: Any, told: str) -> None:
    run = diffusing(RNG(0))
    asked = 1.5 * float(run.t_w_flow[1])
    with pytest.raises(Refusal, match=told):
        analysis.compare(run, run, names=["a", "b"], variables=["msd"], waiting=waiting)
    found = analysis.compare(run, run, names=["a", "b"], variables=["msd"], waiting=[asked])
    assert asked in found.t_w.values
