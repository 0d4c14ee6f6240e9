"""The labelled result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tests.engine_tools import load, tables

import glassyrun
from glassyrun import api


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("result") / "run"
    schedule = {"horizon": 3.0, "time": {"from": 0.0, "per_decade": 5}, "t_w": [0.0, 0.3, 2.0], "t": [0.0, 0.3, 1.0, 2.0]}
    spec = load(tables("pspin", "langevin", schedule=schedule, ensemble={"samples": 2, "replicas": 3}))
    api.execute(spec, directory, quiet=True)
    return directory


def test_dimensions_coordinates_and_attributes(run: Path) -> None:
    with xr.open_dataset(run / "result.nc") as ds:
        assert ds.energy.dims == ("sample", "replica", "time")
        assert ds.msd.dims == ("sample", "replica", "t_w", "t")
        assert ds.sizes["sample"] == 2
        assert ds.sizes["replica"] == 3
        assert ds.attrs["complete"] == 1
        assert ds.attrs["seed"] == 3
        assert 'kind = "pspin"' in ds.attrs["spec"]
        assert "torch" in ds.attrs["versions"]
        assert "glassyrun_pspin" in ds.attrs["plugins"]
        for variable in [*ds.data_vars.values(), *ds.coords.values()]:
            assert variable.attrs["long_name"]
            assert variable.attrs["units"]


def test_coordinates_select_by_value(run: Path) -> None:
    """15·0.02 and 3·0.1 are different floats; coordinates are rounded so that what was asked for is found."""
    with xr.open_dataset(run / "result.nc") as ds:
        assert ds.msd.sel(t_w=0.3, t=0.3).notnull().all()


def test_beyond_the_horizon_is_nan_and_nothing_else(run: Path) -> None:
    with xr.open_dataset(run / "result.nc") as ds:
        beyond = (ds.t_w + ds.t) > 3.0 + 1e-9
        for name in ("msd", "overlap"):
            assert (ds[name].isnull() == beyond).all()
        assert ds.energy.notnull().all()


def test_identities_of_two_time_functions(run: Path) -> None:
    """Δ(t_w, 0) = 0, and on the sphere Δ = 2 − 2C; measured by separate code, so each checks the other."""
    with xr.open_dataset(run / "result.nc") as ds:
        assert (ds.msd.sel(t=0) == 0).all()
        assert float(abs(ds.msd - (2 - 2 * ds.overlap)).max()) < 2e-6
        assert float(abs(ds.overlap - ds.overlap_normalised).max()) < 1e-6
        assert float(abs(ds.constraint).max()) < 1e-6


def test_two_runs_of_one_spec_are_the_same_bytes(run: Path, tmp_path: Path) -> None:
    import tomli

    spec = load(tomli.loads((run / "spec.toml").read_text()))
    again = api.execute(spec, tmp_path / "again", quiet=True)
    assert again.result.read_bytes() == (run / "result.nc").read_bytes()


def test_samples_differ_and_do_not_depend_on_their_number(run: Path, tmp_path: Path) -> None:
    import tomli

    source = tomli.loads((run / "spec.toml").read_text())
    source["ensemble"]["samples"] = 1
    one = glassyrun.run(source, tmp_path / "one", quiet=True)
    with xr.open_dataset(run / "result.nc") as ds:
        np.testing.assert_array_equal(one.energy.isel(sample=0), ds.energy.isel(sample=0))
        assert not np.array_equal(ds.energy.isel(sample=0), ds.energy.isel(sample=1))


def test_run_from_python_keeps_nothing_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ds = glassyrun.run(tables("quadratic", "quench"), quiet=True)
    assert ds.energy.notnull().all()
    assert list(tmp_path.iterdir()) == []


def test_one_variable_name_twice_is_an_error_and_a_name_mends_it() -> None:
    twice = [{"kind": "energy"}, {"kind": "energy", "terms": 3}]
    with pytest.raises(glassyrun.GlassyrunError, match="energy"):
        glassyrun.run(tables("quadratic", "sgd", observables=twice), quiet=True)
    named = [{"kind": "energy"}, {"kind": "energy", "terms": 3, "name": "energy_subset"}]
    ds = glassyrun.run(tables("quadratic", "sgd", observables=named), quiet=True)
    assert "3 of 12" in ds.energy_subset.attrs["terms"]
    assert not np.array_equal(ds.energy, ds.energy_subset)
