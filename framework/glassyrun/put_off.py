"""Readings that wait until a sample's trajectory is complete.

A System that draws its disorder where it is looked at finds other numbers after somebody else has looked. So what looks elsewhere than the
trajectory does, such as a twin in a field, is read afterwards, in what the trajectory has left undrawn: no bit of it depends on its
observers, and the law of both together is the right one, in whatever order one looks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
from torch import Tensor

from glassyrun.errors import Stopped
from glassyrun.observable import Snapshot
from glassyrun.readings import Readings
from glassyrun.schedule import Event
from glassyrun.state import State

if TYPE_CHECKING:
    from glassyrun.trajectories import Trajectory


@attrs.define(eq=False)
class PutOff:
    """The observables of one sample that wait, and the places of the trajectory that they will look at.

    A run that is stopped among these readings begins with the first of them again.
    """

    readings: Readings
    places: dict[int, State] = attrs.field(factory=dict)
    """x, and the memory of the Dynamics, by step."""

    def keep(self, state: State) -> None:
        """Keeps the present place of the trajectory."""
        dynamics = {name: value.clone() for name, value in state.dynamics.items()}
        self.places[state.step] = State(state.x.clone(), state.step, {}, dynamics)

    def wants(self, event: Event) -> bool:
        """Whether anything of an event waits."""
        grids = {observable.grid for observable in self.readings.observables.values()}
        pairs = "pairs" in grids and (event.t_w is not None or bool(event.pairs))
        return pairs or ("time" in grids and event.time is not None) or ("t_w" in grids and event.t_w is not None)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {
            f"{prefix}{step}/{name}": value
            for step, state in self.places.items()
            for name, value in {"x": state.x, **state.dynamics}.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes up the places of a checkpoint."""
        self.places.clear()
        for name, value in tensors.items():
            step, _, part = name.partition("/")
            state = self.places.setdefault(int(step), State(value, int(step)))
            if part == "x":
                state.x = value
            else:
                state.dynamics[part] = value

    def take(self, trajectory: Trajectory) -> None:
        """All readings, in the order of time, at the places that were kept.

        Raises:
            Stopped: if that was asked for; the trajectory is saved.
        """
        events = {event.step: event for event in trajectory.events if self.wants(event)}
        steps, heart = sorted(self.places), trajectory.experiment.store.possession.heart
        energy = float(trajectory.watch.shown.mean()) / trajectory.now.system.energy_scale
        trajectory.experiment.reporter.begin("readings after the run", trajectory.horizon, 0)
        for step in steps:
            stage = trajectory.now.clock.stage(step)
            state = self.places[step].copy()
            # what lives on has come here in the stage before, where this is a boundary
            before = Snapshot(trajectory.now.system, trajectory.stages[max(0, stage - 1)], state, trajectory.now.clock)
            now = Snapshot(trajectory.now.system, trajectory.stages[stage], state, trajectory.now.clock)
            boundary = step in trajectory.now.clock.boundaries
            self.readings.follow(before if boundary else now, step)
            if boundary:
                for _, _, then in self.readings.references.living():
                    now.dynamics.enter(now.system, then.state)
            if step in events:
                self.readings.measure(events[step], now)
            trajectory.experiment.reporter.update(step, energy)
            heart.step(step, energy, time.monotonic() - trajectory.committed)
            self._hear(trajectory)

    def _hear(self, trajectory: Trajectory) -> None:
        asked, limit = trajectory.experiment.stop_requested, trajectory.experiment.limit
        if limit.look():
            asked.setdefault("reason", limit.told)
        if "reason" in asked:
            raise Stopped(
                f"stopped by {asked['reason']} among the readings after the run; the trajectory is saved in "
                f"{trajectory.experiment.store.directory}; run the same command again to go on"
            )
