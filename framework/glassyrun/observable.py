"""An Observable: what is measured, on which grid, and what it must remember for that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar

import attrs
from torch import Tensor

from glassyrun.clock import Clock
from glassyrun.dynamics import Dynamics
from glassyrun.schedule import Schedule
from glassyrun.state import State
from glassyrun.system import System

Grid = Literal["time", "t_w", "pairs"]
T = TypeVar("T")

TIME = "time"
"""The unit of a variable that is a time."""


@attrs.frozen
class Variable:
    """A variable of the result, before the grid and the sample are added as dimensions."""

    long_name: str
    units: str = "1"
    """`TIME` stands for the unit of time of the run, which the result names: "step" under SGD."""
    dims: tuple[str, ...] = ("replica",)
    coords: Mapping[str, Any] = attrs.field(factory=dict)
    """Values of dimensions beyond `replica`, for example `block`; a `range` for a dimension as long as x costs nothing."""
    attributes: Mapping[str, str | float] = attrs.field(factory=dict)
    dtype: Literal["float64", "float32"] = "float64"
    """Of the numbers that are kept; float32 halves the size of whole configurations."""


@attrs.define(eq=False)
class Reference:
    """What was remembered at t_w: a State that is a frozen x, or one that lives on (a twin)."""

    since: int
    state: State


@attrs.define(eq=False)
class Snapshot:
    """What an Observable may look at. It must not change any of it."""

    system: System
    dynamics: Dynamics
    """The stage of the protocol that moves the State on from here."""
    state: State
    clock: Clock = attrs.field(default=attrs.Factory(lambda now: Clock.single(now.dynamics.dt), takes_self=True), repr=False)
    """Of the run; by default that of one stage of `dynamics`."""
    _shared: dict[Hashable, Any] = attrs.field(factory=dict, repr=False)

    @property
    def time(self) -> float:
        """The time now, in units of the dynamics."""
        return self.time_of(self.state.step)

    def time_of(self, step: int) -> float:
        """The time at a step, such as `Reference.since`."""
        return self.clock.time(step)

    @property
    def recalibrated(self) -> State:
        """`state` with memory that does not lag behind its x, recomputed once for all observables that ask for it."""
        return self.once(_recalibrated)

    def once(self, reading: Callable[..., T], *arguments: Any) -> T:
        """`reading(self, *arguments)`, computed once however many observables ask for it."""
        key = (reading, *(id(argument) for argument in arguments))
        if key not in self._shared:
            self._shared[key] = (
                reading(self, *arguments),
                arguments,
            )  # the arguments are kept alive, so that no id is used twice
        return self._shared[key][0]

    def forget(self, argument: Any) -> None:
        """Drops what was shared about `argument`: a pair that has been read is not asked for again."""
        self._shared = {key: kept for key, kept in self._shared.items() if not any(a is argument for a in kept[1])}


def _recalibrated(now: Snapshot) -> State:
    return now.system.recalibrated(now.state)


def frozen_copy(now: Snapshot) -> State:
    """One copy of x that all observables of a t_w share."""
    return State(now.state.x.clone(), now.state.step)


class Observable(ABC):
    """One measurement.

    `grid` says when `read` is called: at every point of the one-time grid (`time`), at every waiting time (`t_w`), or at
    every pair (t_w, t_w + t) (`pairs`), with the reference of that t_w.
    """

    grid: ClassVar[Grid]
    variables: Mapping[str, Variable]

    @cached_property
    def memory(self) -> dict[str, Tensor]:
        """What this observable carries from one reading to the next, by name; empty at first.

        It is part of every checkpoint, so that a resumed run reads what an uninterrupted one does.
        """
        return {}

    def suits(self, stages: Sequence[Dynamics], schedule: Schedule) -> None:
        """Whether there is anything to measure under these stages of the protocol and on these grids.

        Called once, before anything is read.

        Raises:
            Refusal: if it could measure nothing, or not what it was asked for.
        """

    def wants(self, clock: Clock, since: int, step: int) -> bool:
        """Whether a pair is read, by the steps of t_w and of t_w + t; one that is not is NaN and costs nothing. All are."""
        return True

    def remember(self, now: Snapshot) -> State:
        """What to keep at t_w; by default one copy of x, shared by all observables."""
        return now.once(frozen_copy)

    def follow(self, now: Snapshot, then: Reference) -> None:
        """Brings a reference that lives on up to now; called after every chunk of steps, which lies within one stage of a protocol.

        Where a stage ends, a reference whose State has come along, step by step, is handed to the next one with the run's own
        State. The default keeps it frozen.
        """

    @abstractmethod
    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        """One device tensor for each variable, of its dims; no copy to the host. `then` is None except on `pairs`."""
