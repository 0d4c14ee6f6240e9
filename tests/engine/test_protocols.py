"""Stages one after another: the same bits as each dynamics by hand, however often the run was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.engine.test_resume import attempt, bytes_of
from tests.engine_tools import Crash, TwinOptions, final_state, load, tables

import glassyrun
from glassyrun import (
    Dynamics,
    Observable,
    ObservableOptions,
    Reference,
    Refusal,
    Schedule,
    Snapshot,
    State,
    Variable,
    api,
    plot,
    result,
)
from glassyrun.experiment import Setting
from glassyrun.plan import plan
from glassyrun.store import read_manifest

SGD: dict[str, Any] = {"kind": "sgd", "learning_rate": 0.02, "momentum": 0.5, "batch_size": 4}
SLOWER: dict[str, Any] = {**SGD, "learning_rate": 0.005}
HOT: dict[str, Any] = {"kind": "langevin", "dt": 0.05, "temperature": 0.1}
COLD: dict[str, Any] = {**HOT, "temperature": 0.01, "batch_size": 3}
QUENCH: dict[str, Any] = {"kind": "quench", "dt": 0.05}
STAGES = {
    "rates": [{**SGD, "until": 5.0}, SLOWER],
    "cycle": [{**HOT, "until": 0.2}, {**COLD, "until": 0.4}, HOT],
    "sgd then langevin": [{**SGD, "until": 5.0}, HOT],
    "all": [{**QUENCH, "until": 0.2}, {**SGD, "until": 3.2}, {**HOT, "until": 3.3}, {**SLOWER, "until": 6.3}, QUENCH],
}
HORIZONS = {"rates": 9.0, "cycle": 0.6, "sgd then langevin": 5.2, "all": 6.5}


def staged(system: str, protocol: str, **changes: Any) -> dict[str, Any]:
    """A small spec of a protocol, with events at every second step or so."""
    horizon = HORIZONS[protocol]
    every = {"from": 0.0, "to": horizon, "n": 8}
    schedule = {"horizon": horizon, "time": every, "t_w": every, "t": {"from": 0.0, "to": horizon, "n": 12}}
    return tables(system, "sgd", dynamics=STAGES[protocol], **({"schedule": schedule} | changes))


@pytest.mark.parametrize("system", ["quadratic", "pspin"])
@pytest.mark.parametrize("moves", [SGD, HOT, QUENCH, {**HOT, "ramp": {"start": 1.0, "until": 0.3}}])
def test_a_list_of_one_stage_is_the_table(system: str, moves: dict[str, Any]) -> None:
    one = glassyrun.run(tables(system, moves["kind"], dynamics=moves), quiet=True)
    listed = glassyrun.run(tables(system, moves["kind"], dynamics=[moves]), quiet=True)
    xr.testing.assert_identical(one.drop_attrs(deep=False), listed.drop_attrs(deep=False))
    differ = {key for key in {*one.attrs, *listed.attrs} if str(one.attrs.get(key)) != str(listed.attrs.get(key))}
    assert differ == {"spec"}


@pytest.mark.parametrize("system", ["quadratic", "pspin"])
@pytest.mark.parametrize("protocol", STAGES)
def test_each_stage_moves_as_its_dynamics_by_hand(system: str, protocol: str, tmp_path: Path) -> None:
    """Steps are counted through; momentum is handed on where both stages have it."""
    spec = load(staged(system, protocol))
    setting = Setting.of(spec)
    built = setting.system(0)
    state = State(setting.start(built, setting.dynamics(built, 0), 0).x)
    velocity: torch.Tensor | None = None
    boundaries = [0, *setting.clock.boundaries, setting.schedule.horizon]
    for number, (begin, end) in enumerate(pairwise(boundaries)):
        moves = setting.dynamics(built, 0, number)
        has = "momentum" in type(spec.stages[number]).model_fields
        kept = velocity if velocity is not None else torch.zeros_like(state.x)
        state.dynamics = {"velocity": kept} if has else {}
        for step in range(begin, end):
            assert state.step == step
            moves.update(built, state, moves.draw(step, state))
            state.step += 1
        velocity = state.dynamics.get("velocity")
    ran = final_state(spec, tmp_path / "run")
    assert torch.equal(ran.x, state.x)
    assert ran.dynamics.keys() == state.dynamics.keys()


@pytest.mark.parametrize("system", ["quadratic", "pspin"])
@pytest.mark.parametrize("gently", [True, False], ids=["stopped", "killed"])
@pytest.mark.parametrize("protocol", STAGES)
def test_interrupted_at_every_step_a_protocol_ends_with_the_same_bytes(
    protocol: str, gently: bool, system: str, tmp_path: Path
) -> None:
    """Each process does one look or two, so that one stops at each boundary, just before and just behind it."""
    ends = {"from": 0.0, "to": HORIZONS[protocol], "n": 120}
    schedule = {"horizon": HORIZONS[protocol], "time": ends, "t_w": [0.0], "t": [0.0, 0.1, 2.0 if "sgd" in protocol else 0.4]}
    spec = load(staged(system, protocol, run={"checkpoint_seconds": 1e-9}, schedule=schedule))
    assert attempt(spec, tmp_path / "whole", Crash())
    stood: set[int] = set()
    for _ in range(60):
        done = attempt(spec, tmp_path / "parts", Crash(after=1 if gently else 2, gently=gently))
        manifest = read_manifest(tmp_path / "parts")
        if done or manifest is None:
            break
        stood |= {manifest.checkpoint.about["step"]} if manifest.checkpoint else set()
    assert done
    for boundary in Setting.of(spec).clock.boundaries:
        assert stood >= {boundary - 1, boundary, boundary + 1}
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("protocol", ["rates", "all"])
def test_a_twin_goes_through_the_stages_with_its_partner(protocol: str, tmp_path: Path) -> None:
    """Also one that was begun just at a boundary, and through kills."""
    plain = load(staged("quadratic", protocol, run={"checkpoint_seconds": 1e-9}))
    spec = plain.model_copy(update={"observables": [TwinOptions()]})
    while not attempt(spec, tmp_path / "run", Crash(after=3)):
        pass
    measured = result.assemble(tmp_path / "run").twin.values
    assert np.isfinite(measured).sum() > 20
    assert (measured[np.isfinite(measured)] == 0).all()


@pytest.mark.parametrize("system", ["quadratic", "pspin"])
def test_measuring_never_disturbs_a_protocol(system: str, tmp_path: Path) -> None:
    spec = load(staged(system, "all"))
    everything = final_state(spec, tmp_path / "all")
    nothing = final_state(spec.model_copy(update={"observables": []}), tmp_path / "none")
    coarse = {"horizon": HORIZONS["all"], "time": [0.0], "t_w": [0.0], "t": [0.0]}
    sparse = final_state(load(staged(system, "all", schedule=coarse)), tmp_path / "sparse")
    assert torch.equal(everything.x, nothing.x)
    assert torch.equal(everything.x, sparse.x)


def test_a_change_of_rate_goes_on_with_the_epoch() -> None:
    """12 terms in batches of 4: the second stage begins in the middle of an epoch."""
    setting = Setting.of(load(staged("quadratic", "rates")))
    system = setting.system(0)
    stages = setting.stages(system, 0)
    whole = setting.dynamics(system, 0)
    state = setting.start(system, whole, 0)
    for step in range(9):
        acting = stages[setting.clock.stage(step)]
        assert torch.equal(acting.draw(step, state).batch, whole.draw(step, state).batch)
    assert 5 % 3  # three batches an epoch


def test_a_ramp_begins_with_its_stage() -> None:
    ramp = {**HOT, "temperature": 0.2, "ramp": {"start": 1.0, "until": 0.2}}
    setting = Setting.of(load(tables("quadratic", "sgd", dynamics=[{**SGD, "until": 5.0}, ramp], schedule={"horizon": 6.0})))
    system = setting.system(0)
    first, second = setting.stages(system, 0)
    state = setting.start(system, first, 0)
    temperatures = [float(second.draw(step, state).variance) / 0.05 for step in (5, 6, 8, 9, 20)]
    assert temperatures == pytest.approx([0.9, 0.7, 0.3, 0.2, 0.2])


def test_the_result_says_what_the_stages_were(tmp_path: Path) -> None:
    api.execute(load(staged("quadratic", "sgd then langevin")), tmp_path / "run", quiet=True)
    with xr.open_dataset(tmp_path / "run" / "result.nc") as ds:
        assert ds.attrs["title"] == "quadratic under sgd, then langevin"
        assert ds.attrs["time_unit"] == "step in sgd, 1 in langevin"
        assert ds.time.attrs["units"] == ds.attrs["time_unit"]
        assert ds.attrs["time_per_step"].tolist() == [1.0, 0.05]
        assert ds.attrs["stages"].splitlines() == [
            "dynamics.0 sgd: steps 0 to 5, time 0 to 5",
            "dynamics.1 langevin: steps 5 to 9, time 5 to 5.2",
        ]
        assert ds.attrs["dynamics_0_batches"] == "4 of 12 terms, without replacement within an epoch"
        assert ds.attrs["dynamics_1_batches"] == "all terms at every step"
        assert ds.msd.isnull().any()
        assert ds.msd.notnull().sum() > 10
        axes = plot.energy(ds)
        assert axes.get_xlabel() == "time (step in sgd, 1 in langevin)"


def test_pairs_between_steps_are_nan_and_all_others_are_there() -> None:
    schedule = {"horizon": 5.2, "time": [0.0], "t_w": [0.0, 4.0, 5.0], "t": [0.0, 0.1, 1.0, 1.1]}
    ds = glassyrun.run(staged("quadratic", "sgd then langevin", schedule=schedule), quiet=True)
    there = ds.msd.isel(sample=0, replica=0).notnull()
    assert there.values.tolist() == [[True, False, True, False], [True, False, True, True], [True, True, False, False]]


# The watch.


def test_the_field_of_the_stage_that_diverged_is_named() -> None:
    stages = [{**QUENCH, "until": 1.0}, {**QUENCH, "dt": 50.0}]
    with pytest.raises(glassyrun.Diverged, match=r"at step 2\d \(time .*make dynamics\.1\.dt smaller"):
        glassyrun.run(tables("quadratic", "quench", dynamics=stages, schedule={"horizon": 5001.0}), quiet=True)


def test_a_stage_that_may_rise_is_left_in_peace_and_one_that_must_not_is_stopped() -> None:
    """Hot after cold and cold after hot: what a stage has seen is no measure for the next."""
    hot = {**HOT, "temperature": 5.0}
    stages = [{**QUENCH, "until": 2.0}, {**hot, "until": 4.0}, {**QUENCH, "until": 6.0}, hot]
    source = tables("quadratic", "quench", dynamics=stages, schedule={"horizon": 8.0, "time": {"n": 161}})
    energy = glassyrun.run(source, quiet=True).energy.mean("replica").isel(sample=0)
    assert float(energy.sel(time=4.0)) > 5 * float(energy.sel(time=2.0))
    assert float(energy.sel(time=6.0)) < float(energy.sel(time=4.0))


def test_the_last_step_of_a_quench_is_looked_at_before_the_next_stage() -> None:
    """One step far too long, into a stage whose energy may do what it wants."""
    stages = [{**QUENCH, "dt": 100.0, "until": 100.0}, HOT]
    with pytest.raises(glassyrun.Diverged, match=r"rose to .*make dynamics\.0\.dt smaller"):
        glassyrun.run(tables("quadratic", "quench", dynamics=stages, schedule={"horizon": 101.0}), quiet=True)


def test_a_refusal_of_a_stage_names_it() -> None:
    stages = [{**SGD, "until": 5.0}, {**SGD, "batch_size": 13}]
    with pytest.raises(Refusal, match=r"^dynamics\.1\.batch_size: found 13"):
        glassyrun.run(tables("quadratic", "sgd", dynamics=stages), quiet=True)


def test_a_step_beyond_the_stable_one_names_its_stage() -> None:
    stages = [{**QUENCH, "until": 1.0}, {**HOT, "dt": 0.3}]
    table = tables("pspin", "quench", dynamics=stages, schedule={"horizon": 4.0})
    assert "the step of 0.3 of dynamics.1 is beyond 0.288675" in glassyrun.run(table, quiet=True).attrs["warnings"]


# The plan.


def test_the_plan_lists_stages_notes_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassyrun.plan.CALIBRATION_SECONDS", 0.01)
    stages = [{**SGD, "until": 5.0}, {**HOT, "ramp": {"start": 1.0, "until": 0.1}, "until": 5.1}, {**SLOWER, "batch_size": 3}]
    lines = plan(load(tables("pspin", "sgd", dynamics=stages, schedule={"horizon": 9.1}))).splitlines()
    for told in (
        "dynamics.0   sgd: 5 steps of 1 (one step each), until 5",
        "dynamics.1   langevin: 2 steps of 0.05 (units of time), until 5.1",
        "dynamics.2   sgd: 4 steps of 1 (one step each), until 9.1",
        "note         dynamics.0: a mini-batch holds 1/91 of the terms",
        "note         dynamics.2: a mini-batch holds 1/121.333 of the terms",
    ):
        assert told in lines
    steps = [line.split(maxsplit=3) for line in lines if line.startswith("step of ")]
    assert [words[2] for words in steps] == ["0", "1", "2"]
    assert [words[3].split(", ")[1][:12] for words in steps] == ["5 steps take", "2 steps take", "4 steps take"]


def test_the_plan_counts_pairs_that_no_step_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassyrun.plan.CALIBRATION_SECONDS", 0.01)
    schedule = {"horizon": 5.2, "time": [0.0], "t_w": [0.0, 4.0, 5.0], "t": [0.0, 0.1, 1.0, 1.1]}
    text = plan(load(staged("quadratic", "sgd then langevin", schedule=schedule)))
    assert "7 pairs, 3 more fall between two steps and are NaN" in text


# What observables are told of stages, and what they carry along.


class _Carrying(Observable):
    """The number of readings so far and the largest |x| at any of them, which no single State tells."""

    grid = "time"

    def __init__(self, asked: list[int]) -> None:
        self.variables, self.asked = {"readings": Variable("readings"), "largest": Variable("largest |x| so far")}, asked

    def suits(self, stages: Sequence[Dynamics], schedule: Schedule) -> None:
        self.asked.append(len(stages))
        if all(stage.batches is None for stage in stages):
            raise Refusal("observables.carrying: no stage has mini-batches; leave it out")

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, torch.Tensor]:
        none = now.state.x.new_zeros(now.state.replicas, dtype=torch.float64)
        self.memory["readings"] = self.memory.get("readings", none) + 1
        self.memory["largest"] = torch.maximum(self.memory.get("largest", none), now.state.x.double().abs().amax(1))
        return dict(self.memory)


class _CarryingOptions(ObservableOptions):
    """A memory."""

    kind: str = "carrying"
    _asked: list[int] = []

    def build(self, context: object, system: object) -> _Carrying:
        return _Carrying(self._asked)


def test_what_an_observable_carries_along_survives_kills(tmp_path: Path) -> None:
    plain = load(staged("quadratic", "rates", run={"checkpoint_seconds": 1e-9}, ensemble={"samples": 2, "replicas": 2}))
    spec = plain.model_copy(update={"observables": [_CarryingOptions()]})
    assert attempt(spec, tmp_path / "whole", Crash())
    while not attempt(spec, tmp_path / "parts", Crash(after=3)):
        pass
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")
    ds = result.assemble(tmp_path / "whole")
    assert (ds.readings == np.arange(1, ds.sizes["time"] + 1)).all()  # in each sample anew
    assert (ds.largest.diff("time") >= 0).all()


def test_an_observable_is_asked_once_with_all_stages() -> None:
    spec = load(staged("quadratic", "all"))
    options = _CarryingOptions()
    options._asked = asked = []
    glassyrun.run(spec.model_copy(update={"observables": [options]}), quiet=True)
    assert asked == [5]
    cold = load(tables("quadratic", "quench"))
    with pytest.raises(Refusal, match="no stage has mini-batches"):
        glassyrun.run(cold.model_copy(update={"observables": [options]}), quiet=True)


def test_memories_of_two_observables_are_two() -> None:
    one, two = _Carrying([]), _Carrying([])
    one.memory["x"] = torch.zeros(1)
    assert two.memory == {}
