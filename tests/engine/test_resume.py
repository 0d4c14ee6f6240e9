"""Nothing is lost: a run that is stopped or killed goes on, and ends with the same bytes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine_tools import PAIRS, Crash, Killed, TwinOptions, final_state, load, tables

import glassyrun
from glassyrun import api, result
from glassyrun.experiment import Experiment, Setting, numerics
from glassyrun.manifest import sealed
from glassyrun.spec.load import dump_spec
from glassyrun.spec.model import Spec
from glassyrun.store import Store


def attempt(spec: Spec, directory: Path, crash: Crash) -> bool:
    """One process's worth of a run; whether it came to its end."""
    store = Store.open(directory, dump_spec(spec))
    try:
        with numerics(spec):
            experiment = Experiment(Setting.of(spec), store, crash, crash.stop)
            spec.system.solver().run(experiment)
        store.finish()
    except (Killed, glassyrun.Stopped):
        return False
    finally:
        store.close()
    return True


def bytes_of(directory: Path) -> bytes:
    return result.write(directory).read_bytes()


@pytest.mark.parametrize(("system", "moves"), PAIRS)
@pytest.mark.parametrize("gently", [True, False], ids=["stopped", "killed"])
def test_interrupted_runs_end_with_the_same_bytes(system: str, moves: str, gently: bool, tmp_path: Path) -> None:
    """Two samples, interrupted at every third look, commits at every look."""
    source = tables(
        system, moves, steps=6, run={"checkpoint_seconds": 1e-9}, ensemble={"samples": 1 if system == "cnn" else 2, "replicas": 2}
    )
    spec = load(source)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert attempt(spec, whole, Crash())
    rounds = 1
    while not attempt(spec, parts, Crash(after=3, gently=gently)):
        rounds += 1
        assert rounds < 50
    assert rounds > 2
    assert bytes_of(whole) == bytes_of(parts)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_any_cuts_will_do(cuts: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Killed after any number of looks, any number of times; what was not committed is simply done again."""
    spec = load(tables("quadratic", "sgd", steps=10, run={"checkpoint_seconds": 1e-9}))
    place = tmp_path_factory.mktemp("cuts")
    for cut in cuts:
        attempt(spec, place / "parts", Crash(after=cut))
    assert attempt(spec, place / "parts", Crash())
    assert attempt(spec, place / "whole", Crash())
    assert bytes_of(place / "parts") == bytes_of(place / "whole")


def test_chunk_length_can_not_change_a_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events at every step against one event at the end."""
    dense = load(tables("pspin", "langevin"))
    end = {"from": 0.6, "to": 0.6, "n": 1}
    sparse = load(tables("pspin", "langevin", schedule={"horizon": 0.6, "time": end, "t_w": [0.0], "t": [0.6]}))
    assert torch.equal(final_state(dense, tmp_path / "a").x, final_state(sparse, tmp_path / "b").x)


@pytest.mark.parametrize("moves", ["langevin", "sgd"])
def test_a_twin_with_the_same_noise_stays_a_twin_through_kills(moves: str, tmp_path: Path) -> None:
    """Stateless streams: a copy that asks for the same steps draws the same noise and batches."""
    plain = load(tables("quadratic", moves, steps=8, run={"checkpoint_seconds": 1e-9}))
    spec = plain.model_copy(update={"observables": [*plain.observables, TwinOptions()]})
    while not attempt(spec, tmp_path / "run", Crash(after=4)):
        pass
    ds = result.assemble(tmp_path / "run")
    measured = ds.twin.values[~torch.isnan(torch.from_numpy(ds.twin.values)).numpy()]
    assert measured.size > 50
    assert (measured == 0).all()


def test_a_finished_run_does_nothing_and_fresh_runs_again(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "sgd"))
    first = api.execute(spec, tmp_path / "run", quiet=True)
    stamp = first.result.stat().st_mtime_ns
    second = api.execute(spec, tmp_path / "run", quiet=True)
    assert second.already_done
    assert not first.already_done
    assert second.result.stat().st_mtime_ns == stamp
    third = api.execute(spec, tmp_path / "run", quiet=True, fresh=True)
    assert not third.already_done
    assert third.result.stat().st_mtime_ns != stamp


def test_a_deleted_result_is_built_again(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "sgd"))
    outcome = api.execute(spec, tmp_path / "run", quiet=True)
    content = outcome.result.read_bytes()
    outcome.result.unlink()
    assert api.execute(spec, tmp_path / "run", quiet=True).result.read_bytes() == content


def test_another_spec_in_the_same_directory_is_refused_with_the_fields(tmp_path: Path) -> None:
    api.execute(load(tables("quadratic", "sgd")), tmp_path / "run", quiet=True)
    other = load(tables("quadratic", "sgd", seed=9))
    with pytest.raises(glassyrun.Refusal, match=r"seed was 3, now 9"):
        api.execute(other, tmp_path / "run", quiet=True)


def test_other_terms_of_the_promise_are_refused(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9}))
    assert not attempt(spec, tmp_path / "run", Crash(after=3))
    manifest = tmp_path / "run" / "manifest.json"
    import json

    raw = json.loads(manifest.read_text())
    raw["attributes"]["device"] = "an abacus"
    del raw["digest"]
    manifest.write_bytes(sealed(raw))
    with pytest.raises(glassyrun.Refusal, match=r"device was an abacus.*--allow-drift"):
        api.execute(spec, tmp_path / "run", quiet=True)


def test_a_live_run_can_be_collected(tmp_path: Path) -> None:
    """What is committed is a result at any time: NaN where it is not measured yet, and `complete` says so."""
    spec = load(tables("quadratic", "langevin", run={"checkpoint_seconds": 1e-9}))
    assert not attempt(spec, tmp_path / "run", Crash(after=6))
    import xarray as xr

    with contextlib.closing(xr.open_dataset(api.collect(tmp_path / "run"))) as ds:
        assert ds.attrs["complete"] == 0
        energy = ds.energy.isel(sample=0, replica=0)
        assert 1 <= int(energy.notnull().sum()) < ds.sizes["time"]


def test_a_run_goes_on_with_the_threads_it_was_begun_with(tmp_path: Path) -> None:
    """No thread dead end: where the spec names none, the recorded number is taken, and restored afterwards."""
    spec = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9}))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert not attempt(spec, tmp_path / "run", Crash(after=3))
        torch.set_num_threads(1)
        assert api.execute(spec, tmp_path / "run", quiet=True).result.exists()
        assert result.assemble(tmp_path / "run").attrs["threads"] == "2"
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_field_that_no_number_depends_on_may_change(tmp_path: Path) -> None:
    assert not attempt(load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9})), tmp_path / "run", Crash(after=3))
    other = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 9.0}))
    assert api.execute(other, tmp_path / "run", quiet=True).result.exists()


def test_the_run_goes_to_its_horizon(tmp_path: Path) -> None:
    """Also where no grid has a point there."""
    schedule = {"horizon": 9.0, "time": [0.0, 4.0], "t_w": [0.0], "t": [2.0]}
    assert final_state(load(tables("quadratic", "sgd", schedule=schedule)), tmp_path / "run").step == 9


def test_a_step_beyond_the_stability_limit_is_told_loudly(tmp_path: Path) -> None:
    """At T > 0 no energy tells it: p = 3 is unstable beyond dt = 0.289."""
    stable = tables("pspin", "langevin", dynamics={"kind": "langevin", "dt": 0.28, "temperature": 0.5}, schedule={"horizon": 2.8})
    unstable = tables(
        "pspin", "langevin", dynamics={"kind": "langevin", "dt": 0.3, "temperature": 0.5}, schedule={"horizon": 3.0}
    )
    assert "warnings" not in glassyrun.run(stable, quiet=True).attrs
    assert "beyond 0.288675" in glassyrun.run(unstable, quiet=True).attrs["warnings"]


def test_overrides_and_plugins_reach_run() -> None:
    source = tables("quadratic", "sgd", steps=3)
    for overrides in ("seed=9", ["seed=9"], {"seed": 9}):
        assert glassyrun.run(source, overrides=overrides, quiet=True).attrs["seed"] == 9


@pytest.mark.parametrize("moves", ["sgd", "langevin", "quench"])
def test_a_run_that_was_stopped_at_its_last_step_goes_on(moves: str, tmp_path: Path) -> None:
    """No step is left to look at the energy; that must not be taken for a divergence."""
    spec = load(tables("quadratic", moves, steps=3, run={"checkpoint_seconds": 1e-9}))
    assert not attempt(spec, tmp_path / "run", Crash(after=4, gently=True))
    assert attempt(spec, tmp_path / "run", Crash())


def test_overrides_from_python_may_be_tables_and_numpy_numbers() -> None:
    import numpy as np

    spec = load(tables("pspin", "quench"))
    grid = {"from": 0.0, "to": 0.3, "n": 4}
    changed = api.load(tables("pspin", "quench"), {"schedule.time": grid, "system.n": np.int64(9), "schedule.t": [0.1, 0.2]})
    assert changed.system.n == 9  # type: ignore[attr-defined]
    assert len(api.load(tables("pspin", "quench"), {"schedule.time": grid}).schedule.model_dump()["time"]) == 3
    assert changed.schedule.t == [0.1, 0.2]
    with pytest.raises(glassyrun.Refusal, match="overrides: found None"):
        api.load(tables("pspin", "quench"), {"seed": None})
    with pytest.raises(glassyrun.Refusal, match="resolved already"):
        glassyrun.run(spec, overrides="seed=4")
