"""What a spec would run, what it takes, and how long: known before it is started."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from glassyrun.experiment import Setting, available, numerics
from glassyrun.guard import plugin_code
from glassyrun.observable import Observable, Reference, Snapshot
from glassyrun.spec.model import Spec

CALIBRATION_SECONDS = 1.5


def plan(spec: Spec, *, data_root: Path | None = None) -> str:
    """A few lines of text: size, grids, memory, and the time foreseen from a short calibration.

    Raises:
        GlassyrunError: whatever would stop the run itself.
    """
    setting = Setting.of(spec, data_root)
    footprint, schedule, ensemble = setting.footprint(), setting.schedule, spec.ensemble
    events = schedule.events()
    pairs = sum(len(event.pairs) for event in events)
    lines = [
        f"system       {spec.system.kind}: {footprint.dof} degrees of freedom, {footprint.terms} terms",
        f"dynamics     {spec.dynamics.kind}: {schedule.horizon} steps of {schedule.dt:g} ({_unit(spec)})",
        f"ensemble     {_count(ensemble.samples, 'sample')} of {_count(ensemble.replicas, 'replica')}, start = {ensemble.start}",
        f"grids        {len(schedule.time)} times, {len(schedule.t_w)} waiting times, {len(schedule.t)} lags: "
        f"{len(events)} events, {pairs} pairs",
        f"memory       about {_size(setting.memory(footprint))} "
        f"({_size(footprint.bytes)} of them stored by the system); {_size(available(setting.device))} "
        f"are free on {setting.device}",
        *(f"note         {note}" for note in (*footprint.notes, *spec.dynamics.notes(footprint, spec.system))),
    ]
    setting.check_memory(footprint)
    with numerics(spec):
        lines += _timing(setting, pairs)
    return "\n".join(lines)


def _timing(setting: Setting, pairs: int) -> list[str]:
    spec, schedule, steps = setting.spec, setting.schedule, setting.schedule.horizon
    began = time.perf_counter()
    system = setting.system(0)
    dynamics, observables = setting.dynamics(system, 0), setting.observables(system, 0)
    state = setting.start(system, dynamics, 0)
    building = time.perf_counter() - began
    with setting.advancing():
        dynamics.advance(system, state, 1)  # kernels are loaded and caches filled
        step = _seconds(setting.device, lambda: dynamics.advance(system, state, 1))
    lines: list[str] = []
    total = building + step * steps
    readings = {"time": len(schedule.time), "t_w": len(schedule.t_w), "pairs": pairs}
    for label, observable in observables.items():
        with plugin_code(f"observables.{label}"):
            then = Reference(state.step, observable.remember(Snapshot(system, dynamics, state)))
            cost = _seconds(setting.device, lambda o=observable, r=then: o.read(Snapshot(system, dynamics, state), _given(o, r)))
        count = readings[observable.grid]
        total += cost * count
        lines.append(
            f"reading      {label}: {count} times, {_span(cost)} each ({cost / step:.3g} steps), "
            f"{100 * cost * count / max(step * steps, 1e-9):.3g} % of all steps"
        )
    samples = spec.ensemble.samples
    return [
        f"step         {_span(step)}, measured here just now; building a sample {_span(building)}",
        *lines,
        f"foreseen     about {_span(total * samples)} for {_count(samples, 'sample')}",
        *(f"WARNING      {warning}" for warning in setting.warnings(system)),
    ]


def _given(observable: Observable, reference: Reference) -> Reference | None:
    return reference if observable.grid == "pairs" else None


def _seconds(device: torch.device, call: Callable[[], object]) -> float:
    """Median time of a call, repeated for a while."""
    taken: list[float] = []
    until = time.perf_counter() + CALIBRATION_SECONDS
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


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def _unit(spec: Spec) -> str:
    return "one step each" if spec.dynamics.time_unit == "step" else "units of time"
