"""From the grids of a spec to one sorted list of integer steps, and what is measured at each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from glassyrun.clock import Clock
from glassyrun.errors import Refusal
from glassyrun.protocol import ROUNDING, clock_of
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
    """All grids in steps, and the clock that gives their times."""

    clock: Clock
    horizon: int
    time: tuple[int, ...]
    t_w: tuple[int, ...]
    t: tuple[int, ...]
    """Lags, in units of the shortest time step."""

    @classmethod
    def of(cls, spec: Spec) -> Schedule:
        """The schedule of a spec.

        Raises:
            Refusal: if a grid or a stage is impossible.
        """
        options = spec.schedule
        clock, horizon = clock_of(spec.stages, options.horizon)
        end = clock.time(horizon)
        first = clock.stretches[0].dt
        time = _grid("time", options.time, first, end, end, clock.step)
        if not isinstance(options.time, list) and options.time.to is None:
            time = tuple(sorted({*time, horizon}))  # where it ends is what one looks at first
        half = _last_before(clock, end / 2)
        t_w = _grid("t_w", options.t_w, first, end, half, clock.step)
        t = _grid("t", options.t, clock.shortest, end, end, clock.lag)
        if len(t_w) * len(t) > MOST_EVENTS:
            raise Refusal(
                f"schedule: {len(t_w)} waiting times by {len(t)} lags are {len(t_w) * len(t)} pairs, "
                f"more than the limit of {MOST_EVENTS}; take coarser grids"
            )
        return cls(clock, horizon, time, t_w, t)

    def coordinate(self, grid: str) -> NDArray[np.float64]:
        """The times of a grid as they are really measured, rounded to 12 digits."""
        steps: tuple[int, ...] = getattr(self, grid)
        times = [step * self.clock.shortest if grid == "t" else self.clock.time(step) for step in steps]
        return np.array([rounded(time) for time in times])

    def axes(self, unit: str) -> dict[str, dict[str, Any]]:
        """Coordinates along the grids: times, and beside them steps and the time along the gradient flow.

        Those of lags are left out where a step is not the same in all stages.
        """
        clock = self.clock
        axes: dict[str, dict[str, Any]] = {}
        for grid, name in (("time", "time"), ("t_w", "waiting time"), ("t", "time since t_w")):
            lag, steps = grid == "t", getattr(self, grid)
            axes[grid] = {"values": self.coordinate(grid).tolist(), "long_name": name, "units": unit}
            if not lag or clock.even:
                axes[f"{grid}_step"] = {"values": list(steps), "along": grid, "long_name": f"{name} in steps", "units": "step"}
            if not lag or (clock.even and clock.flows_evenly):
                axes[f"{grid}_flow"] = {
                    "values": [rounded(clock.flow(step)) for step in steps],
                    "along": grid,
                    "long_name": f"{name} along the gradient flow",
                    "units": "1",
                }
        return axes

    def points(self) -> dict[str, int]:
        """Readings that each grid of an Observable asks for, at most."""
        return {"time": len(self.time), "t_w": len(self.t_w), "pairs": len(self.t_w) * len(self.t)}

    def events(self) -> list[Event]:
        """Everything that is measured, in the order of time."""
        time = {step: index for index, step in enumerate(self.time)}
        waiting = {step: index for index, step in enumerate(self.t_w)}
        pairs: dict[int, list[tuple[int, int]]] = {}
        for i, since in enumerate(self.t_w):
            for j, step in self.later(since):
                pairs.setdefault(step, []).append((i, j))
        steps = sorted({*time, *waiting, *pairs})
        return [Event(step, time.get(step), waiting.get(step), tuple(pairs.get(step, ()))) for step in steps]

    def last_use(self) -> list[int]:
        """For each waiting time, the last step at which its reference is read."""
        return [max((step for _, step in self.later(since)), default=since) for since in self.t_w]

    def needed_after(self, step: int) -> set[int]:
        """Indices of the waiting times up to a step whose references are read later than that."""
        return {i for i, (since, last) in enumerate(zip(self.t_w, self.last_use(), strict=True)) if since <= step < last}

    def between(self) -> int:
        """Pairs within the horizon that are not measured, because t_w + t falls between two steps."""
        end = self.clock.time(self.horizon) * (1 + ROUNDING)
        lags = np.array(self.t) * self.clock.shortest
        within = sum(int((self.clock.time(since) + lags <= end).sum()) for since in self.t_w)
        return within - sum(len(self.later(since)) for since in self.t_w)

    def later(self, since: int) -> list[tuple[int, int]]:
        """Index of the lag and step of t_w + t, wherever that is a step of the run."""
        if self.clock.even:
            return [(j, since + lag) for j, lag in enumerate(self.t) if since + lag <= self.horizon]
        times = self.clock.time(since) + np.array(self.t) * self.clock.shortest
        steps, falls = self.clock.steps(times)
        there = np.flatnonzero(falls & (steps <= self.horizon))
        return list(zip(there.tolist(), steps[there].tolist(), strict=True))


def rounded(time: float) -> float:
    """A time as a coordinate."""
    return float(f"{time:.{DIGITS}g}")


def _last_before(clock: Clock, time: float) -> float:
    """The time of the last step that is not later."""
    step = clock.step(time)
    return clock.time(step if clock.time(step) <= time * (1 + ROUNDING) else step - 1)


def _grid(
    name: str, grid: GridSpec, first: float, end: float, furthest: float, to_step: Callable[[float], int]
) -> tuple[int, ...]:
    """Steps of one grid: requested times to the nearest step, sorted, each once; by default they go as far as `furthest`."""
    times = grid if isinstance(grid, list) else _points(grid, first, furthest if grid.to is None else None)
    if not isinstance(grid, list) and grid.to is not None and grid.from_ > grid.to:
        raise Refusal(f"schedule.{name}: found from = {grid.from_} after to = {grid.to}; from must be the smaller one")
    if times and max(times) > end * (1 + ROUNDING) and to_step(max(times)) > to_step(end):
        raise Refusal(
            f"schedule.{name}: found the time {max(times)} beyond the horizon {end:.12g}; lower it or raise schedule.horizon"
        )
    steps = tuple(sorted({to_step(time) for time in times}))
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
