from . import plot as plot
from .api import load, run
from .batches import Batches, Sampling
from .context import Context
from .dataset import LabelledData
from .dynamics import Draw, Dynamics
from .errors import DataError, Diverged, GlassyrunError, Locked, Refusal, Stopped, StorageError
from .hookspecs import hookimpl
from .manifold import Flat, Manifold, Sphere
from .observable import Observable, Reference, Snapshot, Variable
from .options import (
    AnyDataset,
    DatasetOptions,
    DynamicsOptions,
    Footprint,
    ObservableOptions,
    Options,
    SystemOptions,
    described,
)
from .solver import Solver
from .state import Evaluation, State
from .stream import Stream, replica_normals
from .system import System, Tilted

__all__ = [
    "AnyDataset",
    "Batches",
    "Context",
    "DataError",
    "DatasetOptions",
    "Diverged",
    "Draw",
    "Dynamics",
    "DynamicsOptions",
    "Evaluation",
    "Flat",
    "Footprint",
    "GlassyrunError",
    "LabelledData",
    "Locked",
    "Manifold",
    "Observable",
    "ObservableOptions",
    "Options",
    "Reference",
    "Refusal",
    "Sampling",
    "Snapshot",
    "Solver",
    "Sphere",
    "State",
    "Stopped",
    "StorageError",
    "Stream",
    "System",
    "SystemOptions",
    "Tilted",
    "Variable",
    "described",
    "hookimpl",
    "load",
    "plot",
    "replica_normals",
    "run",
]
