"""Every observable there is, at every step or never: the same trajectory to the bit; stopped and resumed: the same readings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.test_resume import attempt, bytes_of
from tests.engine_tools import Crash, final_state, load, tables
from tests.models import begin, context, dynamics
from tests.networks.toy import any_module
from tests.observables.tools import MLP

import glassyrun_networks
import glassyrun_observables
from glassyrun import Reference, Snapshot
from glassyrun.registry import Registry
from glassyrun.spec.model import Spec

ANYWHERE: list[dict[str, Any]] = [
    {"kind": "energy"},
    {"kind": "energy", "name": "energy_of_few", "terms": 3},
    {"kind": "msd", "blocks": True},
    {"kind": "overlap", "blocks": True},
    {"kind": "angular", "blocks": True},
    {"kind": "displacement"},
    {"kind": "van_hove", "largest": 0.5, "bins": 7},
    {"kind": "van_hove", "name": "van_hove_log", "scale": "logarithmic", "smallest": 1e-4, "largest": 0.5, "bins": 5},
    {"kind": "epsilon_overlap", "epsilon": 0.01},
    {"kind": "gradient_norm"},
    {"kind": "weight_norm", "blocks": True},
    {"kind": "participation"},
    {"kind": "inherent", "steps": 2, "dt": 0.02},
    {"kind": "segment", "points": 3, "terms": 0.5},
    {"kind": "configurations"},
]
WITH_BATCHES: list[dict[str, Any]] = [
    {"kind": "gradient_noise", "batches": 3},
    {"kind": "gradient_noise", "name": "gradient_noise_epoch", "batches": "epoch", "on": "time"},
]
LIVING: list[dict[str, Any]] = [
    {"kind": "response", "blocks": True},
    {"kind": "response", "name": "response_opposite", "opposite": True},
    {"kind": "response", "name": "response_superposed", "superposed": True, "opposite": True},
    {"kind": "clone"},
    {"kind": "clone", "name": "damage", "chance": "same"},
    {"kind": "replica_overlap", "pairs": True},
]
WITH_NOISE: list[dict[str, Any]] = [{"kind": "noise_response"}]
ON_A_SPHERE: list[dict[str, Any]] = [{"kind": "constraint"}, {"kind": "mu"}]
OF_NETWORKS: list[dict[str, Any]] = [
    {"kind": "test"},
    {"kind": "train", "terms": 20},
    {"kind": "time_to_accuracy", "accuracy": 0.01, "split": "train"},
]
RECALIBRATED: list[dict[str, Any]] = [
    {"kind": "test", "name": "test_recalibrated", "recalibrate": True},
    {"kind": "train", "name": "train_recalibrated", "recalibrate": True},
    {"kind": "energy", "name": "energy_recalibrated", "recalibrate": True},
    {"kind": "segment", "name": "segment_recalibrated", "points": 3, "recalibrate": True},
    {"kind": "inherent", "name": "inherent_recalibrated", "steps": 2, "dt": 0.02, "recalibrate": True},
]
NETWORKS: dict[str, dict[str, Any]] = {"mlp": {"system": MLP}, "cnn": {}}
PAIRS = [(system, moves) for system in ("quadratic", "pspin", "mlp") for moves in ("quench", "langevin", "sgd")]


def all_tables(system: str, moves: str, steps: int, kinds: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """A spec that measures, at every step, `kinds` or all that a pairing can measure."""
    own = ON_A_SPHERE if system == "pspin" else OF_NETWORKS if system in NETWORKS else []
    chance = {"sgd": WITH_BATCHES, "langevin": WITH_NOISE}.get(moves, [])
    everything = ANYWHERE + LIVING + own + chance
    known = "cnn" if system in NETWORKS else system
    changes |= NETWORKS.get(system, {}) | {"observables": everything if kinds is None else kinds}
    return tables(known, moves, steps=steps, **changes)


def test_nothing_is_forgotten_here() -> None:
    tested = {table["kind"] for table in ANYWHERE + LIVING + WITH_NOISE + WITH_BATCHES + ON_A_SPHERE + OF_NETWORKS + RECALIBRATED}
    options = [*glassyrun_observables.glassyrun_observables(), *glassyrun_networks.glassyrun_observables()]
    assert tested == {kind.model_fields["kind"].default for kind in options}


@pytest.mark.parametrize(("system", "moves"), [*PAIRS, ("cnn", "sgd")])
def test_every_observable_at_every_step_or_never(system: str, moves: str, tmp_path: Path) -> None:
    steps = 3 if system == "cnn" else 6
    with_all = final_state(load(all_tables(system, moves, steps)), tmp_path / "all")
    with_one = final_state(load(all_tables(system, moves, steps, [{"kind": "energy"}])), tmp_path / "one")
    assert torch.equal(with_all.x, with_one.x)
    assert with_all.dynamics.keys() == with_one.dynamics.keys()
    assert all(torch.equal(with_all.dynamics[name], value) for name, value in with_one.dynamics.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("moves", ["quench", "langevin", "sgd"])
def test_batch_norm_is_not_disturbed(moves: str, dtype: torch.dtype) -> None:
    """Weights, momentum and running statistics: each observable remembers and reads after every step."""
    network = any_module("batch_norm", dtype)
    steps = {"sgd": {"batch_size": 6, "momentum": 0.5}, "langevin": {"dt": 0.01, "temperature": 1e-3}, "quench": {"dt": 0.01}}
    kinds = ANYWHERE + OF_NETWORKS + RECALIBRATED + (WITH_BATCHES if moves == "sgd" else [])
    classes = Registry.installed().entries["observables"]
    options = [classes[table["kind"]].options.model_validate(table) for table in kinds]
    observables = [table.build(context(f"observables/{table.label}", dtype=dtype), network) for table in options]
    ends = []
    for reads in (False, True):
        moving = dynamics(moves, network, **steps[moves])
        state = begin(network, moving, replicas=2)
        then: list[Reference] = []
        for _ in range(3):
            moving.advance(network, state, 1)
            now = Snapshot(network, moving, state)
            for observable in observables if reads else ():
                then.append(Reference(state.step, observable.remember(now)))
                observable.read(now, then[0] if observable.grid == "pairs" else None)
        ends.append(state)
    assert torch.equal(ends[0].x, ends[1].x)
    for memory in ("system", "dynamics"):
        before, after = (getattr(state, memory) for state in ends)
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("system", ["quadratic", "pspin", "mlp"])
@pytest.mark.parametrize("gently", [True, False], ids=["stopped", "killed"])
def test_interrupted_readings_are_those_of_one_go(system: str, gently: bool, tmp_path: Path) -> None:
    """Every observable, commits at every look, interrupted at every third."""
    interrupted(load(all_tables(system, "sgd", 5, run={"checkpoint_seconds": 1e-9})), gently, tmp_path)


def test_interrupted_without_anything_over_pairs(tmp_path: Path) -> None:
    interrupted(load(all_tables("mlp", "sgd", 5, OF_NETWORKS, run={"checkpoint_seconds": 1e-9})), False, tmp_path)


def interrupted(spec: Spec, gently: bool, place: Path) -> None:
    assert attempt(spec, place / "whole", Crash())
    rounds = 1
    while not attempt(spec, place / "parts", Crash(after=3, gently=gently)):
        rounds += 1
        assert rounds < 30
    assert rounds > 2
    assert bytes_of(place / "whole") == bytes_of(place / "parts")
