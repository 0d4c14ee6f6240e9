"""Where displacements lie: the van Hove histogram and the fraction that has stayed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.engine_tools import tables
from tests.observables.tools import Parts, built, normal, read

import glassyrun
from glassyrun import GlassyrunError, Refusal, State
from glassyrun_observables import pieces
from glassyrun_observables.displacement import MsdOptions
from glassyrun_observables.epsilon import EpsilonOverlapOptions
from glassyrun_observables.van_hove import VanHoveOptions

LINEAR: dict[str, Any] = {"largest": 2.0, "bins": 40}
LOGARITHMIC: dict[str, Any] = {"scale": "logarithmic", "smallest": 1e-3, "largest": 2.0, "bins": 30}


@pytest.fixture(params=[None, 64], ids=["one piece", "small pieces"])
def _cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param is not None:
        monkeypatch.setattr(pieces, "PIECE", request.param)


def moved(dof: int = 3000, scale: float = 0.6, dtype: torch.dtype = torch.float64) -> tuple[Parts, State, State]:
    then = normal(1, 2, dof).to(dtype)
    return Parts((dof,)), State(then + normal(2, 2, dof, scale=scale).to(dtype)), State(then)


@pytest.mark.usefixtures("_cut")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("table", [LINEAR, LOGARITHMIC], ids=["linear", "logarithmic"])
def test_bins_hold_what_numpy_counts(table: dict[str, Any], dtype: torch.dtype) -> None:
    system, now, then = moved(dtype=dtype)
    options = VanHoveOptions(**table)
    values = read(options, system, now, then)
    for r in range(2):
        delta = now.x[r].numpy().astype(np.float64) - then.x[r].numpy()
        delta = delta if table is LINEAR else np.abs(delta)
        edges = options.edges()
        inside = delta[delta < edges[-1]]  # numpy closes the last bin on the right
        np.testing.assert_allclose(values["van_hove"][r], np.histogram(inside, edges)[0] / 3000, rtol=1e-14)
        np.testing.assert_allclose(values["van_hove_below"][r], (delta < edges[0]).mean(), rtol=1e-14)
        np.testing.assert_allclose(values["van_hove_above"][r], (delta >= edges[-1]).mean(), rtol=1e-14)


@pytest.mark.parametrize("table", [LINEAR, LOGARITHMIC], ids=["linear", "logarithmic"])
@pytest.mark.parametrize("scale", [0.0, 0.05, 0.6, 30.0])
def test_it_sums_to_one_whatever_is_outside(table: dict[str, Any], scale: float) -> None:
    values = read(VanHoveOptions(**table), *moved(scale=scale))
    total = values["van_hove"].sum(1) + values["van_hove_below"] + values["van_hove_above"]
    np.testing.assert_allclose(total, 1, rtol=1e-14)
    if scale == 30.0:
        assert (values["van_hove_above"] > 0.3).all()
    if scale == 0.0:
        assert (values["van_hove"][:, 20] if table is LINEAR else values["van_hove_below"]).tolist() == [1, 1]


def test_its_moments_are_those_of_the_displacement() -> None:
    """Mean and second moment over the middles of the bins agree with the data within half a bin's width."""
    system, now, then = moved(scale=0.3)
    options = VanHoveOptions(**LINEAR)
    shares = read(options, system, now, then)["van_hove"]
    middle = np.array(built(options, system).variables["van_hove"].coords["displacement"])
    width = 0.1
    delta = now.x.numpy() - then.x.numpy()
    np.testing.assert_allclose(shares @ middle, delta.mean(1), atol=width / 2)
    msd = read(MsdOptions(), system, now, then)["msd"]
    # of values spread over a bin the middle misses width²/12 (Sheppard's correction)
    np.testing.assert_allclose(shares @ middle**2, msd + width**2 / 12, rtol=0.01)


def test_logarithmic_bins_have_the_second_moment_too() -> None:
    system, now, then = moved(scale=0.3)
    options = VanHoveOptions(**LOGARITHMIC | {"bins": 200})
    shares = read(options, system, now, then)["van_hove"]
    middle = np.array(built(options, system).variables["van_hove"].coords["displacement"])
    np.testing.assert_allclose(shares @ middle**2, read(MsdOptions(), system, now, then)["msd"], rtol=0.01)


def test_the_coordinate_is_the_middle_of_each_bin() -> None:
    linear = built(VanHoveOptions(largest=1.0, bins=4), Parts((5,))).variables["van_hove"]
    assert linear.dims == ("replica", "displacement")
    np.testing.assert_allclose(linear.coords["displacement"], [-0.75, -0.25, 0.25, 0.75])
    table = VanHoveOptions(scale="logarithmic", smallest=0.01, largest=1.0, bins=2, name="log")
    logarithmic = built(table, Parts((5,))).variables["log"]
    assert logarithmic.dims == ("replica", "log_displacement")
    np.testing.assert_allclose(logarithmic.coords["log_displacement"], [10**-1.5, 10**-0.5])


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"largest": 1.0, "smallest": 0.1}, 'van_hove.smallest: found 0.1 for linear bins, .* or set scale = "logarithmic"'),
        ({"largest": 1.0, "scale": "logarithmic"}, "van_hove.smallest: not given, .* give one below largest = 1"),
        ({"largest": 1.0, "smallest": 2.0, "scale": "logarithmic"}, "van_hove.smallest: found 2, expected less than largest = 1"),
        ({"largest": 1.0, "smallest": 1.0, "scale": "logarithmic"}, "expected less than largest = 1; lower it"),
        (
            {"largest": 1e308},
            r"van_hove\.bins: 60 bins up to largest = 1e\+308 have no edges that increase in float64; take fewer",
        ),
        (
            {"largest": 1.0, "smallest": 1 - 1e-15, "scale": "logarithmic"},
            r"van_hove\.bins: 60 bins up to largest = 1 have no edges",
        ),
    ],
)
def test_bins_that_can_not_be(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        built(VanHoveOptions(**table), Parts((5,)))


@pytest.mark.usefixtures("_cut")
def test_the_fraction_that_has_stayed() -> None:
    """Of ten components some have moved by a known step; one by exactly ε, which counts as none."""
    then = torch.zeros(2, 10, dtype=torch.float64)
    now = then.clone()
    now[0, :4] = torch.tensor([0.25, -0.25, 0.2500001, -3.0])
    for epsilon, expected in ((0.25, [0.8, 1]), (0.2, [0.6, 1]), (5.0, [1, 1]), (0.0, [0.6, 1])):
        values = read(EpsilonOverlapOptions(epsilon=epsilon), Parts((10,)), State(now), State(then))
        assert values["epsilon_overlap"].tolist() == expected


def test_it_is_the_van_hove_histogram_summed() -> None:
    """Up to an edge of the bins."""
    system, now, then = moved()
    edges = VanHoveOptions(**LOGARITHMIC).edges()
    shares = read(VanHoveOptions(**LOGARITHMIC), system, now, then)
    stayed = read(EpsilonOverlapOptions(epsilon=float(edges[17])), system, now, then)["epsilon_overlap"]
    np.testing.assert_allclose(shares["van_hove"][:, :17].sum(1) + shares["van_hove_below"], stayed, rtol=1e-14)


def test_no_variable_takes_the_name_of_its_dimension() -> None:
    """The displacement of the bins and one that somebody calls so: xarray would keep one of them."""
    kinds = [{"kind": "van_hove", "largest": 1.0}, {"kind": "msd", "name": "displacement"}]
    with pytest.raises(
        GlassyrunError, match="variable 'displacement' of 'displacement' has the name of a dimension of 'van_hove'"
    ):
        glassyrun.run(tables("quadratic", "quench", observables=kinds), quiet=True)


def test_two_histograms_have_bins_of_their_own() -> None:
    kinds = [{"kind": "van_hove", **LINEAR}, {"kind": "van_hove", "name": "log", **LOGARITHMIC}]
    ds = glassyrun.run(tables("quadratic", "quench", steps=3, observables=kinds), quiet=True)
    assert (ds.sizes["displacement"], ds.sizes["log_displacement"]) == (40, 30)
    assert ds.van_hove.dims == ("sample", "replica", "t_w", "t", "displacement")
