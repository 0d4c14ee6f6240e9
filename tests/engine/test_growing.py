"""A longer horizon and more samples: what both runs measure is the same, bit for bit, and nothing that was measured is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import xarray as xr
from tests.engine.test_checkpoints import flipped, manifest_of
from tests.engine.test_resume import bytes_of
from tests.engine_tools import DYNAMICS, SYSTEMS, Crash, Killed, TwinOptions, load

import glassyrun
from glassyrun import api, extension, result
from glassyrun.plan import plan
from glassyrun.schedule import Schedule
from glassyrun.spec.model import Spec
from glassyrun.store import Store, read_blob

CASES = [(system, moves) for system in ("quadratic", "pspin", "cnn") for moves in ("langevin", "sgd")]
EACH_LAG = {"from": 0.0, "per_decade": 8}


def spec_of(system: str, moves: str, steps: int, /, samples: int = 1, observables: Any = None, **schedule: Any) -> Spec:
    """All kinds of observables on default grids, but for `time`, whose default has the end of the run as a point."""
    dt = DYNAMICS[moves].get("dt", 1.0)
    kinds = ["energy", "msd", "overlap", "displacement", "gradient_norm", *(["test"] if system == "cnn" else [])]
    return load(
        {
            "seed": 3,
            "system": SYSTEMS[system],
            "dynamics": DYNAMICS[moves],
            "schedule": {"horizon": steps * dt, "time": [0.0, 2 * dt, 5 * dt], **schedule},
            "ensemble": {"samples": samples, "replicas": 2},
            "observables": observables or [{"kind": kind} for kind in kinds],
            "run": {"checkpoint_seconds": 1e-9},
        }
    )


def execute(spec: Spec, directory: Path, monkeypatch: pytest.MonkeyPatch, crash: Crash | None = None) -> Crash:
    """The command, with a reporter that may end it; whether it was ended is in the reporter."""
    crash = crash or Crash()
    with monkeypatch.context() as patch:
        patch.setattr(api, "reporter", lambda quiet=False: crash)
        patch.setattr(
            api,
            "Experiment",
            lambda setting, store, tell, stop, *rest, **more: _experiment(setting, store, tell, crash, *rest, **more),
        )
        try:
            api.execute(spec, directory, listen=False)
        except (Killed, glassyrun.Stopped):
            assert crash.after is not None
    return crash


def _experiment(setting: Any, store: Any, tell: Any, crash: Crash, *rest: Any, **more: Any) -> Any:
    from glassyrun.experiment import Experiment

    return Experiment(setting, store, tell, crash.stop, *rest, **more)


def agree(grown: xr.Dataset, whole: xr.Dataset) -> None:
    """Bit for bit at all points that both have."""
    for name, values in whole.data_vars.items():
        there = grown[name]
        common = {dim: np.intersect1d(there[dim], values[dim]) for dim in ("time", "t_w", "t") if dim in values.dims}
        assert all(size.size > 1 for size in common.values())
        np.testing.assert_array_equal(there.sel(common).values, values.sel(common).values, err_msg=str(name))


@pytest.mark.parametrize(("system", "moves"), CASES)
@pytest.mark.parametrize("first", ["finished", "stopped", "killed"])
def test_a_run_that_has_grown_is_the_long_run(
    system: str, moves: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 steps, then 20, then 30: the second growth from where the first was killed."""
    long = spec_of(system, moves, 30)
    api.execute(long, tmp_path / "whole", quiet=True)
    crash = Crash(after=None if first == "finished" else 5, gently=first == "stopped")
    execute(spec_of(system, moves, 10), tmp_path / "grown", monkeypatch, crash)
    execute(spec_of(system, moves, 20), tmp_path / "grown", monkeypatch, Crash(after=4))
    execute(long, tmp_path / "grown", monkeypatch)
    grown, whole = result.assemble(tmp_path / "grown"), result.assemble(tmp_path / "whole")
    assert grown.attrs["complete"] == 1
    agree(grown, whole)
    assert bytes_of(tmp_path / "grown") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize(("system", "moves"), CASES)
def test_the_result_is_the_same_file_where_no_point_is_missed(
    system: str, moves: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 10 to 100 steps: the waiting time at the end of the short run is measured from its last State."""
    steps = 40 if system == "cnn" else 100
    long = spec_of(system, moves, steps, samples=1 if system == "cnn" else 2)
    api.execute(long, tmp_path / "whole", quiet=True)
    short = spec_of(system, moves, 10, samples=long.ensemble.samples)
    for crash in (Crash(), Crash(after=6), Crash(after=9, gently=True), Crash()):
        execute(short, tmp_path / "grown", monkeypatch, crash)
        short = long
    dt = DYNAMICS[moves].get("dt", 1.0)
    assert round(10 * dt, 12) in result.assemble(tmp_path / "grown").t_w.values
    assert not manifest_of(tmp_path / "grown").grids
    assert (tmp_path / "grown" / "result.nc").read_bytes() == (tmp_path / "whole" / "result.nc").read_bytes()


def test_the_last_stage_of_a_protocol_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages with other time steps; killed in the first, grown, and again when it was finished."""

    def staged(horizon: float) -> Spec:
        stages = [DYNAMICS["sgd"] | {"until": 10.0}, DYNAMICS["langevin"] | {"dt": 0.5}]
        plain = spec_of("quadratic", "sgd", 20, samples=2).model_dump(by_alias=True)
        schedule = {"horizon": horizon, "time": [0.0, 5.0, 12.5]}
        return load({**plain, "dynamics": stages, "schedule": schedule, "observables": [{"kind": "energy"}, {"kind": "msd"}]})

    api.execute(staged(40.0), tmp_path / "whole", quiet=True)
    execute(staged(15.0), tmp_path / "grown", monkeypatch, Crash(after=3))
    execute(staged(20.0), tmp_path / "grown", monkeypatch)
    execute(staged(40.0), tmp_path / "grown", monkeypatch, Crash(after=7))
    execute(staged(40.0), tmp_path / "grown", monkeypatch)
    agree(result.assemble(tmp_path / "grown"), result.assemble(tmp_path / "whole"))
    assert result.assemble(tmp_path / "grown").attrs["stages"] == result.assemble(tmp_path / "whole").attrs["stages"]


@pytest.mark.parametrize("first", ["finished", "killed"])
def test_samples_are_added(first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three = spec_of("pspin", "langevin", 10, samples=3)
    api.execute(three, tmp_path / "whole", quiet=True)
    execute(spec_of("pspin", "langevin", 10), tmp_path / "grown", monkeypatch, Crash(after=None if first == "finished" else 4))
    energy = result.assemble(tmp_path / "grown").energy
    execute(three, tmp_path / "grown", monkeypatch, Crash(after=12))
    execute(three, tmp_path / "grown", monkeypatch)
    assert energy.sizes["sample"] == 1
    assert (tmp_path / "grown" / "result.nc").read_bytes() == (tmp_path / "whole" / "result.nc").read_bytes()


def test_both_grow_at_once_while_a_later_sample_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = spec_of("quadratic", "sgd", 100, samples=4)
    api.execute(long, tmp_path / "whole", quiet=True)
    execute(spec_of("quadratic", "sgd", 10, samples=3), tmp_path / "grown", monkeypatch, Crash(after=14))
    manifest = manifest_of(tmp_path / "grown")
    assert manifest.done == 1
    assert manifest.checkpoint is not None
    execute(long, tmp_path / "grown", monkeypatch)
    agree(result.assemble(tmp_path / "grown"), result.assemble(tmp_path / "whole"))


def test_indices_move_where_points_come_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at step 6 of 20: the grid of the longer run has points between those of the shorter one that lie ahead."""
    grid = {"from": 0.0, "n": 5}
    short = spec_of("quadratic", "sgd", 20, time=grid, t_w=grid, t=[0.0, 4.0, 8.0])
    long = spec_of("quadratic", "sgd", 40, time=grid | {"n": 17}, t_w=grid | {"n": 17}, t=[0.0, 4.0, 8.0])
    long = long.model_copy(update={"schedule": short.schedule.model_copy(update={"horizon": 40.0})})
    execute(short, tmp_path / "grown", monkeypatch, Crash(after=4))
    before = result.assemble(tmp_path / "grown")
    crash = execute(long, tmp_path / "grown", monkeypatch, Crash(after=3))
    execute(long, tmp_path / "grown", monkeypatch)
    grown = result.assemble(tmp_path / "grown")
    assert grown.time.values.tolist() == [0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0]
    assert grown.attrs["grids"]
    assert crash.warnings == []
    api.execute(long, tmp_path / "whole", quiet=True)
    agree(grown, result.assemble(tmp_path / "whole"))
    known = before.energy.dropna("time")
    np.testing.assert_array_equal(grown.energy.sel(time=known.time), known)


def test_what_no_commit_saw_before_its_last_reading_is_kept_too(tmp_path: Path) -> None:
    """One commit, at the end: in memory all references are gone by then."""
    for steps, name in ((10, "grown"), (100, "grown"), (100, "whole")):
        plain = spec_of("quadratic", "sgd", steps)
        rarely = plain.run.model_copy(update={"checkpoint_seconds": 60.0})
        api.execute(plain.model_copy(update={"run": rarely}), tmp_path / name, quiet=True)
    assert bytes_of(tmp_path / "grown") == bytes_of(tmp_path / "whole")


def test_what_is_kept_for_it_is_what_the_plan_says(tmp_path: Path) -> None:
    """One x a waiting time and one at the end, of each sample; with momentum beside the last."""
    spec = spec_of("quadratic", "langevin", 10, samples=3)
    api.execute(spec, tmp_path, quiet=True)
    manifest, waiting = manifest_of(tmp_path), len(Schedule.of(spec).t_w)
    kept = [*manifest.references, *manifest.finals]
    x = 2 * 5 * 4
    assert len(kept) == 3 * (waiting + 1)
    assert sum(read_blob(tmp_path, blob)["x" if "t_w" in blob.about else "state/x"].nbytes for blob in kept) == len(kept) * x
    assert f"about {len(kept) * x / 1e6:.3g} MB for x at {waiting} waiting times" in plan(spec)
    run = spec.run.model_copy(update={"extendable": False})
    assert f"about {3 * x / 1e6:.3g} MB for x at the end" in plan(spec.model_copy(update={"run": run}))


def test_nothing_is_kept_for_it_where_the_directory_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    there = api.Experiment

    def look(*arguments: Any, **more: Any) -> Any:
        experiment = there(*arguments, **more)
        seen.append(experiment.extendable)
        return experiment

    monkeypatch.setattr(api, "Experiment", look)
    glassyrun.run(spec_of("quadratic", "sgd", 10), quiet=True)
    assert seen == [False]


def test_points_in_the_past_are_left_out_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(spec_of("quadratic", "sgd", 15), tmp_path, monkeypatch)
    crash = execute(spec_of("quadratic", "sgd", 60), tmp_path, monkeypatch)
    assert any("schedule.t_w: the run has passed 10 already" in warning for warning in crash.warnings)


def test_a_grid_that_loses_a_lag_is_refused(tmp_path: Path) -> None:
    short, long = (spec_of("quadratic", "langevin", steps, t={"from": 0.0, "n": 6}) for steps in (10, 30))
    api.execute(short, tmp_path, quiet=True)
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(glassyrun.Refusal, match=r"schedule.t: the lag 0.1 was measured and is no point"):
        api.execute(long, tmp_path, quiet=True)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_a_new_lag_whose_pair_lies_in_the_past_is_refused(tmp_path: Path) -> None:
    """No grid of a spec makes one; a hole in what is measured must not come about whatever grids there will be."""
    store = Store.open(tmp_path, "")
    before = Schedule.of(spec_of("quadratic", "sgd", 20))
    after = attrs.evolve(Schedule.of(spec_of("quadratic", "sgd", 40)), t=(*before.t, 11))
    with pytest.raises(glassyrun.Refusal, match="the new lag 11 after t_w = 0 lies in the past"):
        extension._merged(store, before, after, 20, Crash())
    assert 11 in extension._merged(store, before, after, 11, Crash()).t
    store.close()


def test_smaller_is_refused(tmp_path: Path) -> None:
    api.execute(spec_of("quadratic", "sgd", 10, samples=2), tmp_path, quiet=True)
    with pytest.raises(glassyrun.Refusal, match=r"schedule.horizon was 10.0, now 5.0"):
        api.execute(spec_of("quadratic", "sgd", 5, samples=2), tmp_path, quiet=True)
    with pytest.raises(glassyrun.Refusal, match=r"ensemble.samples was 2, now 1"):
        api.execute(spec_of("quadratic", "sgd", 10), tmp_path, quiet=True)
    with pytest.raises(glassyrun.Refusal, match=r"seed was 3, now 4"):
        api.execute(spec_of("quadratic", "sgd", 20, samples=2).model_copy(update={"seed": 4}), tmp_path, quiet=True)


def test_a_run_that_keeps_nothing_can_not_grow(tmp_path: Path) -> None:
    short, long = (spec_of("quadratic", "sgd", steps) for steps in (10, 100))
    run = short.run.model_copy(update={"extendable": False})
    api.execute(short.model_copy(update={"run": run}), tmp_path, quiet=True)
    with pytest.raises(glassyrun.Refusal, match=r"run.extendable = false"):
        api.execute(long, tmp_path, quiet=True)
    api.execute(spec_of("quadratic", "sgd", 10, samples=2), tmp_path, quiet=True)  # samples are another matter


def test_what_lives_on_is_named_where_it_has_ended(tmp_path: Path) -> None:
    def with_twin(steps: int) -> Spec:
        plain = spec_of("quadratic", "sgd", steps)
        return plain.model_copy(update={"observables": [*plain.observables, TwinOptions()]})

    api.execute(with_twin(10), tmp_path, quiet=True)
    with pytest.raises(glassyrun.Refusal, match="what twin remembered at t_w = 0 lives on"):
        api.execute(with_twin(100), tmp_path, quiet=True)


def test_a_crash_while_it_grows_leaves_the_old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = (spec_of("quadratic", "sgd", steps) for steps in (10, 100))
    api.execute(short, tmp_path / "grown", quiet=True)
    content = (tmp_path / "grown" / "result.nc").read_bytes()

    def killed(self: Store, draft: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_commit_manifest", killed)
        with pytest.raises(Killed):
            api.execute(long, tmp_path / "grown", quiet=True)
    assert api.execute(short, tmp_path / "grown", quiet=True).already_done
    assert bytes_of(tmp_path / "grown") == content
    api.execute(long, tmp_path / "grown", quiet=True)
    api.execute(long, tmp_path / "whole", quiet=True)
    assert bytes_of(tmp_path / "grown") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("what", ["finals", "references"])
def test_a_damaged_file_that_it_needs_is_found_before_it_grows(what: str, tmp_path: Path) -> None:
    """The finished run stays one, and its result what it was."""
    short, long = (spec_of("quadratic", "sgd", steps) for steps in (10, 100))
    outcome = api.execute(short, tmp_path, quiet=True)
    content, blob = outcome.result.read_bytes(), getattr(manifest_of(tmp_path), what)[0]
    flipped(tmp_path / blob.file)
    with pytest.raises(glassyrun.StorageError, match=f"{blob.file}: damaged"):
        api.execute(long, tmp_path, quiet=True)
    assert api.execute(short, tmp_path, quiet=True).already_done
    assert outcome.result.read_bytes() == content


def test_a_run_of_a_version_without_final_states_does_not_grow(tmp_path: Path) -> None:
    """It would silently be run from the start."""
    short, long = (spec_of("quadratic", "sgd", steps) for steps in (10, 100))
    api.execute(short, tmp_path, quiet=True)
    store = Store.open(tmp_path, "")
    store.replace(attrs.evolve(store.manifest, finals=[]))
    store.close()
    with pytest.raises(glassyrun.Refusal, match="sample 0 was finished by a version that kept no final States"):
        api.execute(long, tmp_path, quiet=True)


def test_it_grows_from_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = (spec_of("quadratic", "sgd", steps) for steps in (10, 100))
    execute(short, tmp_path / "grown", monkeypatch, Crash(after=5))
    newest = manifest_of(tmp_path / "grown").checkpoint
    assert newest is not None
    flipped(tmp_path / "grown" / newest.file)
    execute(long, tmp_path / "grown", monkeypatch)
    api.execute(long, tmp_path / "whole", quiet=True)
    assert bytes_of(tmp_path / "grown") == bytes_of(tmp_path / "whole")


def test_another_run_may_begin_from_one_that_has_grown(tmp_path: Path) -> None:
    """Momentum and all, from its final State."""
    api.execute(spec_of("quadratic", "sgd", 10), tmp_path / "a", quiet=True)
    api.execute(spec_of("quadratic", "sgd", 20), tmp_path / "a", quiet=True)
    api.execute(spec_of("quadratic", "sgd", 20), tmp_path / "b", quiet=True)
    for name in ("a", "b"):
        api.execute(
            spec_of("quadratic", "sgd", 5, time=[0.0, 5.0]), tmp_path / f"from {name}", start_from=tmp_path / name, quiet=True
        )
    one, other = result.assemble(tmp_path / "from a"), result.assemble(tmp_path / "from b")
    np.testing.assert_array_equal(one.energy, other.energy)


def test_a_run_that_was_begun_from_another_grows(tmp_path: Path) -> None:
    api.execute(spec_of("quadratic", "langevin", 10), tmp_path / "a", quiet=True)
    for steps in (10, 100):
        api.execute(spec_of("quadratic", "langevin", steps), tmp_path / "grown", start_from=tmp_path / "a", quiet=True)
    api.execute(spec_of("quadratic", "langevin", 100), tmp_path / "whole", start_from=tmp_path / "a", quiet=True)
    assert bytes_of(tmp_path / "grown") == bytes_of(tmp_path / "whole")
