"""What is foreseen of a lazily drawn disorder, against what comes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from tests.pspin.lazy.test_runs import HOT, QUENCH, STRANG, tables

import glassyrun
from glassyrun import Context, Journey, State, Stream
from glassyrun.experiment import Setting
from glassyrun.plan import plan
from glassyrun_dynamics.langevin import LangevinOptions
from glassyrun_dynamics.quench import QuenchOptions
from glassyrun_pspin.lazy.size import Size
from glassyrun_pspin.lazy.system import LazyPSpin


def evolved(moves: QuenchOptions | LangevinOptions, steps: int, p: int = 3, replicas: int = 1) -> tuple[LazyPSpin, Size]:
    """A system after so many steps, and what is foreseen of it."""
    journey = Journey(steps, steps * moves.dt, steps * moves.gradients, steps * moves.noises, replicas)
    context = Context("system", 0, 0, torch.device("cpu"), torch.float64, journey=journey)
    size = Size({p: 1.0}, 1e6, journey)
    system = LazyPSpin({p: 1.0}, 1e6, context, room=size.room())
    dynamics = moves.build(context.child("dynamics"), system)
    state: State = system.initial([Stream(f"start/{replica}", 0, 0) for replica in range(replicas)])
    dynamics.start(system, state)
    dynamics.advance(system, state, steps)
    return system, size


@pytest.mark.parametrize("p", [2, 3, 4])
@pytest.mark.parametrize("replicas", [1, 2])
def test_directions_of_a_quench_go_with_the_root_of_time(p: int, replicas: int) -> None:
    dt = 0.1 if p < 4 else 0.05
    for time in (3.0, 12.0):
        system, size = evolved(QuenchOptions(dt=dt, scheme="heun"), round(time / dt), p, replicas)
        found = system.disorder.frame.rows
        assert found <= size.directions() * 1.1 + 2
        assert size.directions() < 3 * found


@pytest.mark.parametrize(("scheme", "a_step"), [("adams", 1), ("heun", 2)])
def test_a_thermal_step_brings_as_many_directions_as_looks(scheme: str, a_step: int) -> None:
    system, size = evolved(LangevinOptions(dt=0.1, temperature=0.5, scheme=scheme), 40)
    assert abs(system.disorder.frame.rows - a_step * 40) <= 1
    assert size.directions() == a_step * 40 + 1
    assert system.axes.count <= size.room()
    held = system.disorder.memory()
    entries = sum(tensor.nbytes for tensor in system.disorder.tensors.values())
    assert entries + sum(value.nbytes for value in held.values()) <= size.bytes(size.room()) * 1.1


def test_room_is_a_power_of_four_and_never_more_than_spins() -> None:
    rooms = [Size({3: 1.0}, 1e6, Journey(steps, 1.0, steps, steps)).room() for steps in (1, 100, 5000, 10**6)]
    assert rooms == [256, 1024, 65536, 65536]
    assert Size({3: 1.0}, 100, Journey(5000, 1.0, 5000, 5000)).room() == 100


def test_a_frame_without_room_is_told() -> None:
    source = tables(HOT, ["overlap"], steps=20)
    source["system"]["axes"] = 12
    with pytest.raises(glassyrun.Refusal, match=r"system\.axes"):
        glassyrun.run(source, quiet=True)


def test_the_steps_that_are_said_to_fit_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassyrun_pspin.lazy.build.available", lambda device: 60_000_000)
    source = tables(STRANG, ["overlap"], n=1e9)
    source["schedule"] = {"horizon": 100.0}
    with pytest.raises(glassyrun.Refusal, match="steps fit") as refused:
        glassyrun.run(source, quiet=True)
    found = re.search(r"(\d+) steps fit", str(refused.value))
    assert found
    fits = int(found.group(1))
    assert 50 < fits < 1000

    def footprint(steps: int) -> Any:
        return Setting.of(glassyrun.load(source | {"schedule": {"horizon": steps / 10}})).footprint()

    footprint(fits)
    with pytest.raises(glassyrun.Refusal, match="steps fit"):
        footprint(round(1.1 * fits) + 2)


def test_the_plan_foresees_directions() -> None:
    text = plan(glassyrun.load(tables(QUENCH, ["overlap"], steps=20)))
    assert "directions of the disorder" in text
    assert "overlaps only" in text
    assert "foreseen" in text


def test_later_steps_cost_more_in_the_plan() -> None:
    hot = Size({3: 1.0}, 1e6, Journey(2000, 100.0, 2000, 2000))
    assert hot.work(2000) > 5 * 2 * hot.work(1000)
    assert Size({3: 1.0}, float("inf"), Journey(2000, 100.0, 2000, 0)).work(2000) < 2.5 * 2000
