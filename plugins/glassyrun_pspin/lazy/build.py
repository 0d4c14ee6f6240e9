"""From options to a p-spin whose disorder is drawn where the dynamics looks, and how much memory that will take."""

from __future__ import annotations

import math
from bisect import bisect_right

import torch

from glassyrun import Context, Footprint, Refusal, available
from glassyrun_pspin.lazy.size import MOST_ROOM, Size
from glassyrun_pspin.lazy.system import LazyPSpin
from glassyrun_pspin.model import Model

MOST_AXES = MOST_ROOM
MOST_SPINS = 100_000_000
"""Spins that are written down one by one."""


def lazy_footprint(asked: Model, room: int | None, context: Context, notes: tuple[str, ...]) -> Footprint:
    """Room for x, memory at the end of the run, and what it is made of.

    Raises:
        Refusal: if an observable reads spins that are not written down, if there are too many of them, or if the run needs more memory than
            there is.
    """
    journey = context.journey
    size = Size(asked.coefficients, asked.n, journey)
    if room is not None and journey.components:
        raise Refusal(
            f"observables.{journey.components}: reads x component by component, and with overlaps alone there are none; set "
            'system.coordinates = "spins", or leave it out'
        )
    if room is None and asked.n > MOST_SPINS:
        raise Refusal(
            f'system.n = {asked.n:g} with coordinates = "spins": expected at most {MOST_SPINS:g}; leave coordinates out, or take a '
            "smaller n"
        )
    _check_fit(size, room)
    dof = int(asked.n) if room is None else room
    form = "spins written down one by one" if room is None else f"overlaps only, room for {room} axes"
    told = f"about {size.directions()} directions of the disorder will be drawn; {form}"
    return Footprint(dof, 0, size.bytes(room), 0, (told, *notes))


def _check_fit(size: Size, room: int | None) -> None:
    """Refuses a run whose frame will not fit, with the number of steps that does."""
    free, steps = available(torch.device("cpu")), size.journey.steps
    needed = size.bytes(room)
    if needed <= free:
        return
    fits = bisect_right(range(steps), free, key=lambda k: size.after(k).bytes(room)) - 1
    fewer = ", more with fewer observables that follow trajectories of their own" if size.journey.foreign else ""
    raise Refusal(
        f"schedule.horizon: {steps} steps will draw about {size.directions()} directions of the disorder, {needed / 1e9:.3g} GB, and "
        f"{free / 1e9:.3g} GB are free; {max(0, fits)} steps fit{fewer}"
    )


def build_lazy(
    asked: Model, room: int | None, pivot_tolerance: float | None, direction_tolerance: float | None, context: Context
) -> LazyPSpin:
    """The disorder of the sample `context.sample`, of which nothing is drawn yet.

    Whether it fits is asked once a run, of `lazy_footprint`.
    """
    assert pivot_tolerance is not None
    assert direction_tolerance is not None
    start = asked.initial_temperature
    return LazyPSpin(
        asked.coefficients,
        asked.n if math.isinf(asked.n) else int(asked.n),
        context,
        room=room,
        planted=0.0 if start is None else 1 / start,
        pivot_tolerance=pivot_tolerance,
        direction_tolerance=direction_tolerance,
    )
