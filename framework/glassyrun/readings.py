"""What is read of a sample at the events of the schedule, and what becomes of an observable that raises."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs

from glassyrun.dropped import drop
from glassyrun.errors import GlassyrunError, Locked, OutOfMemory, StorageError
from glassyrun.experiment import Experiment
from glassyrun.guard import plugin_code
from glassyrun.observable import Observable, Reference, Snapshot
from glassyrun.recorder import Recorder
from glassyrun.references import References
from glassyrun.schedule import Event
from glassyrun.state import State

Reading = TypeVar("Reading")


@attrs.define(eq=False)
class Readings:
    """The observables of one sample: what they remember, and what they have read since the last commit."""

    experiment: Experiment
    sample: int
    observables: Mapping[str, Observable]
    recorder: Recorder
    references: References
    dropped: set[str] = attrs.field(factory=set)
    """Labels of observables that raised, and that the sample goes on without."""

    @classmethod
    def of(
        cls, experiment: Experiment, sample: int, observables: Mapping[str, Observable], replicas: int, lasting: bool = False
    ) -> Readings:
        """Nothing read yet; `lasting` as of `References`."""
        schedule = experiment.setting.schedule
        recorder = Recorder(observables, replicas, schedule.points())
        return cls(
            experiment, sample, observables, recorder, References(observables, schedule.last_use(), sample, lasting=lasting)
        )

    def follow(self, now: Snapshot, until: int) -> None:
        """Brings all references that live on up to now, on the way to step `until`."""
        for _, label, then in list(self.references.living()):
            self.guarded(label, until, lambda o, then=then: o.follow(now, then))

    def measure(self, event: Event, now: Snapshot) -> None:
        """Remembers first, then reads, so that the pair (t_w, 0) is there."""
        if event.t_w is not None:
            pairs = [label for label, observable in self.observables.items() if observable.grid == "pairs"]
            remembered = {label: self.guarded(label, now.state.step, lambda o: _remembered(o, now)) for label in pairs}
            self.references.add(event.t_w, {label: then for label, then in remembered.items() if then is not None})
        for label, observable in self.observables.items():
            index = {"time": event.time, "t_w": event.t_w}.get(observable.grid)
            if index is not None:
                self.read(label, (index,), None, now)
        for i, j in event.pairs:
            kept = self.references.kept.get(i, {})  # a run that resumes has none where nothing is read over pairs
            for label, then in list(kept.items()):
                self.read(label, (i, j), then, now)
            for then in kept.values():
                now.forget(then)
                now.forget(then.state.x)
        self.references.release(event.step)

    def read(self, label: str, index: tuple[int, ...], then: Reference | None, now: Snapshot) -> None:
        def record(observable: Observable) -> None:
            if then is None or observable.wants(now.clock, then.since, now.state.step):
                self.recorder.record(label, index, observable.read(now, then))

        self.guarded(label, now.state.step, record)

    def guarded(self, label: str, step: int, call: Callable[[Observable], Reading]) -> Reading | None:
        """Names the plugin that raised, and keeps what was measured; None from an observable that the sample goes on without.

        `step` is one of the schedule, since the result tells it: how far the host had come just then depends on its speed.
        """
        if label in self.dropped:
            return None
        try:
            with plugin_code(f"observables.{label}"):
                return call(self.observables[label])
        except GlassyrunError as error:
            # memory that ran out here is needed by the next step just as well
            if self.experiment.setting.spec.run.on_error == "stop" or isinstance(error, OutOfMemory | StorageError):
                self.keep()
                raise
            self.drop(label, step, error)
            return None

    def drop(self, label: str, step: int, error: GlassyrunError) -> None:
        """Goes on without an observable, which the next commit makes known."""
        experiment = self.experiment
        raised = drop(experiment.store.manifest.attributes, label, self.sample, step, error)
        self.leave_out({label})
        experiment.reporter.warn(
            f"observables.{label}: raised {raised} at step {step} of sample {self.sample}; the sample goes on without it "
            '(run.on_error = "continue"), its later values are NaN'
        )
        experiment.store.log(event="dropped", when=time.time(), traceback="".join(traceback.format_exception(error)))

    def leave_out(self, labels: set[str]) -> None:
        """No step and no reading asks these observables again."""
        self.dropped |= labels
        for of in self.references.kept.values():
            for label in labels & of.keys():
                del of[label]

    def keep(self) -> None:
        """Makes durable what was measured, where something broke in the middle of a step: not the State, which may be half way.

        Whatever goes wrong here must not hide why the run ends; the last commit is there to go on from.
        """
        with contextlib.suppress(StorageError, Locked, MemoryError, RuntimeError):
            self.experiment.store.keep(self.recorder.drain(), {"sample": self.sample})


def _remembered(observable: Observable, now: Snapshot) -> Reference:
    state = observable.remember(now)
    if not isinstance(state, State):
        raise TypeError(f"remember gave back {type(state).__name__}, expected a State")
    return Reference(now.state.step, state)
