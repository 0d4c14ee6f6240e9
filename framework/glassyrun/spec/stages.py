"""What the stages of a protocol say against each other and against the horizon."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from glassyrun.errors import GlassyrunError
from glassyrun.options import DynamicsOptions
from glassyrun.protocol import ROUNDING
from glassyrun.spec.problems import Path

MOST_STEPS = 10**13
"""Below 2**53, so that every step has a time of its own in double precision."""
FURTHEST_FLOW = 1e100
"""Of one step along the gradient flow: all steps together stay a number."""

Complain = Callable[..., Any]


def check_stages(dynamics: object, horizon: float | None, complain: Complain) -> float | None:
    """Complains of stages; the shortest time step, or None where it isn't known.

    `dynamics` is what the spec has there, as far as it could be read: one table, or an array of them.
    """
    listed = isinstance(dynamics, list)
    stages = list(dynamics) if listed else [dynamics]
    places: list[Path] = [("dynamics", number) if listed else ("dynamics",) for number in range(len(stages))]
    steps = [
        _time_step(stage, place, complain) if isinstance(stage, DynamicsOptions) else None
        for stage, place in zip(stages, places, strict=True)
    ]
    known = [step for step in steps if step is not None]
    if horizon is not None and len(known) == len(stages) > 0:
        _check_ends(stages, known, places, horizon, complain)
    return min(known, default=None)


def _time_step(dynamics: DynamicsOptions, place: Path, complain: Complain) -> float | None:
    try:
        step = float(dynamics.time_step)
    except GlassyrunError as error:
        return complain(place, str(error))
    except Exception as error:  # noqa: BLE001 -- a plugin's property
        return complain(place, f"time_step of {type(dynamics).__name__} raised {type(error).__name__}: {error}")
    if not (math.isfinite(step) and step > 0):
        return complain(place, f"a step takes {step} units of time", "a finite time > 0")
    try:
        flow = float(dynamics.flow_step)
    except Exception as error:  # noqa: BLE001 -- a plugin's property
        return complain(place, f"flow_step of {type(dynamics).__name__} raised {type(error).__name__}: {error}")
    if not abs(flow) <= FURTHEST_FLOW:
        return complain(place, f"a step goes {flow:g} along the gradient flow", f"at most {FURTHEST_FLOW:g}")
    return step


def _check_ends(
    stages: Sequence[DynamicsOptions], steps: Sequence[float], places: Sequence[Path], horizon: float, complain: Complain
) -> None:
    """Each stage against the end of the one before it; no further than the first that is wrong."""
    since = 0.0
    for number, (stage, step, place) in enumerate(zip(stages, steps, places, strict=True)):
        last, field = number == len(stages) - 1, (*place, "until")
        if last and not _ends_with_the_run(stage.until, horizon, field, number, complain):
            return
        if not last and not _ends_within(stage.until, since, horizon, field, number, complain):
            return
        ends = horizon if last or stage.until is None else stage.until
        if not _takes_steps(ends, since, step, ("schedule", "horizon") if last else field, number, complain):
            return
        since = ends


def _ends_with_the_run(until: float | None, horizon: float, field: Path, number: int, complain: Complain) -> bool:
    if until is None or abs(until - horizon) <= ROUNDING * horizon:
        return True
    hint = "leave it out" if number else "leave it out, or make [[dynamics]] an array and add the stage that follows"
    complain(field, f"found {until:g}, but the {'last stage' if number else 'run'} ends at {horizon:g}", f"{horizon:g}", hint)
    return False


def _ends_within(until: float | None, since: float, horizon: float, field: Path, number: int, complain: Complain) -> bool:
    between = f"a time between {since:g} and the horizon, {horizon:g}"
    if until is None:
        complain(field, "missing", f"the time at which dynamics.{number + 1} begins, {between}")
    elif until <= since:
        complain(
            field, f"found {until:g}, a stage that ends before it begins: dynamics.{number - 1} lasts until {since:g}", between
        )
    elif until > horizon * (1 + ROUNDING):
        complain(field, f"found {until:g}, beyond the end of the run", between)
    elif until >= horizon * (1 - ROUNDING):
        complain(field, f"found {until:g}, the end of the run, which leaves no time for dynamics.{number + 1}", between)
    else:
        return True
    return False


def _takes_steps(ends: float, since: float, step: float, field: Path, number: int, complain: Complain) -> bool:
    """Whether a stage has a step, and no more than can be counted."""
    span = ends - since
    begun = f" after its stage begins at {since:g}" if number or field[0] == "dynamics" else ""
    if span < step * (1 - ROUNDING) - ROUNDING * ends:
        found = f"found {ends:g}, which is less than one step of {step:g}{begun}" if begun else ""
        found = found or f"found {ends:g}, which is shorter than one step of {step:g}"
        complain(field, found, f"at least {since + step:g}")
    elif span / step > MOST_STEPS:
        complain(field, f"found {ends:g}, which takes {span / step:.3g} steps of {step:g}", f"at most {MOST_STEPS:.0e} steps")
    else:
        return True
    return False
