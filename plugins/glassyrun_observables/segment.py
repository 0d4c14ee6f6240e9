"""The energy on the way from x(t_w) to x(t_w + t), as the crow flies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from glassyrun import (
    Clock,
    Context,
    Dynamics,
    Grid,
    Observable,
    Reference,
    Refusal,
    Schedule,
    Snapshot,
    State,
    System,
    Variable,
    described,
)
from glassyrun_observables.energy import Look, ReadEnergyOptions

Times = Annotated[tuple[Annotated[float, described("a time", ge=0)], ...], described("times", min_length=1, strict=False)]


class SegmentOptions(ReadEnergyOptions):
    """Energy on the straight segment from x(t_w) to x(t_w+t), and its highest point above the larger end (barrier).

    E(s) of (1 − s) x(t_w) + s x(t_w+t), put back on the sphere where there is one (Goodfellow, Vinyals and Saxe, ICLR 2015);
    the barrier max_s E(s) − max(E(0), E(1)) is an upper bound of what any path must climb (Draxler et al., ICML 2018), and 0
    where no point is above both ends. Running statistics of batch norm are interpolated along with x, or recomputed at each
    point (`recalibrate`). Dear: each pair costs `points` passes over the terms, so give `terms`, or the few `t_w` and `t`
    that are wanted, as the result's coordinates have them.
    """

    kind: Literal["segment"] = "segment"
    points: Annotated[int, described("points of the segment, both ends included", ge=3, le=10_000)] = 11
    t_w: Annotated[Times | None, described("read only these waiting times of the grid, NaN elsewhere; default: all")] = None
    t: Annotated[Times | None, described("read only these lags of the grid, NaN elsewhere; default: all")] = None

    def build(self, context: Context, system: System) -> Segment:
        look = self.look(context, system)
        about = self.about(look, system)
        dim = "fraction" if self.name is None else f"{self.name}_fraction"
        fractions = np.linspace(0, 1, self.points).tolist()
        name = system.energy_name
        variables = {
            self.label: Variable(f"{name} on the segment since the waiting time", "1", ("replica", dim), {dim: fractions}, about),
            f"{self.label}_barrier": Variable(f"highest {name} on the segment above the larger end", attributes=about),
        }
        return Segment(self.label, look, fractions, (self.t_w, self.t), variables)


class Segment(Observable):
    """E(s), [replica, fraction], and max_s E(s) − max(E(0), E(1)), [replica]; both of energy / energy_scale."""

    grid: ClassVar[Grid] = "pairs"

    def __init__(
        self,
        label: str,
        look: Look,
        fractions: list[float],
        only: tuple[tuple[float, ...] | None, tuple[float, ...] | None],
        variables: dict[str, Variable],
    ) -> None:
        self.label, self.look, self.fractions, self.variables = label, look, fractions, variables
        self.only_t_w, self.only_t = only

    def suits(self, stages: Sequence[Dynamics], schedule: Schedule) -> None:
        self._refuse_between(schedule, "t_w", self.only_t_w, schedule.clock.step)
        self._refuse_between(schedule, "t", self.only_t, schedule.clock.lag)
        if self.only_t_w is None and self.only_t is None:
            return
        pairs = ((schedule.t_w[i], event.step) for event in schedule.events() for i, _ in event.pairs)
        if not any(self.wants(schedule.clock, since, step) for since, step in pairs):
            raise Refusal(
                f"observables.{self.label}: none of the pairs that it asks for has t_w + t at a step of the run; take smaller t, or "
                "raise schedule.horizon"
            )

    def _refuse_between(
        self, schedule: Schedule, grid: Literal["t_w", "t"], wanted: Sequence[float] | None, to_step: Callable[[float], int]
    ) -> None:
        """Raises a Refusal where a time that is wanted is no point of a grid: it would be NaN without a word."""
        for time in wanted or ():
            if to_step(time) not in getattr(schedule, grid):
                times = schedule.coordinate(grid)
                nearest = times[abs(times - time).argmin()]
                raise Refusal(
                    f"observables.{self.label}.{grid}: found {time:.12g}, which is no point of the grid schedule.{grid}; take "
                    f"{nearest:.12g}, the nearest, or add {time:.12g} to the grid"
                )

    def wants(self, clock: Clock, since: int, step: int) -> bool:
        lag = clock.lag(clock.time(step) - clock.time(since))
        return self._begins(clock, since) and (self.only_t is None or any(clock.lag(time) == lag for time in self.only_t))

    def remember(self, now: Snapshot) -> State:
        """x, which all observables share, and beside it the System's memory, where that is read."""
        shared = super().remember(now)
        if not now.state.system or self.look.recalibrate or not self._begins(now.clock, now.state.step):
            return shared
        return State(shared.x, shared.step, {name: value.clone() for name, value in now.state.system.items()})

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        energy = torch.stack([*self._before_the_end(now, then.state), self.look.now(now)], 1)
        barrier = energy.amax(1) - torch.maximum(energy[:, 0], energy[:, -1])
        return {self.label: energy, f"{self.label}_barrier": barrier}

    def _before_the_end(self, now: Snapshot, then: State) -> Iterator[Tensor]:
        """The energy at all fractions but the last, [replica] each; one configuration at a time."""
        for fraction in self.fractions[:-1]:
            yield self.look.at(now.system, between(now.system, then, now.state, fraction))

    def _begins(self, clock: Clock, since: int) -> bool:
        """Whether segments from the waiting time at `since` are wanted."""
        return self.only_t_w is None or any(clock.step(time) == since for time in self.only_t_w)


def between(system: System, start: State, end: State, fraction: float) -> State:
    """The State at `fraction` of the way, on the manifold; memory that is a floating-point number goes along, other memory is
    that of the end."""
    if fraction == 0:
        return State(start.x, end.step, {**end.system, **start.system})
    memory = {
        name: torch.lerp(start.system[name], value, fraction) if _goes_along(start.system.get(name), value) else value
        for name, value in end.system.items()
    }
    return State(system.manifold.retract(torch.lerp(start.x, end.x, fraction)), end.step, memory)


def _goes_along(before: Tensor | None, value: Tensor) -> bool:
    return before is not None and value.is_floating_point() and before.shape == value.shape
