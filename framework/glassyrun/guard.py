"""Holds plugins to their contract: what raises or is not what it should be is named, in one sentence."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from glassyrun.dynamics import Dynamics
from glassyrun.errors import GlassyrunError, OutOfMemory, PluginError, Refusal
from glassyrun.manifold import Manifold
from glassyrun.observable import Grid, Observable, Variable
from glassyrun.options import DynamicsOptions
from glassyrun.recorder import DTYPES
from glassyrun.state import State
from glassyrun.system import System

RESERVED = ("sample", "replica", *(f"{grid}{clock}" for grid in ("time", "t_w", "t") for clock in ("", "_step", "_flow")))
"""Names that the engine's own dimensions and coordinates have."""


NO_MEMORY = (
    "out of memory; take fewer replicas or waiting times, a smaller system or batch, or a machine with more, where the same "
    "command goes on from the last commit"
)
SIGNS = ("can't allocate memory", "out of memory", "ALLOC_FAILED", "Cannot allocate memory")
"""How torch tells, in a plain RuntimeError, that the host or a library of the GPU had no memory."""


def ran_out(error: BaseException) -> bool:
    """Whether an error means that memory ran out, of the host or of a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


@contextlib.contextmanager
def plugin_code(place: str) -> Iterator[None]:
    """Names the place in the spec whose plugin raised.

    Raises:
        OutOfMemory: if memory ran out.
        PluginError: for whatever else it raised; the traceback is kept as the cause.
    """
    try:
        yield
    except GlassyrunError:
        raise
    except Exception as error:
        if ran_out(error):
            raise OutOfMemory(f"{place}: {NO_MEMORY}") from error
        raise PluginError(
            f"{place}: its plugin raised {type(error).__name__}: {' '.join(str(error).split())}; mend the plugin"
        ) from error


def check_system(place: str, system: object) -> System:
    """What a plugin built as a System.

    Raises:
        PluginError: if it is none, or its sizes make no sense.
    """
    if not isinstance(system, System):
        raise PluginError(f"{place}: its plugin built {type(system).__name__}, expected a glassyrun.System; mend the plugin")
    scale, blocks, manifold = (getattr(system, name, None) for name in ("energy_scale", "blocks", "manifold"))
    sound = {
        "dof": _counts(getattr(system, "dof", None)),
        "terms": _counts(getattr(system, "terms", None), least=0),
        "blocks": isinstance(blocks, Mapping),
        "energy_scale": isinstance(scale, int | float) and 0 < scale < float("inf"),
        "manifold": isinstance(manifold, Manifold),
        "bottom": system.bottom is None or (isinstance(system.bottom, int | float) and math.isfinite(system.bottom)),
    }
    for name in (name for name, fits in sound.items() if not fits):
        raise PluginError(f"{place}: its plugin's System has {name} = {getattr(system, name, None)!r}; mend the plugin")
    return system


def _counts(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_dynamics(place: str, dynamics: object, options: DynamicsOptions) -> Dynamics:
    """What a plugin built as a Dynamics, whose clocks must be those that its options announced.

    Raises:
        PluginError: if it is none, or its clock is another one.
    """
    if not isinstance(dynamics, Dynamics):
        raise PluginError(f"{place}: its plugin built {type(dynamics).__name__}, expected a glassyrun.Dynamics; mend the plugin")
    for name, found, told in (("dt", dynamics.dt, options.time_step), ("flow_step", dynamics.flow_step, options.flow_step)):
        if found != told:
            raise PluginError(f"{place}: its plugin's Dynamics has {name} = {found}, but its options say {told}; mend the plugin")
    return dynamics


def check_start(place: str, system: System, state: object, replicas: int, like: Tensor) -> State:
    """The State that a System begins from.

    Raises:
        PluginError: if x is not [replica, dof] of the run's dtype on the run's device.
        Refusal: if x is not finite.
    """
    x = state.x if isinstance(state, State) else None
    expected = (replicas, system.dof)
    if not isinstance(state, State) or not isinstance(x, Tensor) or tuple(x.shape) != expected or x.dtype != like.dtype:
        found = f"x of shape {tuple(x.shape)} and {x.dtype}" if isinstance(x, Tensor) else type(state).__name__
        raise PluginError(
            f"{place}: its plugin started from {found}, expected a State with x of shape {expected} and {like.dtype}"
        )
    if x.device.type != like.device.type:
        raise PluginError(f"{place}: its plugin started on {x.device}, expected {like.device}; mend the plugin")
    if not bool(torch.isfinite(x).all()):
        raise Refusal(f"{place}: the start has NaN or infinite components; look at its initialisation")
    return state


def check_observables(built: Mapping[str, object]) -> dict[str, Observable]:
    """The observables of a run by label.

    Raises:
        PluginError: if one is no Observable, or announces what can't be.
        GlassyrunError: if two bring a variable, or a dimension with other coordinates, of the same name.
    """
    owner: dict[str, str] = {}
    coordinates: dict[str, tuple[str, Sequence[Any]]] = {}
    checked: dict[str, Observable] = {}
    for label, observable in built.items():
        place = f"observables.{label}"
        checked[label] = _announced(place, observable)
        for name, variable in checked[label].variables.items():
            if name in RESERVED:
                raise GlassyrunError(f'{place}: the name "{name}" is that of a coordinate; give it another with name = "…"')
            if name in owner:
                raise GlassyrunError(
                    f"observables: {owner[name]!r} and {label!r} both bring the variable {name!r}; "
                    'give one of them another name with name = "…"'
                )
            owner[name] = label
            for dim, values in variable.coords.items():
                ours = values if isinstance(values, range) else list(values)
                first, known = coordinates.setdefault(dim, (label, ours))
                if known != ours and list(known) != list(ours):
                    raise GlassyrunError(
                        f"observables: {first!r} and {label!r} have different values of {dim!r}; leave one of them out"
                    )
    for dim in coordinates.keys() & owner.keys():
        raise GlassyrunError(
            f"observables: the variable {dim!r} of {owner[dim]!r} has the name of a dimension of {coordinates[dim][0]!r}; "
            'give it another with name = "…"'
        )
    return checked


def _announced(place: str, observable: object) -> Observable:
    if not isinstance(observable, Observable):
        raise PluginError(
            f"{place}: its plugin built {type(observable).__name__}, expected a glassyrun.Observable; mend the plugin"
        )
    if getattr(observable, "grid", None) not in get_args(Grid):
        raise PluginError(
            f"{place}: its grid is {getattr(observable, 'grid', None)!r}, expected one of {', '.join(get_args(Grid))}"
        )
    variables = getattr(observable, "variables", None)
    if not isinstance(variables, Mapping) or not all(isinstance(v, Variable) for v in variables.values()):
        raise PluginError(f"{place}: its variables are {variables!r}, expected a mapping from names to glassyrun.Variable")
    for name, variable in variables.items():
        if (
            "replica" not in variable.dims[:1]
            or set(variable.dims[1:]) != set(variable.coords)
            or set(variable.coords) & set(RESERVED)
        ):
            raise PluginError(
                f"{place}: {name} has dims {variable.dims} and coords {sorted(variable.coords)}, expected replica first, "
                f"then dimensions with coords, none of them called {', '.join(RESERVED)}"
            )
        if variable.dtype not in DTYPES:
            raise PluginError(
                f"{place}: {name} has the dtype {variable.dtype!r}, expected one of {', '.join(DTYPES)}; mend the plugin"
            )
        if not all(isinstance(text, str | int | float) for text in variable.attributes.values()):
            raise PluginError(f"{place}: {name} has attributes {dict(variable.attributes)!r}, expected text and numbers")
    return observable
