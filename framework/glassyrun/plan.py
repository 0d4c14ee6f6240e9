"""What a spec would run, what it takes, and how long: known before it is started."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from glassyrun.dynamics import Dynamics
from glassyrun.experiment import Setting
from glassyrun.guard import plugin_code
from glassyrun.machine import available, numerics, threads_of
from glassyrun.observable import Observable, Reference, Snapshot
from glassyrun.options import DynamicsOptions, Footprint
from glassyrun.origin import Origin
from glassyrun.schedule import Event, Schedule
from glassyrun.spec.model import Spec
from glassyrun.spec.problems import counted
from glassyrun.state import State
from glassyrun.system import System

CALIBRATION_SECONDS = 1.5


def plan(spec: Spec, *, data_root: Path | None = None, start_from: str | Path | None = None) -> str:
    """A few lines of text: size, grids, memory, and the time foreseen from a short calibration.

    `start_from` names another run to begin from, as for a run.

    Raises:
        GlassyrunError: whatever would stop the run itself.
    """
    with numerics(spec):
        origin = None if start_from is None else Origin.read(start_from, spec.ensemble.samples)
        return "\n".join(_lines(Setting.of(spec, data_root, origin)))


def _lines(setting: Setting) -> list[str]:
    spec = setting.spec
    footprint, schedule = setting.footprint(), setting.schedule
    events = schedule.events()
    grids = (
        f"grids        {counted(len(schedule.time), 'time')}, {counted(len(schedule.t_w), 'waiting time')}, "
        f"{counted(len(schedule.t), 'lag')}: {len(events)} events, {sum(len(event.pairs) for event in events)} pairs{_between(schedule)}"
    )
    notes = [f"note         {note}" for note in (*footprint.notes, *_notes(setting, footprint))]
    foreseen = spec.system.solver().foreseen(setting)
    if foreseen is not None:
        setting.check_memory(footprint)
        needed = f"memory       about {_size(footprint.bytes)}; {_size(available(setting.device))} are free on {setting.device}"
        return [f"system       {spec.system.kind}", *_stages(setting), grids, needed, *notes, *foreseen]
    lines = [
        f"system       {spec.system.kind}: {footprint.dof} degrees of freedom, {footprint.terms} terms",
        *_stages(setting),
        f"ensemble     {counted(spec.ensemble.samples, 'sample')} of {counted(spec.ensemble.replicas, 'replica')}, "
        f"start = {spec.ensemble.start}",
        grids,
        f"memory       about {_size(setting.memory(footprint))} "
        f"({_size(footprint.bytes)} of them stored by the system); {_size(available(setting.device))} "
        f"are free on {setting.device}",
        f"disk         {_disk(setting, footprint)}",
        *notes,
    ]
    setting.check_memory(footprint)
    return lines + _timing(setting, events)


def _disk(setting: Setting, footprint: Footprint) -> str:
    """What configurations take in the run directory; readings come to little beside them."""
    ensemble, waiting = setting.spec.ensemble, len(setting.schedule.t_w)
    x = ensemble.replicas * footprint.dof * setting.dtype.itemsize
    if setting.spec.run.extendable:
        return (
            f"about {_size(ensemble.samples * (waiting + 1) * x)} for x at {counted(waiting, 'waiting time')} and at the end of each "
            f"sample, so that the horizon may grow; {_size(ensemble.samples * x)} with run.extendable = false"
        )
    return f"about {_size(ensemble.samples * x)} for x at the end of each sample, and up to {_size(waiting * x)} while one runs"


def _between(schedule: Schedule) -> str:
    missed = 0 if schedule.clock.even else schedule.between()
    return f", {missed} more fall between two steps and are NaN: choose lags that are whole steps of all stages" if missed else ""


def _stages(setting: Setting) -> list[str]:
    """A line a stage: how many steps of which length, and when it ends where there are several."""
    clock, stages = setting.clock, setting.spec.stages
    ends = [clock.time(end) for end in (*clock.boundaries, setting.schedule.horizon)]
    lines: list[str] = []
    for number, (stage, steps, end) in enumerate(zip(stages, setting.clock.lengths(setting.schedule.horizon), ends, strict=True)):
        until = f", until {end:.12g}" if len(stages) > 1 else ""
        lines.append(
            f"{setting.place(number):<12} {stage.kind}: {counted(steps, 'step')} of {stage.time_step:g} ({_unit(stage)}){until}"
        )
    return lines


def _notes(setting: Setting, footprint: Footprint) -> list[str]:
    """What the stages have to say, under their names where there are several; what is said twice is said once."""
    notes: dict[str, list[str]] = {}
    for number, stage in enumerate(setting.spec.stages):
        for note in stage.notes(footprint, setting.spec.system):
            notes.setdefault(note, []).append(setting.place(number))
    several = len(setting.spec.stages) > 1
    return [f"{', '.join(places)}: {note}" if several else note for note, places in notes.items()]


def _timing(setting: Setting, events: Sequence[Event]) -> list[str]:
    began = time.perf_counter()
    system = setting.system(0)
    begun = setting.origin.states[0] if setting.origin else None
    stages = setting.stages(system, 0, begun)
    observables = setting.observables(system, 0, stages)
    state = setting.start(system, stages[0], 0, begun)
    building = time.perf_counter() - began
    with threads_of(system, state.replicas):
        return _priced(setting, events, system, stages, observables, state, building)


def _priced(
    setting: Setting,
    events: Sequence[Event],
    system: System,
    stages: Sequence[Dynamics],
    observables: Mapping[str, Observable],
    state: State,
    building: float,
) -> list[str]:
    """What steps and readings cost, measured one by one."""
    spec, schedule = setting.spec, setting.schedule
    lines = [f"building     a sample {_span(building)}, measured here just now"]
    total, per_step = building, 0.0
    for number, (dynamics, steps) in enumerate(zip(stages, setting.clock.lengths(setting.schedule.horizon), strict=True)):
        cost = _step_seconds(setting, system, dynamics, number, state, len(stages))
        begins = setting.clock.stretches[number].begins
        name, taken = (
            "step" if len(stages) == 1 else f"step of {number}",
            cost * (system.work(begins + steps) - system.work(begins)),
        )
        lines.append(f"{name:<12} {_span(cost)}, {counted(steps, 'step')} take {_span(taken)}")
        total, per_step = total + taken, per_step + taken / schedule.horizon
    stepping = max(per_step * schedule.horizon, 1e-9)
    # what looks at mini-batches is priced under a stage that has some
    acting = next((stage for stage in stages if stage.batches is not None), stages[-1])
    now = Snapshot(system, acting, state, setting.clock)
    for label, observable in observables.items():
        cost, count = _reading_seconds(setting, label, observable, now), _readings(setting, label, observable, events)
        total += cost * count
        lines.append(
            f"reading      {label}: {counted(count, 'time')}, {_span(cost)} each ({cost / max(per_step, 1e-9):.3g} steps), "
            f"{100 * cost * count / stepping:.3g} % of all steps"
        )
    journey = setting.journey
    if journey.foreign:
        beside = per_step * journey.foreign
        count = f"{journey.companions} trajectories of their own that observables follow"
        lines.append(f"beside       {count}, {counted(journey.foreign, 'step')}: {_span(beside)}")
        total += beside
    samples = spec.ensemble.samples
    return [
        *lines,
        f"foreseen     about {_span(total * samples)} for {counted(samples, 'sample')}",
        *(f"WARNING      {warning}" for warning in setting.warnings(system)),
    ]


def _readings(setting: Setting, label: str, observable: Observable, events: Sequence[Event]) -> int:
    """How often an observable is read."""
    schedule = setting.schedule
    if observable.grid != "pairs":
        return schedule.points()[observable.grid]
    with plugin_code(f"observables.{label}"):
        return sum(observable.wants(schedule.clock, schedule.t_w[i], event.step) for event in events for i, _ in event.pairs)


def _step_seconds(setting: Setting, system: System, dynamics: Dynamics, stage: int, state: State, stages: int) -> float:
    """Time of one step of a stage, from where it begins."""
    with setting.advancing(stage):
        state.step = setting.clock.stretches[stage].begins
        dynamics.enter(system, state)
        dynamics.advance(system, state, 1)  # kernels are loaded and caches filled
        return _seconds(setting.device, lambda: dynamics.advance(system, state, 1), CALIBRATION_SECONDS / stages)


def _reading_seconds(setting: Setting, label: str, observable: Observable, now: Snapshot) -> float:
    """Time of one reading, in a Snapshot of its own so that nothing is shared."""

    def read() -> object:
        afresh = Snapshot(now.system, now.dynamics, now.state, now.clock)
        return observable.read(afresh, then if observable.grid == "pairs" else None)

    with plugin_code(f"observables.{label}"):
        then = Reference(now.state.step, observable.remember(now))
        return _seconds(setting.device, read)


def _seconds(device: torch.device, call: Callable[[], object], seconds: float | None = None) -> float:
    """Median time of a call, repeated for a while."""
    taken: list[float] = []
    until = time.perf_counter() + (CALIBRATION_SECONDS if seconds is None else seconds)
    while not taken or (time.perf_counter() < until and len(taken) < 200):
        began = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) // 2]


def _span(seconds: float) -> str:
    """A time with a unit that suits it."""
    for limit, unit, size in ((1e-3, "µs", 1e-6), (1.0, "ms", 1e-3), (120.0, "s", 1.0), (7200.0, "min", 60.0)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 3600:.3g} h"


def _size(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def _unit(stage: DynamicsOptions) -> str:
    return "one step each" if stage.time_unit == "step" else "units of time"
