"""From the stages of a spec to one clock: how many steps each takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from glassyrun.clock import Clock
from glassyrun.errors import Refusal
from glassyrun.options import DynamicsOptions

ROUNDING = 1e-9
"""Relative excess over a limit that is rounding, not meaning."""


def clock_of(stages: Sequence[DynamicsOptions], horizon: float) -> tuple[Clock, int]:
    """The clock of a protocol, and its horizon in steps; a stage ends at the step nearest to its `until`.

    Raises:
        Refusal: if a stage is shorter than one of its steps, or ends when it must not.
    """
    steps: list[int] = []
    since = 0.0
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        place = "schedule.horizon" if last else f"dynamics.{number}.until"
        ends = horizon if last else stage.until
        if ends is None:
            raise Refusal(f"{place}: missing, expected the time at which the stage ends and dynamics.{number + 1} begins")
        if last and stage.until is not None and abs(stage.until - horizon) > ROUNDING * horizon:
            field = f"dynamics.{number}.until" if number else "dynamics.until"
            raise Refusal(f"{field}: found {stage.until:g}, but the run ends at {horizon:g}; leave it out")
        dt = stage.time_step
        count = round((ends - since) / dt)
        if count < 1:
            begun = f" after {since:g}, where the stage begins" if number else ""
            least = since + dt
            raise Refusal(f"{place}: found {ends:g}, less than one time step of {dt:g}{begun}; raise it to {least:g} or more")
        steps.append(count)
        since += count * dt
    dts, flow_steps = [stage.time_step for stage in stages], [stage.flow_step for stage in stages]
    return Clock.joined(steps[:-1], dts, flow_steps), sum(steps)


def time_unit(stages: Sequence[DynamicsOptions]) -> str:
    """What one unit of time is: "step", or "step in sgd, 1 in langevin" where stages differ."""
    kinds: dict[str, list[str]] = {}
    for stage in stages:
        of = kinds.setdefault(stage.time_unit, [])
        if stage.kind not in of:
            of.append(stage.kind)
    if len(kinds) == 1:
        return stages[0].time_unit
    return ", ".join(f"{unit} in {' and '.join(of)}" for unit, of in kinds.items())


def named(stages: Sequence[DynamicsOptions]) -> str:
    """The kinds in their order, "sgd, then langevin"; stages of one kind in a row are counted."""
    runs = [(kind, len(list(group))) for kind, group in groupby(stage.kind for stage in stages)]
    shown = [kind if count == 1 else f"{count} stages of {kind}" for kind, count in runs]
    return ", then ".join([*shown[:3], "…"] if len(shown) > 4 else shown)


def told(stages: Sequence[DynamicsOptions], clock: Clock, horizon: int) -> str:
    """One line a stage: its kind, steps and times."""
    ends = [*clock.boundaries, horizon]
    lines = [
        f"dynamics.{number} {stage.kind}: steps {at.begins} to {end}, time {at.since:.12g} to {clock.time(end):.12g}"
        for number, (stage, at, end) in enumerate(zip(stages, clock.stretches, ends, strict=True))
    ]
    return "\n".join(lines)
