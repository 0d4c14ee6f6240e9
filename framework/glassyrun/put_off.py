"""Readings that wait until a sample's trajectory is complete.

A System that draws its disorder where it is looked at finds other numbers after somebody else has looked. So what looks elsewhere than the
trajectory does, such as a twin in a field, is read afterwards, in what the trajectory has left undrawn: no bit of it depends on its
observers, and the law of both together is the right one, in whatever order one looks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from torch import Tensor

from glassyrun.observable import Snapshot
from glassyrun.readings import Readings
from glassyrun.references import below, pack, unpack
from glassyrun.schedule import Event
from glassyrun.state import State

if TYPE_CHECKING:
    from glassyrun.trajectories import Trajectory


@attrs.define(eq=False)
class PutOff:
    """The observables of one sample that wait, the places of the trajectory that they will look at, and how far they have come."""

    readings: Readings
    places: dict[int, State] = attrs.field(factory=dict)
    """x, and the memory of the Dynamics, by step; what has been looked at is gone."""
    ended: dict[str, Tensor] = attrs.field(factory=dict)
    """What the System remembered at the end of the trajectory, before anybody else has looked; empty until then."""

    def keep(self, state: State) -> None:
        """Keeps the present place of the trajectory."""
        dynamics = {name: value.clone() for name, value in state.dynamics.items()}
        self.places[state.step] = State(state.x.clone(), state.step, {}, dynamics)

    def wants(self, event: Event) -> bool:
        """Whether anything of an event waits."""
        grids = {observable.grid for observable in self.readings.observables.values()}
        pairs = "pairs" in grids and (event.t_w is not None or bool(event.pairs))
        return pairs or ("time" in grids and event.time is not None) or ("t_w" in grids and event.t_w is not None)

    def take(self, trajectory: Trajectory) -> None:
        """All readings that are left, in the order of time, at the places that were kept.

        Raises:
            Stopped: if that was asked for; what was read is saved.
        """
        if not self.ended:
            self.ended = trajectory.now.system.memory(trajectory.state)
            trajectory.commit()
        events = {event.step: event for event in trajectory.events if self.wants(event)}
        experiment = trajectory.experiment
        energy, first = float(trajectory.watch.shown.mean()) / trajectory.now.system.energy_scale, min(self.places, default=0)
        experiment.reporter.begin("readings after the run", trajectory.horizon, first)
        experiment.store.possession.heart.run_begins(
            trajectory.sample, experiment.setting.spec.ensemble.samples, first, trajectory.horizon
        )
        for step in sorted(self.places):
            self._go_to(trajectory, step, events.get(step))
            del self.places[step]
            experiment.reporter.update(step, energy)
            experiment.store.possession.heart.step(step, energy, time.monotonic() - trajectory.committed)
            trajectory.hear("among the readings after the run")

    def _go_to(self, trajectory: Trajectory, step: int, event: Event | None) -> None:
        """Brings what lives on to a place, and reads there."""
        clock, state = trajectory.now.clock, self.places[step].copy()
        stage, boundary = clock.stage(step), step in clock.boundaries
        # what lives on has come here in the stage before, where this is a boundary
        before = Snapshot(trajectory.now.system, trajectory.stages[stage - boundary], state, clock)
        now = Snapshot(trajectory.now.system, trajectory.stages[stage], state, clock)
        self.readings.follow(before, step)
        if boundary:
            for _, _, then in self.readings.references.living():
                if then.state.step == step:
                    now.dynamics.enter(now.system, then.state)
        if event is not None:
            self.readings.measure(event, now)

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors for a checkpoint under `put_off/`, and what it must say of them."""
        tensors = {f"place/{step}/{name}": value for step, state in self.places.items() for name, value in pack(state).items()}
        tensors |= {f"ended/{name}": value for name, value in self.ended.items()}
        kept: list[dict[str, Any]] = []
        for t_w, of in self.readings.references.kept.items():
            for label, then in of.items():
                tensors |= pack(then.state, f"kept/{len(kept)}/")
                kept.append({"t_w": t_w, "since": then.since, "step": then.state.step, "labels": [label]})
        for label, observable in self.readings.observables.items():
            tensors |= {f"observed/{label}/{name}": value for name, value in observable.memory.items()}
        about = {"kept": kept, "dropped": sorted(self.readings.dropped)}
        return {f"put_off/{name}": value for name, value in tensors.items()}, about

    def restore(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Takes up what `packed` gave, its prefix taken off."""
        self.ended = below(tensors, "ended/")
        steps = {int(name.partition("/")[0]) for name in below(tensors, "place/") if name.partition("/")[0].isdecimal()}
        self.places = {step: unpack(tensors, f"place/{step}/", step) for step in sorted(steps)}
        self.readings.references.kept.clear()
        for number, one in enumerate(about["kept"]):
            self.readings.references.restore(tensors, f"kept/{number}/", one)
        for label, observable in self.readings.observables.items():
            observable.memory.clear()
            observable.memory.update(below(tensors, f"observed/{label}/"))
        self.readings.leave_out({*about["dropped"]})
