"""Time of a protocol: piecewise linear in the step, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine_tools import load, tables
from tests.models import FreeSpins, begin, dynamics

import glassyrun
from glassyrun import Clock, Refusal, Snapshot
from glassyrun.protocol import clock_of, time_unit
from glassyrun.schedule import Schedule

SGD: dict[str, Any] = {"kind": "sgd", "learning_rate": 0.01, "momentum": 0.5, "batch_size": 4}
LANGEVIN: dict[str, Any] = {"kind": "langevin", "dt": 0.1, "temperature": 0.1}
MIXED = [{**SGD, "until": 10.0}, LANGEVIN]
"""Ten steps of SGD, then Langevin dynamics in steps of 0.1."""


def schedule(stages: list[dict[str, Any]], horizon: float, **grids: Any) -> Schedule:
    return Schedule.of(load(tables("quadratic", "sgd", dynamics=stages, schedule={"horizon": horizon, **grids})))


@settings(max_examples=100, deadline=None)
@given(
    stages=st.lists(st.tuples(st.integers(1, 500), st.sampled_from([1.0, 0.1, 0.05, 0.3, 1 / 3])), min_size=1, max_size=5),
    step=st.integers(0, 3000),
)
def test_a_step_has_one_time_and_a_time_its_step(stages: list[tuple[int, float]], step: int) -> None:
    steps, dts = zip(*stages, strict=True)
    clock = Clock.joined(steps[:-1], dts, dts)
    by_hand, left = 0.0, step
    for count, dt in [*stages[:-1], (10**9, dts[-1])]:
        by_hand += min(left, count) * dt
        left -= min(left, count)
    assert clock.time(step) == pytest.approx(by_hand, rel=1e-12)
    assert clock.step(clock.time(step)) == step
    found, falls = clock.steps(np.array([clock.time(step)]))
    assert (found[0], falls[0]) == (step, True)
    assert not clock.steps(np.array([clock.time(step) + 0.4 * min(dts)]))[1][0]


def test_one_stage_counts_as_before() -> None:
    """Bit for bit: coordinates of older results are steps times dt."""
    clock = Clock.single(0.05)
    assert all(clock.time(step) == step * 0.05 for step in range(1000))


def test_at_a_boundary_the_next_stage_rules() -> None:
    clock = Clock.joined([10], [1.0, 0.1], [0.02, 0.1])
    assert [clock.stage(step) for step in (0, 9, 10, 11)] == [0, 0, 1, 1]
    assert clock.time(10) == 10
    assert clock.time(11) == pytest.approx(10.1)
    assert clock.flow(10) == pytest.approx(0.2)
    assert clock.flow(12) == pytest.approx(0.4)


def test_a_snapshot_knows_the_time_of_its_references() -> None:
    """With the clock of the run, or that of its own dynamics where none is given."""
    system = FreeSpins(4)
    moves = dynamics("quench", system, dt=0.1)
    state = begin(system, moves, 1)
    state.step = 12
    assert Snapshot(system, moves, state).time_of(3) == pytest.approx(0.3)
    now = Snapshot(system, moves, state, Clock.joined([10], [1.0, 0.1], [1.0, 0.1]))
    assert now.time == pytest.approx(10.2)
    assert now.time_of(3) == 3


def test_pairs_exist_where_both_times_fall_on_a_step() -> None:
    plan = schedule(MIXED, 12.0, t_w=[0.0, 8.0, 9.0, 11.0], t=[0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0])
    found = {
        (t_w, round(float(t), 6)): step
        for step, t_w, t in ((event.step, *pair) for event in plan.events() for pair in _times(plan, event.pairs))
    }
    expected = {
        **{(0.0, t): int(t) for t in (0.0, 1.0, 2.0, 3.0, 4.0)},
        (8.0, 0.0): 8,
        (8.0, 1.0): 9,
        (8.0, 2.0): 10,
        (8.0, 3.0): 20,
        (8.0, 4.0): 30,
        (9.0, 0.0): 9,
        (9.0, 1.0): 10,
        (9.0, 1.5): 15,
        (9.0, 2.0): 20,
        (9.0, 3.0): 30,
        (11.0, 0.0): 20,
        (11.0, 0.5): 25,
        (11.0, 1.0): 30,
    }
    assert found == expected
    last = {9.0: 30, 11.0: 30, 8.0: 30, 0.0: 4}
    assert plan.last_use() == [last[t_w] for t_w in plan.coordinate("t_w")]


def _times(plan: Schedule, pairs: Any) -> list[tuple[float, float]]:
    t_w, t = plan.coordinate("t_w"), plan.coordinate("t")
    return [(float(t_w[i]), float(t[j])) for i, j in pairs]


def test_grids_go_to_the_nearest_step_of_their_stage() -> None:
    plan = schedule(MIXED, 12.0, time=[3.4, 9.96, 10.04, 10.06, 11.97], t_w=[0.0], t=[0.0, 0.52])
    assert plan.time == (3, 10, 11, 30)
    assert plan.coordinate("time").tolist() == [3, 10, 10.1, 12]
    assert plan.coordinate("t").tolist() == [0, 0.5]
    assert plan.horizon == 30


def test_default_waiting_times_go_to_half_the_time_not_half_the_steps() -> None:
    plan = schedule(MIXED, 18.0)
    assert plan.coordinate("t_w").max() <= 9
    assert plan.coordinate("time")[-1] == 18


def test_an_end_between_steps_goes_to_the_nearest_and_the_next_begins_there() -> None:
    spec = load(tables("quadratic", "sgd", dynamics=[{**LANGEVIN, "dt": 0.3, "until": 1.0}, LANGEVIN], schedule={"horizon": 2.0}))
    clock, horizon = clock_of(spec.stages, 2.0)
    assert clock.boundaries == (3,)
    assert clock.time(3) == pytest.approx(0.9)
    assert horizon == 3 + 11


@pytest.mark.parametrize(
    ("stages", "unit"),
    [
        ([SGD], "step"),
        ([{**SGD, "until": 5.0}, SGD], "step"),
        ([{**LANGEVIN, "until": 5.0}, {"kind": "quench"}], "1"),
        (MIXED, "step in sgd, 1 in langevin"),
        ([{**LANGEVIN, "until": 2.0}, {**SGD, "until": 5.0}, {"kind": "quench"}], "1 in langevin and quench, step in sgd"),
    ],
)
def test_the_unit_of_time_says_whose(stages: list[dict[str, Any]], unit: str) -> None:
    assert time_unit(load(tables("quadratic", "sgd", dynamics=stages, schedule={"horizon": 12.0})).stages) == unit


def coordinates(stages: Any, horizon: float = 12.0) -> xr.Dataset:
    grids = {"time": [0.0, 4.0, 10.0, horizon], "t_w": [0.0, 2.0, 11.0], "t": [0.0, 1.0, 2.0]}
    return glassyrun.run(tables("quadratic", "sgd", dynamics=stages, schedule={"horizon": horizon, **grids}), quiet=True)


def test_steps_and_flow_stand_beside_the_times_of_sgd() -> None:
    """α·step/(1−β) with α = 0.01, β = 1/2."""
    ds = coordinates(SGD)
    for grid in ("time", "t_w", "t"):
        np.testing.assert_array_equal(ds[f"{grid}_step"], ds[grid])
        np.testing.assert_allclose(ds[f"{grid}_flow"], 0.02 * ds[grid], rtol=1e-12)
        for name in (f"{grid}_step", f"{grid}_flow"):
            assert ds[name].dims == (grid,)
            assert ds[name].attrs["long_name"]
            assert ds[name].attrs["units"] == ("step" if name.endswith("step") else "1")
    assert ds.time_step.dtype == np.int64
    assert ds.swap_dims(time="time_flow").energy.sel(time_flow=0.08).size == 2


def test_lags_have_no_steps_where_stages_have_other_ones() -> None:
    mixed = coordinates(MIXED)
    assert {"time_step", "time_flow", "t_w_step", "t_w_flow"} <= set(mixed.coords)
    assert {"t_step", "t_flow"}.isdisjoint(mixed.coords)
    assert mixed.t_w_step.values.tolist() == [0, 2, 20]
    np.testing.assert_allclose(mixed.t_w_flow, [0, 0.04, 10 * 0.02 + 1.0])
    other_rate = coordinates([{**SGD, "until": 5.0}, {**SGD, "learning_rate": 0.001}])
    assert "t_step" in other_rate.coords
    assert "t_flow" not in other_rate.coords
    same = coordinates([{**SGD, "until": 5.0}, SGD])
    assert {"t_step", "t_flow"} <= set(same.coords)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"until": None}, r"dynamics\.0\.until: missing"),
        ({"until": 0.2}, r"dynamics\.0\.until: found 0\.2, less than one time step of 1"),
        ({"until": 12.0}, r"schedule\.horizon: found 12, less than one time step of 0\.1 after 12"),
    ],
)
def test_a_protocol_made_in_python_is_refused_too(change: dict[str, Any], said: str) -> None:
    spec = load(tables("quadratic", "sgd", dynamics=MIXED, schedule={"horizon": 12.0}))
    stages = [spec.stages[0].model_copy(update=change), spec.stages[1]]
    with pytest.raises(Refusal, match=said):
        Schedule.of(spec.model_copy(update={"dynamics": stages}))
