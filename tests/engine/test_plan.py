"""What a plan foretells: memory, and how hot mini-batches are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.engine_tools import load, tables

import glassyrun
from glassyrun.errors import GlassyrunError
from glassyrun.experiment import Setting
from glassyrun.machine import numerics
from glassyrun.plan import plan


def needed(system: str = "quadratic", replicas: int = 2, waiting: int = 4, **changes: Any) -> tuple[int, int]:
    """Bytes foreseen, and those of one State; every reference is needed until the end."""
    schedule = {"horizon": 100.0, "time": [0.0], "t_w": [float(k) for k in range(waiting)], "t": [0.0, 60.0]}
    spec = load(tables(system, "quench", schedule=schedule, ensemble={"replicas": replicas}, **changes))
    setting = Setting.of(spec)
    footprint = setting.footprint()
    return setting.memory(footprint), footprint.dof * setting.dtype.itemsize


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("system", ["quadratic", "pspin"])
def test_memory_grows_by_a_state_with_each_replica_and_waiting_time(system: str, dtype: str) -> None:
    run = {"dtype": dtype}
    base, state = needed(system, run=run)
    for more in (1, 10, 40):
        by_replicas = needed(system, replicas=2 + more, run=run)[0] - base
        assert by_replicas >= more * (4 + 1) * state  # a reference a waiting time, and where it is now
        by_waiting = needed(system, waiting=4 + more, run=run)[0] - base
        assert by_waiting >= more * 2 * state
    assert base >= 2 * 5 * state


def test_memory_holds_what_the_system_stores() -> None:
    """Inputs and targets of ten thousand more data points, in float32."""
    sizes = []
    for terms in (12, 10_012):
        setting = Setting.of(load(tables("quadratic", "quench", system={"kind": "quadratic", "n": 5, "terms": terms})))
        sizes.append(setting.memory(setting.footprint()))
    assert sizes[1] - sizes[0] >= 10_000 * (5 + 1) * 4


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_memory_holds_a_look_of_each_replica_that_is_looked_at_at_once(kind: str, threads: int) -> None:
    """Those of an mlp go through it together, those of a cnn each on a thread."""
    most = 32 if kind == "mlp" else threads
    data = {"kind": "cifar10", "if_absent": "sample", "train": 20, "test": 10}
    for replicas in (1, 2, most, most + 1):
        spec = load(tables("cnn", "quench", system={"kind": kind, "data": data}, ensemble={"replicas": replicas}))
        with numerics(spec, threads):
            setting = Setting.of(spec)
            footprint = setting.footprint()
        looks = setting.memory(footprint) - setting.memory(attrs.evolve(footprint, transient_bytes=0))
        assert looks == min(replicas, most) * footprint.transient_bytes > 0


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrates for a moment only."""
    monkeypatch.setattr("glassyrun.plan.CALIBRATION_SECONDS", 0.01)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("dynamics", "step"),
    [
        ({"kind": "sgd", "learning_rate": 0.01, "momentum": 0.9, "batch_size": 4}, 0.1),
        ({"kind": "sgd", "learning_rate": 0.01, "batch_size": 4}, 0.01),
        ({"kind": "quench", "dt": 0.05, "batch_size": 4}, 0.05),
        ({"kind": "quench", "dt": 0.05, "batch_size": 4, "sampling": "with_replacement"}, 0.05),
    ],
)
def test_the_plan_says_how_hot_mini_batches_are(dynamics: dict[str, Any], step: float) -> None:
    """12 spins with p = 3 have 364 couplings, 91 batches of 4: T_eff = α/(1−β) (3/4)(91 − 1), or 91 with replacement."""
    text = plan(load(tables("pspin", str(dynamics["kind"]), steps=10, dynamics=dynamics, schedule={"horizon": 20.0})))
    (line,) = (line for line in text.splitlines() if "acts like a temperature" in line)
    excess = 91 if "sampling" in dynamics else 90
    assert float(line.rsplit(" ", 1)[1]) == pytest.approx(step * 0.75 * excess, rel=1e-3)
    assert "1/91 of the terms" in text


@pytest.mark.usefixtures("hasty")
def test_the_plan_of_all_terms_knows_no_such_temperature() -> None:
    assert "acts like a temperature" not in plan(load(tables("pspin", "quench")))


def test_a_run_that_begins_from_another_is_planned_from_there(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "quench"))
    with pytest.raises(GlassyrunError, match="--from"):
        plan(spec, start_from=tmp_path)
    glassyrun.run(spec, tmp_path / "first", quiet=True)
    assert "foreseen" in plan(spec, start_from=tmp_path / "first")
    other = load(tables("quadratic", "quench", ensemble={"replicas": 7}))
    with pytest.raises(GlassyrunError, match="expected 7"):
        plan(other, start_from=tmp_path / "first")
