"""Ways into the engine that tests share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch

from glassyrun import Observable, ObservableOptions, Reference, Snapshot, State, Variable, api
from glassyrun.experiment import Experiment, Setting, numerics
from glassyrun.spec.load import dump_spec
from glassyrun.spec.model import Spec
from glassyrun.store import Store
from glassyrun.trajectories import Trajectory

PAIRS = [(system, moves) for system in ("quadratic", "pspin", "cnn") for moves in ("quench", "langevin", "sgd")]
PAIRS += [("pspin", "adams")]

SYSTEMS: dict[str, dict[str, Any]] = {
    "quadratic": {"kind": "quadratic", "n": 5, "terms": 12},
    "pspin": {"kind": "pspin", "p": 3, "n": 12},
    "cnn": {
        "kind": "cnn",
        "channels": [2, 3],
        "hidden": 8,
        "data": {"kind": "cifar10", "if_absent": "sample", "train": 60, "test": 20},
    },
}
DYNAMICS: dict[str, dict[str, Any]] = {
    "quench": {"kind": "quench", "dt": 0.05},
    "langevin": {"kind": "langevin", "dt": 0.05, "temperature": 0.01},
    "adams": {"kind": "langevin", "dt": 0.05, "temperature": 0.01, "scheme": "adams"},
    "sgd": {"kind": "sgd", "learning_rate": 0.02, "momentum": 0.5, "batch_size": 4},
}


def tables(system: str, moves: str, /, steps: int = 12, **changes: Any) -> dict[str, Any]:
    """A small spec of a pairing, as tables: `steps` steps, everything measured at every step.

    GLASSYRUN_TEST_DEVICE = "cuda" in the environment runs it on a GPU, with kernels that repeat every bit.
    """
    dt = DYNAMICS[moves].get("dt", 1.0)
    every = {"from": 0.0, "to": steps * dt, "n": steps + 1}
    kinds = ["energy", "msd", "overlap", "displacement", "gradient_norm", "participation"]
    kinds += ["constraint"] if system == "pspin" else []
    kinds += ["test"] if system == "cnn" else []
    spec: dict[str, Any] = {
        "seed": 3,
        "system": SYSTEMS[system],
        "dynamics": DYNAMICS[moves],
        "schedule": {"horizon": steps * dt, "time": every, "t_w": every, "t": every},
        "ensemble": {"replicas": 2},
        "observables": [{"kind": kind} for kind in kinds],
    }
    spec |= changes
    if "GLASSYRUN_TEST_DEVICE" in os.environ:
        spec["run"] = {"device": os.environ["GLASSYRUN_TEST_DEVICE"], "deterministic": True} | spec.get("run", {})
    return spec


def load(source: Mapping[str, Any]) -> Spec:
    return api.load(source)


@attrs.define
class Crash:
    """A reporter that ends the process's work at chosen updates, as a kill would: nothing is committed on the way out."""

    after: int | None = None
    updates: int = 0
    stop: dict[str, str] = attrs.field(factory=dict)
    gently: bool = False
    warnings: list[str] = attrs.field(factory=list)

    def begin(self, title: str, total: int, done: int = 0) -> None: ...

    def update(self, step: int, energy: float) -> None:
        self.updates += 1
        if self.after is not None and self.updates >= self.after:
            if not self.gently:
                raise Killed
            self.stop["reason"] = "SIGTERM"

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def end(self) -> None: ...


class Killed(BaseException):
    """Stands for SIGKILL."""


def final_state(spec: Spec, directory: Path, reporter: Crash | None = None) -> State:
    """Runs the first sample and gives back where it ended."""
    store = Store.open(directory, dump_spec(spec))
    with contextlib.closing(store), numerics(spec):
        trajectory = Trajectory.begin(Experiment(Setting.of(spec), store, reporter or Crash()), 0)
        trajectory.run()
        return trajectory.state


class Twin(Observable):
    """A reference that lives on: the same trajectory, begun again at t_w; its distance is zero for ever."""

    grid = "pairs"

    def __init__(self) -> None:
        self.variables = {"twin": Variable("distance of a twin with the same noise")}

    def remember(self, now: Snapshot) -> State:
        return now.state.copy()

    def follow(self, now: Snapshot, then: Reference) -> None:
        now.dynamics.advance(now.system, then.state, now.state.step - then.state.step)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, torch.Tensor]:
        assert then is not None
        return {"twin": (now.state.x - then.state.x).abs().amax(1)}


class TwinOptions(ObservableOptions):
    """A twin."""

    kind: str = "twin"

    def build(self, context: object, system: object) -> Twin:
        return Twin()
