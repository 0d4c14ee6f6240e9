"""glassyrun: compare the dynamics of glasses and of neural networks.

The names below are all that a plugin or a notebook needs. They are imported when they are first used, so that
`glassyrun --help` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glassyrun import plot as plot
    from glassyrun.api import load, run
    from glassyrun.batches import Batches, Sampling
    from glassyrun.context import Context
    from glassyrun.dataset import LabelledData
    from glassyrun.dynamics import Draw, Dynamics
    from glassyrun.errors import DataError, Diverged, GlassyrunError, Locked, Refusal, Stopped, StorageError
    from glassyrun.hookspecs import hookimpl
    from glassyrun.manifold import Flat, Manifold, Sphere
    from glassyrun.observable import Observable, Reference, Snapshot, Variable
    from glassyrun.options import (
        AnyDataset,
        DatasetOptions,
        DynamicsOptions,
        Footprint,
        ObservableOptions,
        Options,
        SystemOptions,
        described,
    )
    from glassyrun.solver import Solver
    from glassyrun.state import Evaluation, State
    from glassyrun.stream import Stream, replica_normals
    from glassyrun.system import System, Tilted

_HOME = {
    "plot": "",
    "load": "api",
    "run": "api",
    "Batches": "batches",
    "Sampling": "batches",
    "Context": "context",
    "LabelledData": "dataset",
    "Draw": "dynamics",
    "Dynamics": "dynamics",
    "DataError": "errors",
    "Diverged": "errors",
    "GlassyrunError": "errors",
    "Locked": "errors",
    "Refusal": "errors",
    "Stopped": "errors",
    "StorageError": "errors",
    "hookimpl": "hookspecs",
    "Flat": "manifold",
    "Manifold": "manifold",
    "Sphere": "manifold",
    "Observable": "observable",
    "Reference": "observable",
    "Snapshot": "observable",
    "Variable": "observable",
    "AnyDataset": "options",
    "DatasetOptions": "options",
    "DynamicsOptions": "options",
    "Footprint": "options",
    "ObservableOptions": "options",
    "Options": "options",
    "SystemOptions": "options",
    "described": "options",
    "Solver": "solver",
    "Evaluation": "state",
    "State": "state",
    "Stream": "stream",
    "replica_normals": "stream",
    "System": "system",
    "Tilted": "system",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'glassyrun' has no attribute {name!r}")
    home = _HOME[name]
    value = getattr(importlib.import_module(f"glassyrun.{home}"), name) if home else importlib.import_module(f"glassyrun.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
