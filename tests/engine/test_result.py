"""The labelled result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from tests.engine.test_resume import attempt
from tests.engine_tools import Crash, load, tables

import glassyrun
from glassyrun import api, result
from glassyrun.store import Store


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


def finished(directory: Path) -> Path:
    return api.execute(load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9})), directory, quiet=True).result


def shards(directory: Path) -> list[Path]:
    return sorted((directory / "shards").glob("*-measured.safetensors"))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flipped, Path.unlink, lambda path: path.write_bytes(b"")])
def test_what_is_whole_is_collected_and_what_is_not_is_named(damage: Callable[[Path], None], tmp_path: Path) -> None:
    finished(tmp_path)
    whole = xr.load_dataset(tmp_path / "result.nc")
    lost = shards(tmp_path)[1]
    damage(lost)
    with pytest.raises(glassyrun.StorageError, match=f"a committed file could not be read .shards/{lost.name}"):
        api.collect(tmp_path)
    with xr.open_dataset(tmp_path / "result.nc") as ds:
        assert ds.attrs["damaged"] == f"shards/{lost.name}"
        there = ds.energy.notnull()
        assert 0 < int(there.sum()) < there.size
        np.testing.assert_array_equal(ds.energy.values[there.values], whole.energy.values[there.values])


def test_a_run_that_ends_with_a_damaged_shard_says_so(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9}))
    assert not attempt(spec, tmp_path, Crash(after=5))
    flipped(shards(tmp_path)[0])
    for again in range(3):  # now, and whenever it is asked again, until the file is there
        with pytest.raises(glassyrun.StorageError, match="could not be read") as caught:
            api.execute(spec, tmp_path, quiet=True)
        assert caught.value.exit_code == 5
        assert xr.load_dataset(tmp_path / "result.nc").attrs["complete"] == 1
        if again == 1:
            (tmp_path / "result.nc").unlink()
    flipped(shards(tmp_path)[0])
    assert "damaged" not in xr.load_dataset(api.execute(spec, tmp_path, quiet=True).result).attrs


@pytest.mark.parametrize("damage", [flipped, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["result.nc", "result.json"])
def test_a_damaged_result_is_built_again(
    name: str, damage: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = finished(tmp_path)
    content = path.read_bytes()
    damage(tmp_path / name)
    again = api.execute(load(tables("quadratic", "sgd")), tmp_path, quiet=True)
    assert again.already_done
    assert path.read_bytes() == content
    assert "was deleted, changed, or made before the run ended, and is built again" in capsys.readouterr().err
    api.execute(load(tables("quadratic", "sgd")), tmp_path, quiet=True)
    assert capsys.readouterr().err == ""


def test_a_part_that_was_collected_slowly_does_not_replace_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends, and writes its result, between the moment that `collect` reads the shards and its own rename."""
    spec = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9}))
    assert not attempt(spec, tmp_path, Crash(after=4))
    build, meanwhile = result._as_netcdf, [lambda: api.execute(spec, tmp_path, quiet=True)]

    def slowly(directory: Path, dataset: xr.Dataset) -> bytes:
        content = build(directory, dataset)
        if meanwhile:
            meanwhile.pop()()
        return content

    monkeypatch.setattr(result, "_as_netcdf", slowly)
    api.collect(tmp_path)
    assert xr.load_dataset(tmp_path / "result.nc").attrs["complete"] == 1
    assert result.intact(tmp_path)


def test_a_part_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    """Collected in the middle; then the run dies between its last commit and its result."""
    spec = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9}))
    assert not attempt(spec, tmp_path / "run", Crash(after=5))
    api.collect(tmp_path / "run")
    assert attempt(spec, tmp_path / "run", Crash())
    assert xr.load_dataset(tmp_path / "run" / "result.nc").attrs["complete"] == 0
    outcome = api.execute(spec, tmp_path / "run", quiet=True)
    assert outcome.already_done
    assert outcome.result.read_bytes() == finished(tmp_path / "whole").read_bytes()


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("index/energy", torch.tensor([[99]])),
        ("index/energy", torch.tensor([[-1]])),
        ("index/energy", torch.tensor([[0, 0]])),
        ("index/energy", torch.tensor([[0.0]])),
        ("index/energy", torch.tensor([[0], [1]])),
        ("value/energy", torch.zeros(1, 3)),
        ("value/energy", torch.zeros(1, 2, dtype=torch.int64)),
        ("value/energy", torch.zeros(())),
    ],
)
def test_a_shard_of_another_form_is_as_good_as_damaged(name: str, tensor: torch.Tensor, tmp_path: Path) -> None:
    """Whoever wrote it, and whatever its digest: nothing lands outside the arrays."""
    store = Store.open(tmp_path, "")
    variables = {"energy": {"grid": ["time"], "dims": ["replica"], "coords": {}, "attributes": {"units": "1"}}}
    axis = {"long_name": "", "units": "1"}
    axes = {"sample": {"values": [0], **axis}, "replica": {"values": [0, 1], **axis}, "time": {"values": [0.0, 1.0], **axis}}
    store.describe({}, axes, variables)
    sound = {"index/energy": torch.tensor([[1]]), "value/energy": torch.ones(1, 2)}
    store.keep(sound, {"sample": 0})
    store.keep(sound | {"index/energy": torch.tensor([[0]])} | {name: tensor}, {"sample": 0})
    store.close()
    ds = result.assemble(tmp_path)
    assert ds.attrs["damaged"].endswith("00000001-measured.safetensors")
    np.testing.assert_array_equal(ds.energy.values, [[[np.nan, 1.0], [np.nan, 1.0]]])


def test_a_result_that_does_not_fit_is_refused_before_it_is_made(tmp_path: Path) -> None:
    store = Store.open(tmp_path, "")
    axis = {"long_name": "", "units": "1"}
    coords = {"dof": {"range": [0, 10**12, 1]}}
    variables = {"x": {"grid": ["time"], "dims": ["replica", "dof"], "coords": coords, "attributes": {"units": "1"}}}
    axes = {name: {"values": [0], **axis} for name in ("sample", "replica", "time")}
    store.describe({}, axes, variables)
    store.close()
    with pytest.raises(glassyrun.StorageError, match=r"needs 8e\+03 GB"):
        result.assemble(tmp_path)


def test_a_run_that_goes_on_with_a_damaged_shard_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9}))
    assert not attempt(spec, tmp_path, Crash(after=6))
    lost = shards(tmp_path)[0]
    flipped(lost)
    with pytest.raises(glassyrun.StorageError, match="could not be read"):
        api.execute(spec, tmp_path, quiet=True)
    assert f"{lost}: damaged, so what was measured there will be NaN in the result" in capsys.readouterr().err
