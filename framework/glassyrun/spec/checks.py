"""What no single table can know: grids against the horizon, samples against the system, labels against each other.

The exact grid of steps is `glassyrun.schedule`'s; here is what can be said of the fields as they stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from glassyrun.options import ObservableOptions, SystemOptions
from glassyrun.protocol import ROUNDING
from glassyrun.spec.model import MOST_EVENTS, MOST_NUMBERS, MOST_POINTS, EnsembleOptions, LinearGrid, LogGrid, ScheduleOptions
from glassyrun.spec.problems import Path, counted
from glassyrun.spec.stages import MOST_STEPS, check_stages

Complain = Callable[..., Any]
Grid = list[float] | LogGrid | LinearGrid


def check(parts: Mapping[str, Any], complain: Complain) -> None:
    """Complains of what the readable tables say against each other."""
    schedule, system, ensemble = parts.get("schedule"), parts.get("system"), parts.get("ensemble")
    horizon = schedule.horizon if isinstance(schedule, ScheduleOptions) else None
    step = check_stages(parts.get("dynamics"), horizon, complain)
    if isinstance(schedule, ScheduleOptions):
        for name in ("time", "t_w", "t"):
            _check_grid(getattr(schedule, name), schedule.horizon, ("schedule", name), complain)
        if step is None or schedule.horizon / step <= MOST_STEPS:  # else the horizon is what is wrong
            events = _check_events(schedule, step, complain)
            if isinstance(ensemble, EnsembleOptions) and events <= MOST_EVENTS:
                _check_numbers(ensemble, events, complain)
    if isinstance(system, SystemOptions) and isinstance(ensemble, EnsembleOptions):
        _check_samples(system, ensemble, complain)
    observables = parts.get("observables")
    if isinstance(observables, list):
        _check_labels(observables, complain)


def _check_grid(grid: Grid, horizon: float, place: Path, complain: Complain) -> None:
    most = horizon * (1 + ROUNDING)
    beyond = f"at most the horizon, {horizon:g}"
    if isinstance(grid, list):
        for index, (before, after) in enumerate(pairwise(grid), 1):
            if after <= before:
                complain((*place, index), f"found {after!r} after {before!r}", "times that increase")
                break
        if grid and max(grid) > most:
            index = next(index for index, time in enumerate(grid) if time > most)
            complain((*place, index), f"found {grid[index]!r}, beyond the end of the run", beyond)
        return
    if grid.to is not None and grid.to > most:
        complain(
            (*place, "to"), f"found {grid.to!r}, beyond the end of the run", f"{beyond}, or nothing for as far as it lets it"
        )
    if grid.from_ > most:
        complain((*place, "from"), f"found {grid.from_!r}, beyond the end of the run", beyond)
    elif grid.to is not None and grid.from_ > grid.to:
        complain((*place, "from"), f"found {grid.from_!r}, which is later than to = {grid.to!r}", f"at most {grid.to!r}")


def grid_points(grid: Grid, horizon: float, step: float | None) -> float:
    """Points of a grid at most: a logarithmic one can't have more than steps."""
    if isinstance(grid, list):
        return len(grid)
    if isinstance(grid, LinearGrid):
        return grid.n
    first, last = grid.from_ or step or 1.0, grid.to or horizon
    return 2 + max(0.0, math.log10(max(last, 1e-300) / max(first, 1e-300))) * grid.per_decade


def _check_events(schedule: ScheduleOptions, step: float | None, complain: Complain) -> float:
    """Complains of grids that are too fine; how many readings of one replica they ask for."""
    points = {name: grid_points(getattr(schedule, name), schedule.horizon, step) for name in ("time", "t_w", "t")}
    for name, number in points.items():
        if number > MOST_POINTS + 2:
            complain(("schedule", name), f"asks for {number:.0f} points", f"at most {MOST_POINTS:,} in one grid")
    events = points["time"] + points["t_w"] * points["t"]
    if events > MOST_EVENTS and max(points.values()) <= MOST_POINTS + 2:
        told = f"asks for {points['t_w']:.0f} waiting times with {points['t']:.0f} lags each: about {events:.3g} readings"
        complain(("schedule",), told, f"at most {MOST_EVENTS:,}", "thin out schedule.t_w or schedule.t")
    return events


def _check_numbers(ensemble: EnsembleOptions, events: float, complain: Complain) -> None:
    numbers = events * ensemble.samples * ensemble.replicas
    if numbers > MOST_NUMBERS:
        runs = f"{counted(ensemble.samples, 'sample')} of {counted(ensemble.replicas, 'replica')}"
        told = f"{runs} with {events:.0f} readings each are {numbers:.3g} numbers"
        complain(("ensemble",), told, f"at most {MOST_NUMBERS:,}", "take fewer, or thin out the grids of schedule")


def _check_samples(system: SystemOptions, ensemble: EnsembleOptions, complain: Complain) -> None:
    if ensemble.samples > 1 and not system.disordered:
        told = f'found {ensemble.samples}, but this system "{system.kind}" has no disorder and all samples would be the same'
        complain(
            ("ensemble", "samples"),
            told,
            "1",
            ", ".join(filter(None, (system.disorder_from, "ensemble.replicas gives several runs on one system"))),
        )


def _check_labels(observables: list[Any], complain: Complain) -> None:
    first: dict[str, int] = {}
    for index, observable in enumerate(observables):
        if not isinstance(observable, ObservableOptions):
            continue
        label = observable.label
        if label in first:
            place = (index, "name") if observable.name else (index,)
            told = f"the label '{label}' is taken by observables.{first[label]}"
            complain(("observables", *place), told, hint=f'give one of them another name, for example name = "{label}_2"')
        first.setdefault(label, index)
