"""The default Solver: evolve the System under the Dynamics and read at the events of the schedule."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager

import attrs
import torch

from glassyrun import dropped, saved
from glassyrun.dynamics import Dynamics
from glassyrun.errors import Diverged, GlassyrunError, Stopped
from glassyrun.experiment import Experiment
from glassyrun.graphs import forget
from glassyrun.guard import ran_out
from glassyrun.machine import threads_of
from glassyrun.observable import Observable, Snapshot
from glassyrun.protocol import time_unit
from glassyrun.put_off import PutOff
from glassyrun.readings import Readings
from glassyrun.recorder import described_variables
from glassyrun.references import References, pack
from glassyrun.schedule import Event
from glassyrun.solver import Solver
from glassyrun.state import State
from glassyrun.stopping import stop_before
from glassyrun.watch import Watch

PACE_SECONDS = 0.5
"""How long the host leaves the device alone: a signal is heard and the bar moves this often. No bit depends on it."""

COMMIT_SHARE = 100
"""A run goes on for so many times as long as the last commit took, before the next one."""


@attrs.frozen
class Trajectories(Solver):
    """One trajectory bundle (all replicas) per disorder sample, samples one after another."""

    def run(self, experiment: Experiment) -> None:
        setting = experiment.setting
        for sample in range(experiment.store.manifest.done, setting.spec.ensemble.samples):
            stop_before(f"sample {sample + 1} of {setting.spec.ensemble.samples}", experiment.stop_requested, experiment.limit)
            experiment.store.possession.heart.tell(phase="building", sample=sample, samples=setting.spec.ensemble.samples)
            with experiment.limit.build():
                trajectory = Trajectory.begin(experiment, sample)
            trajectory.run()
            del trajectory  # or the next sample is built beside this one
        for sentence in dropped.told(experiment.store.manifest.attributes):
            experiment.reporter.warn(sentence)


@attrs.define(eq=False)
class Trajectory:
    """All replicas of one sample: where they are, what is remembered of them, what was read."""

    experiment: Experiment
    sample: int
    stages: tuple[Dynamics, ...]
    now: Snapshot
    readings: Readings
    watch: Watch
    events: list[Event]
    put_off: PutOff | None = None
    """What is read when the trajectory is complete."""
    stage: int = 0
    """Which of `stages` moves the State now."""
    next_event: int = 0
    due: Event | None = None
    """What a run that has grown must yet measure at the step where it stands."""
    committed: float = attrs.field(factory=lambda: time.monotonic())
    commit_seconds: float = 0.0
    """What the last commit took."""
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
        later = {label: observables[label] for label in observables if label in setting.put_off}
        at_once = {label: observables[label] for label in observables if label not in later}
        trajectory = cls(
            experiment,
            sample,
            stages,
            Snapshot(system, stages[0], state, setting.clock),
            Readings.of(experiment, sample, at_once, state.replicas, lasting=experiment.extendable),
            Watch.over(state.x, setting.watches(stages[0])),
            setting.schedule.events(),
            PutOff(Readings.of(experiment, sample, later, state.replicas)) if later else None,
        )
        for warning in setting.warnings(system) if sample == 0 else ():
            experiment.reporter.warn(warning)
        if store.manifest.untouched:
            about = (
                setting.attributes(system, stages),
                setting.axes(),
                described_variables(observables, time_unit(setting.spec.stages)),
            )
            store.describe(*about, experiment.starts())
        saved.resume(trajectory)
        dropped.forget(store.manifest.attributes, sample, but=trajectory.readings.dropped)
        return trajectory

    @property
    def observables(self) -> Mapping[str, Observable]:
        return self.readings.observables

    @property
    def references(self) -> References:
        return self.readings.references

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
        self.experiment.store.possession.heart.run_begins(self.sample, samples, self.state.step, self.horizon)
        try:
            with threads_of(self.now.system, self.state.replicas):
                self.experiment.limit.begin(sum(value.nbytes for value in pack(self.state).values()))
                self.go()
        except (MemoryError, RuntimeError) as error:
            if ran_out(error):
                self.readings.keep()
            raise
        finally:
            self.experiment.reporter.end()

    def go(self) -> None:
        """Event by event; every one is measured, and the end is committed."""
        if self.due is not None:
            self.readings.measure(self.due, self.now)
            self.due = None
        while self.next_event < len(self.events):
            event = self.events[self.next_event]
            self.advance_to(event.step)
            if self.put_off and self.put_off.wants(event):
                self.put_off.keep(self.state)
            self.readings.measure(event, self.now)
            self.next_event += 1
            self.look_after()
        self.advance_to(self.horizon)
        self.last_look()
        if self.put_off:
            self.put_off.take(self)
        self.commit(finished=True)

    def advance_to(self, step: int) -> None:
        """Chunks of steps, each within a stage; between two of them the host looks after things."""
        while self.state.step < step:
            boundary = next((begins for begins in self.now.clock.boundaries if begins > self.state.step), self.horizon)
            chunk, began = min(step - self.state.step, boundary - self.state.step, self.pace), time.monotonic()
            self.advance(chunk)
            self.renew()
            self.readings.follow(self.now, step)
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
        if self.put_off:
            self.put_off.keep(self.state)
        system, dynamics = self.now.system, self.stages[self.stage]
        with self.advancing():
            dynamics.enter(system, self.state)
            for _, _, then in self.references.living():
                if then.state.step == self.state.step:
                    dynamics.enter(system, then.state)
        forget(self.now.dynamics)
        self.watch.begin(self.experiment.setting.watches(dynamics))
        self.renew()

    def advancing(self) -> AbstractContextManager[None]:
        return self.experiment.setting.advancing(self.stage)

    def advance(self, chunk: int) -> None:
        try:
            with self.advancing():
                self.now.dynamics.advance(self.now.system, self.state, chunk, self.watch)
        except GlassyrunError:
            self.readings.keep()
            raise

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

    def look_after(self) -> None:
        """Between chunks: show progress, commit now and then, hear a request to stop."""
        energy = float(self.watch.shown.mean()) / self.now.system.energy_scale
        self.experiment.reporter.update(self.state.step, energy)
        self.experiment.store.possession.heart.step(self.state.step, energy, time.monotonic() - self.committed)
        self.hear(f"at step {self.state.step} of {self.horizon}")

    def hear(self, where: str) -> None:
        """Commits now and then, and stops where that was asked for, by a signal or by the limit of wall time."""
        asked, limit = self.experiment.stop_requested, self.experiment.limit
        if limit.look():
            asked.setdefault("reason", limit.told)
        if "reason" in asked:
            self.commit()
            raise Stopped(
                f"stopped by {asked['reason']} {where}, everything is saved in "
                f"{self.experiment.store.directory}; run the same command again to go on"
            )
        if self.commit_due:
            self.commit()
            limit.committed(self.commit_seconds)

    @property
    def commit_due(self) -> bool:
        """Whether it is time for a commit: every `run.checkpoint_seconds`, less often where that would take more than 1 %.

        Who asks for commits within less than a second wants them whatever they take.
        """
        wait = self.experiment.setting.spec.run.checkpoint_seconds
        if wait >= 1:
            wait = max(wait, COMMIT_SHARE * self.commit_seconds)
        return time.monotonic() - self.committed > wait

    def commit(self, *, finished: bool = False, failure: str | None = None) -> None:
        """Makes durable what was measured, what is remembered and where the trajectory is."""
        self.experiment.store.possession.check()
        began, extendable = time.monotonic(), self.experiment.extendable
        checkpoint = saved.final(self) if finished else saved.checkpoint(self)  # before the readings: it may find no memory
        measured = self.readings.recorder.drain()
        if self.put_off:
            measured |= self.put_off.readings.recorder.drain()
        self.experiment.store.commit(
            shard=(measured, {"sample": self.sample, "step": self.state.step}) if measured else None,
            references=self.references.unsaved() if extendable or not finished else [],
            checkpoint=checkpoint,
            finished=finished,
            extendable=extendable,
        )
        if failure is not None:
            self.experiment.store.fail(failure)
        self.references.saved()
        self.committed = time.monotonic()
        self.commit_seconds = self.committed - began
