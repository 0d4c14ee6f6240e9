from . import analysis as analysis
from . import plot as plot
from .api import load, run
from .batches import Batches, Permutation, Sampling, batch_count
from .clock import Clock
from .context import Context, Journey
from .dataset import LabelledData
from .dynamics import Draw, Dynamics
from .errors import DataError, Diverged, GlassyrunError, Locked, OutOfMemory, PluginError, Refusal, Stopped, StorageError
from .experiment import Experiment
from .hookspecs import hookimpl
from .machine import available
from .manifold import Flat, Manifold, Sphere
from .observable import Grid, Observable, Reference, Snapshot, Variable
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
from .schedule import Schedule
from .solver import Solver
from .state import Evaluation, State
from .stream import Stream, replica_normals
from .subset import SubsetOptions
from .system import System, Tilted
from .threads import thread_count, together, torch_alone

__all__ = [
    "AnyDataset",
    "Batches",
    "Clock",
    "Context",
    "DataError",
    "DatasetOptions",
    "Diverged",
    "Draw",
    "Dynamics",
    "DynamicsOptions",
    "Evaluation",
    "Experiment",
    "Flat",
    "Footprint",
    "GlassyrunError",
    "Grid",
    "Journey",
    "LabelledData",
    "Locked",
    "Manifold",
    "Observable",
    "ObservableOptions",
    "Options",
    "OutOfMemory",
    "Permutation",
    "PluginError",
    "Reference",
    "Refusal",
    "Sampling",
    "Schedule",
    "Snapshot",
    "Solver",
    "Sphere",
    "State",
    "Stopped",
    "StorageError",
    "Stream",
    "SubsetOptions",
    "System",
    "SystemOptions",
    "Tilted",
    "Variable",
    "analysis",
    "available",
    "batch_count",
    "described",
    "hookimpl",
    "load",
    "plot",
    "replica_normals",
    "run",
    "thread_count",
    "together",
    "torch_alone",
]
