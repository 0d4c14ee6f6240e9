"""The runs that are killed, torn and damaged: small, of every kind whose State has another shape, and committing all the time."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from glassyrun import api, result, trajectories
from glassyrun.errors import GlassyrunError
from glassyrun.spec.model import Spec
from tests.reliability.tap import Call, tapped

ROOM = 2_000_000_000
OFTEN = {"COMMIT_SHARE": 0.0, "PACE_SECONDS": 0.0}
"""Constants of the engine that decide how often it commits; no bit depends on them."""


def _tables(system: dict[str, Any], dynamics: Any, steps: int, dt: float = 1.0, **more: Any) -> dict[str, Any]:
    every = {"from": 0.0, "to": steps * dt, "n": steps + 1}
    some = {"from": 0.0, "to": steps * dt, "n": steps // 3 + 1}
    kinds = ["energy", "msd", "overlap", "gradient_norm"]
    return {
        "seed": 11,
        "system": system,
        "dynamics": dynamics,
        "schedule": {"horizon": steps * dt, "time": every, "t_w": some, "t": some},
        "ensemble": {"samples": 1, "replicas": 2},
        "observables": [{"kind": kind} for kind in kinds],
        "run": {"checkpoint_seconds": 1e-9, "threads": 1},
    } | more


CIFAR = {"kind": "cifar10"}
SGD = {"kind": "sgd", "learning_rate": 0.02, "momentum": 0.5, "batch_size": 4}
TWO = {"ensemble": {"samples": 2, "replicas": 2}}
DRAWN = {"kind": "cnn", "channels": [2, 3], "hidden": 8, "data": {**CIFAR, "subset": 16, "per_sample": True}}

SPECS: dict[str, dict[str, Any]] = {
    "pspin": _tables({"kind": "pspin", "p": 3, "n": 24}, {"kind": "langevin", "dt": 0.05, "temperature": 0.4}, 24, 0.05, **TWO),
    "mlp": _tables({"kind": "mlp", "widths": [6], "data": {"kind": "mnist"}}, SGD, 24),
    "cnn": _tables(DRAWN, SGD, 12, **TWO),
    "resnet18": _tables(
        {"kind": "resnet18", "data": {**CIFAR, "train": 8}},
        {**SGD, "momentum": 0.9},
        4,
        schedule={"horizon": 4.0, "time": [0.0, 1.0, 2.0, 3.0, 4.0], "t_w": [1.0], "t": [0.0, 1.0]},
        ensemble={"samples": 1, "replicas": 1},
    ),
    "stages": _tables(
        {"kind": "quadratic", "n": 6, "terms": 12},
        [{**SGD, "until": 9.0}, {"kind": "langevin", "dt": 1.0, "temperature": 0.01}],
        18,
        schedule={"horizon": 18.0},
        **TWO,
    ),
}
"""The five of the promise."""

SMALL = _tables({"kind": "quadratic", "n": 4, "terms": 8}, {**SGD, "batch_size": 2}, 6, **TWO)
"""Fast enough to be run hundreds of times in one process."""

TINY = _tables(
    {"kind": "quadratic", "n": 4, "terms": 8},
    {**SGD, "batch_size": 2},
    4,
    schedule={"horizon": 4.0, "t_w": [0.0, 1.0], "t": [1.0, 3.0]},
)
"""Thousands of times."""


def data(folder: Path) -> Path:
    """A few drawn images in the place of MNIST and CIFAR-10, so that nothing is downloaded."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for name, image in (("mnist", (28, 28)), ("cifar10", (32, 32, 3))):
        images = {f"{part}_x": generator.integers(0, 256, (24, *image), np.uint8) for part in ("train", "test")}
        np.savez(folder / f"{name}.npz", **images, **{f"{part}_y": np.arange(24) % 10 for part in ("train", "test")})
    return folder


def in_memory() -> Path | None:
    """A folder of a file system in memory, if there is one with room."""
    place = Path("/dev/shm")
    room = place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free > ROOM
    return place if room else None


def load(tables: Mapping[str, Any], **changes: Any) -> Spec:
    return api.load({**tables, **changes})


@contextlib.contextmanager
def committing_often() -> Iterator[None]:
    """Every step is a chunk of its own, and every look between two of them commits."""
    with contextlib.ExitStack() as stack:
        for name, value in OFTEN.items():
            if hasattr(trajectories, name):
                stack.enter_context(mock.patch.object(trajectories, name, value))
        yield


def attempt(spec: Spec, directory: Path, data_root: Path | None = None, **options: Any) -> tuple[int, str]:
    """Exit code and sentence of running a spec in a directory, as the command line would end. A traceback is not caught."""
    with committing_often():
        try:
            api.execute(spec, directory, data_root=data_root, quiet=True, listen=False, **options)
        except GlassyrunError as error:
            return error.exit_code, str(error)
    return 0, ""


class Killed(BaseException):
    """Stands for SIGKILL within a process."""


def calls(spec: Spec, directory: Path) -> int:
    """How many calls of a run change files."""
    seen: list[Call] = []
    with tapped(directory, seen.append):
        assert attempt(spec, directory) == (0, "")
    return len(seen)


def killed(spec: Spec, directory: Path, call: int) -> bool:
    """Runs until the n-th call that changes a file, which is not made, nor any after it; False if the run ended before."""
    made = 0

    def look(_: Call) -> None:
        nonlocal made
        made += 1
        if made >= call:
            raise Killed

    with tapped(directory, look):
        try:
            attempt(spec, directory)
        except Killed:
            return True
    return False


def differs(directory: Path, truth: Any) -> str | None:
    """Where a partial result says something else than the whole one; NaN says nothing.

    Raises:
        GlassyrunError: if nothing can be read.
    """
    found = result.assemble(directory)
    for name in truth.variables:
        if name not in found.variables:
            if name in found.dims or found.sizes:
                return f"{name} is missing"
            continue
        mine, whole = found[name].values, truth[name].values
        if mine.shape != whole.shape:
            return f"{name} has the shape {mine.shape}, expected {whole.shape}"
        wrong = (mine != whole) & ~np.isnan(mine) if mine.dtype.kind == "f" else mine != whole
        if wrong.any():
            return f"{name} differs at {int(wrong.sum())} points"
    return None


def sentence(text: str) -> bool:
    """Whether a message is one sentence for a user."""
    return bool(text) and "Traceback" not in text and "\n" not in text and len(text) < 1500
