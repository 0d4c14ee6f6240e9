"""From the grids of a spec to one sorted list of integer steps, and what is measured at each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from glassyrun.errors import Refusal
from glassyrun.spec.model import MOST_EVENTS, GridSpec, LinearGrid, LogGrid, Spec

DIGITS = 12
"""Coordinates are rounded to these digits: 15·0.02 and 3·0.1 are different floats, and xarray would drop the point."""


@attrs.frozen
class Event:
    """What is due at one step: indices into the grids."""

    step: int
    time: int | None = None
    t_w: int | None = None
    pairs: tuple[tuple[int, int], ...] = ()
    """(index of t_w, index of t) of all pairs with t_w + t at this step."""


@attrs.frozen
class Schedule:
    """All grids in steps; the times really measured are steps × dt."""

    dt: float
    horizon: int
    time: tuple[int, ...]
    t_w: tuple[int, ...]
    t: tuple[int, ...]

    @classmethod
    def of(cls, spec: Spec) -> Schedule:
        """The schedule of a spec.

        Raises:
            Refusal: if a grid is impossible.
        """
        dt, options = spec.dynamics.time_step, spec.schedule
        horizon = round(options.horizon / dt)
        if horizon < 1:
            raise Refusal(
                f"schedule.horizon: found {options.horizon}, which is less than one time step of {dt}; raise it to {dt} or more"
            )
        time = _grid("time", options.time, dt, horizon, horizon)
        if not isinstance(options.time, list) and options.time.to is None:
            time = tuple(sorted({*time, horizon}))  # where it ends is what one looks at first
        t_w = _grid("t_w", options.t_w, dt, horizon, horizon // 2)
        t = _grid("t", options.t, dt, horizon, horizon)
        if len(t_w) * len(t) > MOST_EVENTS:
            raise Refusal(
                f"schedule: {len(t_w)} waiting times by {len(t)} lags are {len(t_w) * len(t)} pairs, "
                f"more than the limit of {MOST_EVENTS}; take coarser grids"
            )
        return cls(dt, horizon, time, t_w, t)

    def coordinate(self, grid: str) -> NDArray[np.float64]:
        """The times of a grid as they are really measured, rounded to 12 digits."""
        steps: tuple[int, ...] = getattr(self, grid)
        return np.array([float(f"{step * self.dt:.{DIGITS}g}") for step in steps])

    def points(self) -> dict[str, int]:
        """Readings that each grid of an Observable asks for, at most."""
        return {"time": len(self.time), "t_w": len(self.t_w), "pairs": len(self.t_w) * len(self.t)}

    def events(self) -> list[Event]:
        """Everything that is measured, in the order of time."""
        time = {step: index for index, step in enumerate(self.time)}
        waiting = {step: index for index, step in enumerate(self.t_w)}
        pairs: dict[int, list[tuple[int, int]]] = {}
        for i, since in enumerate(self.t_w):
            for j, lag in enumerate(self.t):
                if since + lag <= self.horizon:
                    pairs.setdefault(since + lag, []).append((i, j))
        steps = sorted({*time, *waiting, *pairs})
        return [Event(step, time.get(step), waiting.get(step), tuple(pairs.get(step, ()))) for step in steps]

    def last_use(self) -> list[int]:
        """For each waiting time, the last step at which its reference is read."""
        return [since + max((lag for lag in self.t if since + lag <= self.horizon), default=0) for since in self.t_w]


def _grid(name: str, grid: GridSpec, dt: float, horizon: int, furthest: int) -> tuple[int, ...]:
    """Steps of one grid: requested times to the nearest step, sorted, each once."""
    end = furthest * dt if not isinstance(grid, list) and grid.to is None else None
    times = grid if isinstance(grid, list) else _points(grid, dt, end)
    if not isinstance(grid, list) and grid.to is not None and grid.from_ > grid.to:
        raise Refusal(f"schedule.{name}: found from = {grid.from_} after to = {grid.to}; from must be the smaller one")
    if times and max(times) > horizon * dt * (1 + 1e-9) and round(max(times) / dt) > horizon:
        raise Refusal(
            f"schedule.{name}: found the time {max(times)} beyond the horizon {horizon * dt:.12g}; "
            "lower it or raise schedule.horizon"
        )
    steps = tuple(sorted({round(time / dt) for time in times}))
    if not steps:
        raise Refusal(f"schedule.{name}: the grid has no point; its end must not lie before its beginning")
    return steps


def _points(grid: LogGrid | LinearGrid, dt: float, end: float | None) -> Sequence[float]:
    to = end if end is not None else grid.to
    assert to is not None
    if isinstance(grid, LinearGrid):
        return [float(value) for value in np.linspace(grid.from_, to, grid.n)]
    start = grid.from_ or dt
    count = math.floor(grid.per_decade * math.log10(to / start) + 1e-9) + 1 if to >= start else 0
    points = [start * 10 ** (k / grid.per_decade) for k in range(count)]
    # an end that the user gave is measured; the default one is not, so that a longer horizon keeps every old pair
    return [*([0.0] if grid.from_ == 0 else []), *points, *([to] if end is None and to >= start else [])]
