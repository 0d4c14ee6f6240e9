"""The default Solver: evolve the System under the Dynamics and read at the events of the schedule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

import attrs
import torch

from glassyrun import saved
from glassyrun.dynamics import Dynamics
from glassyrun.errors import Diverged, PluginError, Stopped
from glassyrun.experiment import Experiment
from glassyrun.guard import plugin_code
from glassyrun.machine import threads_of
from glassyrun.observable import Observable, Reference, Snapshot
from glassyrun.recorder import Recorder, described_variables
from glassyrun.references import References
from glassyrun.schedule import Event
from glassyrun.solver import Solver
from glassyrun.state import State
from glassyrun.watch import Watch

Reading = TypeVar("Reading")
PACE_SECONDS = 0.5
"""How long the host leaves the device alone: a signal is heard and the bar moves this often. No bit depends on it."""


@attrs.frozen
class Trajectories(Solver):
    """One trajectory bundle (all replicas) per disorder sample, samples one after another."""

    def run(self, experiment: Experiment) -> None:
        setting = experiment.setting
        for sample in range(experiment.store.manifest.done, setting.spec.ensemble.samples):
            Trajectory.begin(experiment, sample).run()


@attrs.define(eq=False)
class Trajectory:
    """All replicas of one sample: where they are, what is remembered of them, what was read."""

    experiment: Experiment
    sample: int
    stages: tuple[Dynamics, ...]
    now: Snapshot
    observables: dict[str, Observable]
    watch: Watch
    recorder: Recorder
    events: list[Event]
    references: References
    stage: int = 0
    """Which of `stages` moves the State now."""
    next_event: int = 0
    committed: float = attrs.field(factory=time.monotonic)
    pace: int = 1

    @classmethod
    def begin(cls, experiment: Experiment, sample: int) -> Trajectory:
        """Builds the sample, and takes up where the store left off."""
        setting, store = experiment.setting, experiment.store
        system = setting.system(sample)
        begun = experiment.begun(sample)
        stages = setting.stages(system, sample, begun)
        observables = setting.observables(system, sample, stages)
        state = setting.start(system, stages[0], sample, begun)
        trajectory = cls(
            experiment,
            sample,
            stages,
            Snapshot(system, stages[0], state, setting.clock),
            observables,
            Watch.over(state.x, setting.watches(stages[0])),
            Recorder(observables, state.replicas, setting.schedule.points()),
            setting.schedule.events(),
            References(observables, setting.schedule.last_use()),
        )
        for warning in setting.warnings(system) if sample == 0 else ():
            experiment.reporter.warn(warning)
        if store.manifest.untouched:
            about = setting.attributes(system, stages), setting.axes(), described_variables(observables)
            store.describe(*about, experiment.starts())
        if store.manifest.checkpoint is not None:
            saved.restore(trajectory)
        return trajectory

    @property
    def state(self) -> State:
        return self.now.state

    @property
    def horizon(self) -> int:
        return self.experiment.setting.schedule.horizon

    def run(self) -> None:
        """Evolves to the horizon and commits the sample as finished."""
        samples = self.experiment.setting.spec.ensemble.samples
        title = f"sample {self.sample + 1} of {samples}" if samples > 1 else "run"
        self.experiment.reporter.begin(title, self.horizon, self.state.step)
        try:
            with threads_of(self.now.system, self.state.replicas):
                self.go()
        finally:
            self.experiment.reporter.end()

    def go(self) -> None:
        """Event by event; every one is measured, and the end is committed."""
        while self.next_event < len(self.events):
            event = self.events[self.next_event]
            self.advance_to(event.step)
            self.measure(event)
            self.next_event += 1
            self.look_after()
        self.advance_to(self.horizon)
        self.last_look()
        self.commit(finished=True)

    def advance_to(self, step: int) -> None:
        """Chunks of steps, each within a stage; between two of them the host looks after things."""
        while self.state.step < step:
            boundary = next((begins for begins in self.now.clock.boundaries if begins > self.state.step), self.horizon)
            chunk, began = min(step - self.state.step, boundary - self.state.step, self.pace), time.monotonic()
            self.advance(chunk)
            self.renew()
            self.follow()
            self.check()
            if self.state.step == boundary < self.horizon:
                self.enter_next()
            elapsed = time.monotonic() - began
            self.pace = max(1, min(2 * self.pace, int(chunk * PACE_SECONDS / max(elapsed, 1e-6))))
            if self.state.step < step:
                self.look_after()

    def renew(self) -> None:
        """A new Snapshot: what was shared between readings of the old one is no longer true."""
        self.now = Snapshot(self.now.system, self.stages[self.stage], self.state, self.now.clock)

    def enter_next(self) -> None:
        """Hands the State over to the next stage, and with it the references that lived by the last one."""
        if self.watch.descends:
            self.last_look()  # nothing else would look at the last step of a stage as that stage does
        self.stage += 1
        system, dynamics = self.now.system, self.stages[self.stage]
        with self.advancing():
            dynamics.enter(system, self.state)
            for _, _, then in self.references.living():
                if then.state.step == self.state.step:
                    dynamics.enter(system, then.state)
        self.watch.begin(self.experiment.setting.watches(dynamics))
        self.renew()

    def advancing(self) -> AbstractContextManager[None]:
        return self.experiment.setting.advancing(self.stage)

    def advance(self, chunk: int) -> None:
        try:
            with self.advancing():
                self.now.dynamics.advance(self.now.system, self.state, chunk, self.watch)
        except PluginError:
            self.keep()
            raise

    def follow(self) -> None:
        for _, label, then in self.references.living():
            self.guarded(label, lambda o, then=then: o.follow(self.now, then))

    def check(self) -> None:
        """Stops at the first bad step; everything measured before it is kept."""
        verdict = self.watch.verdict()
        if verdict is None:
            return
        replica, step, energy = verdict
        shown = energy / self.now.system.energy_scale
        rose = math.isfinite(energy)
        where = f"sample {self.sample}, replica {replica}"
        if step == 0:
            message = f"the start of {where} has the energy {shown:.6g}; look at the system's options"
        else:
            happened = f"the energy {'rose to' if rose else 'became'} {shown:.6g}"
            when = f"step {step} (time {self.now.time_of(step):.6g})"
            message = f"diverged in {where}, at {when}: {happened}; make {self.step_name} smaller"
            hints = ', set run.rising_energy = "accept" if a rise is what you want to see, or look whether the gradient is that of the energy'
            message += hints if rose else ""
        self.commit(failure=message)
        raise Diverged(message + "; what was measured before is kept, a changed spec needs --fresh or another directory")

    @property
    def step_name(self) -> str:
        """The field that makes the steps of the present stage smaller."""
        return self.experiment.setting.field(self.stages[self.stage].step_name, self.stage)

    def last_look(self) -> None:
        """Shows the watch the state at the end of a stage, which no step has looked at: its energy where that must not rise, else x."""
        system, x = self.now.system, self.state.x
        sound = torch.where(torch.isfinite(x).all(1), 0.0, torch.nan).double()
        with self.advancing():
            # as a step would look at it: in evaluation mode the energy of a network with batch norm is another one
            energy = system.gradient(self.state).energy if self.watch.descends else 0.0
            self.watch.look(sound + energy, self.state.step)
        self.check()

    def measure(self, event: Event) -> None:
        """Remembers first, then reads, so that the pair (t_w, 0) is there."""
        if event.t_w is not None:
            remembered = {
                label: Reference(event.step, self.guarded(label, lambda o: o.remember(self.now)))
                for label, observable in self.observables.items()
                if observable.grid == "pairs"
            }
            self.references.add(event.t_w, remembered)
        for label, observable in self.observables.items():
            index = {"time": event.time, "t_w": event.t_w}.get(observable.grid)
            if index is not None:
                self.read(label, (index,), None)
        for i, j in event.pairs:
            kept = self.references.kept.get(i, {})  # a run that resumes has none where nothing is read over pairs
            for label, then in kept.items():
                self.read(label, (i, j), then)
            for then in kept.values():
                self.now.forget(then)
                self.now.forget(then.state.x)
        self.references.release(event.step)

    def read(self, label: str, index: tuple[int, ...], then: Reference | None) -> None:
        def record(observable: Observable) -> None:
            if then is None or observable.wants(self.now.clock, then.since, self.state.step):
                self.recorder.record(label, index, observable.read(self.now, then))

        self.guarded(label, record)

    def guarded(self, label: str, call: Callable[[Observable], Reading]) -> Reading:
        """Names the plugin that raised, and keeps what was measured."""
        try:
            with plugin_code(f"observables.{label}"):
                return call(self.observables[label])
        except PluginError:
            self.keep()
            raise

    def keep(self) -> None:
        """Makes durable what was measured, where a plugin broke in the middle of a step: not the State, which may be half way."""
        self.experiment.store.keep(self.recorder.drain(), {"sample": self.sample})

    def look_after(self) -> None:
        """Between chunks: show progress, commit now and then, hear a request to stop."""
        energy = float(self.watch.shown.mean()) / self.now.system.energy_scale
        self.experiment.reporter.update(self.state.step, energy)
        reason = self.experiment.stop_requested.get("reason")
        if reason is not None:
            self.commit()
            raise Stopped(
                f"stopped by {reason} at step {self.state.step} of {self.horizon}, everything is saved in "
                f"{self.experiment.store.directory}; run the same command again to go on"
            )
        if time.monotonic() - self.committed > self.experiment.setting.spec.run.checkpoint_seconds:
            self.commit()

    def commit(self, *, finished: bool = False, failure: str | None = None) -> None:
        """Makes durable what was measured, what is remembered and where the trajectory is."""
        measured = self.recorder.drain()
        self.experiment.store.commit(
            shard=(measured, {"sample": self.sample, "step": self.state.step}) if measured else None,
            references=[] if finished else self.references.unsaved(),
            live=set() if finished else set(self.references.kept),
            checkpoint=saved.final(self) if finished else saved.checkpoint(self),
            finished=finished,
        )
        if failure is not None:
            self.experiment.store.fail(failure)
        self.references.saved()
        self.committed = time.monotonic()
