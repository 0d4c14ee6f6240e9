"""Grids in steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine_tools import load, tables

from glassyrun import Refusal
from glassyrun.schedule import Schedule


def schedule(dt: float = 0.1, **grids: Any) -> Schedule:
    return Schedule.of(load(tables("quadratic", "quench", dynamics={"kind": "quench", "dt": dt}, schedule=grids)))


@settings(max_examples=60, deadline=None)
@given(horizon=st.floats(1, 500), dt=st.sampled_from([0.02, 0.05, 0.1, 1.0]), per_decade=st.integers(1, 30))
def test_events_cover_each_point_once_and_in_order(horizon: float, dt: float, per_decade: int) -> None:
    grid = {"from": 0.0, "per_decade": per_decade}
    plan = schedule(dt, horizon=horizon, time=grid, t_w=grid, t=grid)
    events = plan.events()
    steps = [event.step for event in events]
    assert steps == sorted(set(steps))
    assert steps[-1] <= plan.horizon
    assert [event.time for event in events if event.time is not None] == list(range(len(plan.time)))
    assert [event.t_w for event in events if event.t_w is not None] == list(range(len(plan.t_w)))
    pairs = [pair for event in events for pair in event.pairs]
    assert len(pairs) == len(set(pairs)) == sum(w + lag <= plan.horizon for w in plan.t_w for lag in plan.t)
    for event in events:
        assert all(plan.t_w[i] + plan.t[j] == event.step for i, j in event.pairs)


@settings(max_examples=60, deadline=None)
@given(start=st.floats(0.1, 3), decades=st.floats(0.2, 3), per_decade=st.integers(1, 20))
def test_logarithmic_grids_are_even_in_the_logarithm_and_end_where_asked(start: float, decades: float, per_decade: int) -> None:
    end = start * 10**decades
    plan = schedule(0.001, horizon=end, time={"from": start, "to": end, "per_decade": per_decade})
    times = plan.coordinate("time")
    assert times[0] == pytest.approx(start, abs=6e-4)
    assert times[-1] == pytest.approx(end, abs=6e-4)
    inner = np.log10(np.array(plan.time[:-1]) * 0.001)
    assert np.all(np.abs(np.diff(inner) - 1 / per_decade) < 0.012)


def test_zero_then_one_step_then_on() -> None:
    assert schedule(0.1, horizon=10, time={"from": 0, "per_decade": 1}).coordinate("time").tolist() == [0, 0.1, 1, 10]


def test_linear_grids_include_both_ends() -> None:
    assert schedule(0.1, horizon=2, time={"from": 1, "to": 2, "n": 3}).coordinate("time").tolist() == [1, 1.5, 2]


def test_coordinates_are_what_was_measured_to_twelve_digits() -> None:
    """3 × 0.1 is not the float 0.3; times between two steps go to the nearer one, and each step counts once."""
    assert 3 * 0.1 != 0.3
    assert schedule(0.1, horizon=1, time=[0.3, 0.32, 0.36]).coordinate("time").tolist() == [0.3, 0.4]


def test_default_grids_keep_every_pair_when_the_horizon_grows() -> None:
    short, long = schedule(0.1, horizon=37.0), schedule(0.1, horizon=410.0)
    for grid in ("t_w", "t"):
        assert set(getattr(short, grid)) <= set(getattr(long, grid))
    assert set(short.time) - {short.horizon} <= set(long.time)


def test_the_end_is_measured_unless_the_spec_says_otherwise() -> None:
    assert schedule(0.1, horizon=37.0).coordinate("time")[-1] == 37.0
    assert schedule(0.1, horizon=37.0, time={"from": 0, "to": 20.0, "per_decade": 3}).coordinate("time")[-1] == 20.0


@pytest.mark.parametrize(
    ("grids", "said"),
    [
        ({"horizon": 0.01}, r"schedule\.horizon"),
        ({"horizon": 1, "time": [0.5, 2.0]}, r"schedule\.time"),
        ({"horizon": 1, "t_w": {"from": 0.8, "to": 0.2, "n": 3}}, r"schedule\.t_w"),
        ({"horizon": 1, "t": {"from": 0.1, "to": 5.0, "per_decade": 3}}, r"schedule\.t"),
        ({"horizon": 1e6, "t_w": {"from": 0, "to": 5e5, "n": 100000}, "t": {"from": 0, "to": 5e5, "n": 100000}}, "at most"),
    ],
)
def test_impossible_grids_are_refused(grids: dict[str, Any], said: str) -> None:
    from glassyrun import GlassyrunError

    with pytest.raises(GlassyrunError, match=said):
        schedule(0.1, **grids)


def test_the_engine_refuses_them_too_when_a_spec_was_made_in_python() -> None:
    """Schedule.of stands on its own: a Spec may come from elsewhere than a file."""
    spec = load(tables("quadratic", "quench"))
    late = spec.model_copy(update={"schedule": spec.schedule.model_copy(update={"time": [99.0]})})
    with pytest.raises(Refusal, match=r"schedule\.time.*beyond the horizon"):
        Schedule.of(late)
