"""What time it is at a step of a protocol, and at which step a time is reached."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

ON_A_STEP = 1e-6
"""Distance from a step, in steps, that is rounding."""


@attrs.frozen
class Stretch:
    """The steps of one stage of a protocol: from `begins` on, `dt` of time and `flow_step` of gradient flow each."""

    begins: int
    since: float
    """Time at step `begins`."""
    dt: float
    flow_since: float
    """Time along the gradient flow at step `begins`."""
    flow_step: float


@attrs.frozen
class Clock:
    """Time as a function of the step, piecewise linear: the sum of each stage's own time (steps for SGD, dt for Langevin).

    Beside it runs the time along the gradient flow, dt·step or α·step/(1−β), in which a step of SGD and a step of gradient
    descent can be compared.
    """

    stretches: tuple[Stretch, ...]
    """In the order of time; the first begins at step 0, the last goes on for ever."""

    @classmethod
    def single(cls, dt: float, flow_step: float | None = None) -> Clock:
        """The clock of one stage."""
        return cls((Stretch(0, 0.0, dt, 0.0, dt if flow_step is None else flow_step),))

    @classmethod
    def joined(cls, steps: Sequence[int], dts: Sequence[float], flow_steps: Sequence[float]) -> Clock:
        """The clock of stages one after another; `steps` has the length of all but the last."""
        stretches = [Stretch(0, 0.0, dts[0], 0.0, flow_steps[0])]
        for count, dt, flow_step in zip(steps, dts[1:], flow_steps[1:], strict=True):
            last = stretches[-1]
            since, flow_since = last.since + count * last.dt, last.flow_since + count * last.flow_step
            stretches.append(Stretch(last.begins + count, since, dt, flow_since, flow_step))
        return cls(tuple(stretches))

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The steps at which a stage begins, but for the first."""
        return tuple(stretch.begins for stretch in self.stretches[1:])

    def lengths(self, horizon: int) -> list[int]:
        """Steps of each stage of a run that ends at step `horizon`."""
        begins = [stretch.begins for stretch in self.stretches]
        return [end - begin for begin, end in zip(begins, [*begins[1:], horizon], strict=True)]

    @property
    def shortest(self) -> float:
        """The smallest time per step: lags are multiples of it."""
        return min(stretch.dt for stretch in self.stretches)

    @property
    def even(self) -> bool:
        """Whether a step takes the same time in all stages."""
        return len({stretch.dt for stretch in self.stretches}) == 1

    @property
    def flows_evenly(self) -> bool:
        """Whether a step goes equally far along the gradient flow in all stages."""
        return len({stretch.flow_step for stretch in self.stretches}) == 1

    def stage(self, step: int) -> int:
        """Which stage moves the State on from `step`: at a boundary it is the one that begins there."""
        return bisect_right(self.boundaries, step)

    def time(self, step: int) -> float:
        """The time at a step, in units of the dynamics."""
        at = self.stretches[self.stage(step)]
        return at.since + (step - at.begins) * at.dt

    def flow(self, step: int) -> float:
        """The time along the gradient flow at a step."""
        at = self.stretches[self.stage(step)]
        return at.flow_since + (step - at.begins) * at.flow_step

    def step(self, time: float) -> int:
        """The step nearest to a time."""
        number = bisect_right([stretch.since for stretch in self.stretches[1:]], time)
        at = self.stretches[number]
        return at.begins + round((time - at.since) / at.dt)

    def lag(self, time: float) -> int:
        """A lag in units of the shortest time per step, rounded to the nearest."""
        return round(time / self.shortest)

    def steps(self, times: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The nearest step to each of many times, and whether it falls on that step."""
        since = np.array([stretch.since for stretch in self.stretches])
        begins = np.array([stretch.begins for stretch in self.stretches], dtype=np.int64)
        dts = np.array([stretch.dt for stretch in self.stretches])
        # where rounding puts a time just before a boundary the nearest step is still that of the boundary
        number = np.searchsorted(since[1:], times, side="right")
        within = (times - since[number]) / dts[number]
        nearest = np.rint(within)
        return begins[number] + nearest.astype(np.int64), np.abs(within - nearest) < ON_A_STEP
