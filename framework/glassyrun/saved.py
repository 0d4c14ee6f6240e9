"""What a checkpoint holds of a trajectory, and how a trajectory is taken up again from one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from torch import Tensor

from glassyrun.errors import Refusal, StorageError
from glassyrun.manifest import Blob
from glassyrun.observable import Snapshot
from glassyrun.references import below, pack, unpack
from glassyrun.schedule import Event, rounded
from glassyrun.state import State
from glassyrun.store import Contents

if TYPE_CHECKING:
    from glassyrun.trajectories import Trajectory


def checkpoint(trajectory: Trajectory) -> Contents:
    """All that changes: the State, the watch, what observables carry along, and references that live on."""
    living, about = trajectory.references.changing("living/")
    watch = {f"watch/{name}": value for name, value in trajectory.watch.tensors().items()}
    carried = {
        f"observed/{label}/{name}": value
        for label, observable in trajectory.observables.items()
        for name, value in observable.memory.items()
    }
    waiting, waits = trajectory.put_off.packed() if trajectory.put_off else ({}, None)
    return pack(_with_memory(trajectory), "state/") | watch | carried | living | waiting, {
        **place(trajectory),
        "event": trajectory.next_event,
        "living": about,
        "live": sorted(trajectory.references.kept),
        "remembers": trajectory.references.remembers(),
        "disorder": disorder(trajectory),
        **({"dropped": sorted(trajectory.readings.dropped)} if trajectory.readings.dropped else {}),
        **({"put_off": waits} if waits is not None else {}),
        **({"due": due_in_steps(trajectory)} if trajectory.due is not None else {}),
    }


def final(trajectory: Trajectory) -> Contents:
    """The State in which the sample ended; all of a checkpoint where the run may be told to go on from there."""
    if trajectory.put_off:  # the run can't grow, and the State is that of the trajectory, whoever has looked since
        return pack(attrs.evolve(trajectory.state, system=trajectory.put_off.ended)), place(trajectory)
    if trajectory.experiment.extendable:
        return checkpoint(trajectory)
    return pack(_with_memory(trajectory)), place(trajectory)


def _with_memory(trajectory: Trajectory) -> State:
    """The State with all that its System remembers."""
    return attrs.evolve(trajectory.state, system=trajectory.now.system.memory(trajectory.state))


def due_in_steps(trajectory: Trajectory) -> dict[str, Any]:
    """What a grown run has yet to measure where it stands, in steps, since indices change when it grows again."""
    due, schedule = trajectory.due, trajectory.experiment.setting.schedule
    assert due is not None
    pairs = [[schedule.t_w[i], schedule.t[j]] for i, j in due.pairs]
    return {"time": due.time is not None, "t_w": due.t_w is not None, "pairs": pairs}


def place(trajectory: Trajectory) -> dict[str, Any]:
    """Where the trajectory is."""
    return {"sample": trajectory.sample, "step": trajectory.state.step, "time": rounded(trajectory.now.time)}


def disorder(trajectory: Trajectory) -> dict[str, str]:
    """What the System says of itself: the same spec finds another data set where another folder was named."""
    system = trajectory.now.system
    return {**system.provenance, "terms": str(system.terms), "degrees of freedom": str(system.dof)}


def resume(trajectory: Trajectory) -> bool:
    """Takes up the newest checkpoint of a sample, or the one before if that is damaged; whether there was any.

    Raises:
        StorageError: if none of them can be used.
    """
    store = trajectory.experiment.store
    newest, older = store.manifest.checkpoint, store.manifest.previous
    if newest is None or newest.sample != trajectory.sample:
        newest, older = store.manifest.final(trajectory.sample), None
    if newest is None:
        return False
    try:
        restore(trajectory, newest)
    except StorageError as error:
        if older is None or older.sample != trajectory.sample:
            raise
        _resume_from_older(trajectory, older, str(error).partition(";")[0])
    return True


def _resume_from_older(trajectory: Trajectory, older: Blob, wrong: str) -> None:
    store = trajectory.experiment.store
    try:
        restore(trajectory, older)
    except StorageError as error:
        raise StorageError(
            f"{wrong}, and the checkpoint before can't be used either ({str(error).partition(';')[0]}); restore one of them, "
            "or begin anew with --fresh"
        ) from error
    store.fall_back(older)
    same = "" if "drift" in store.manifest.attributes else ", with the same numbers"
    trajectory.experiment.reporter.warn(
        f"{wrong}; the run goes on from the checkpoint before, {older.file} of step {older.about['step']}{same}"
    )


def restore(trajectory: Trajectory, blob: Blob) -> None:
    """Takes up a committed State and its references; the bits that follow are those of an uninterrupted run.

    Raises:
        StorageError: if a file is damaged, or holds something else than this run writes.
        Refusal: if the disorder or the data set is another one.
    """
    store, device = trajectory.experiment.store, trajectory.experiment.setting.device
    begun, now = blob.about.get("disorder", {}), disorder(trajectory)
    changed = [
        f"{key} was {begun.get(key)}, now {now.get(key)}" for key in sorted({*begun, *now}) if begun.get(key) != now.get(key)
    ]
    if changed:
        raise Refusal(
            f"{store.directory}: the run was begun on another disorder or data set ({'; '.join(changed)}); "
            "go on with the same, or begin anew with --fresh"
        )
    measured = _fitting_place(trajectory, blob)
    tensors = store.read(blob, device)
    state = trajectory.now.system.take_up(_fitting_state(trajectory, blob, tensors))
    trajectory.stage = trajectory.now.clock.stage(state.step)
    trajectory.now = Snapshot(trajectory.now.system, trajectory.stages[trajectory.stage], state, trajectory.now.clock)
    trajectory.watch.begin(trajectory.experiment.setting.watches(trajectory.now.dynamics))
    trajectory.watch.restore(below(tensors, "watch/"))
    for label, observable in trajectory.observables.items():
        observable.memory.clear()
        observable.memory.update(below(tensors, f"observed/{label}/"))
    trajectory.next_event = blob.about["event"]
    if trajectory.put_off:
        trajectory.put_off.restore(below(tensors, "put_off/"), _waits(trajectory, blob))
    trajectory.due = _due(trajectory, blob.about.get("due"))
    _restore_references(trajectory, blob, tensors, measured)


def _waits(trajectory: Trajectory, blob: Blob) -> Mapping[str, Any]:
    about = blob.about.get("put_off")
    if about is None:
        raise _strange(trajectory, blob, "nothing is said of readings that wait")
    return about


def _fitting_place(trajectory: Trajectory, blob: Blob) -> int:
    """The step of the last event that was measured, if step and event of a checkpoint lie on this run's schedule."""
    step, event, events = blob.about["step"], blob.about.get("event"), trajectory.events
    fits = event is not None and event <= len(events) and step <= trajectory.horizon
    measured = events[event - 1].step if fits and event else -1
    if not fits or measured > step or (event < len(events) and events[event].step < step):
        raise _strange(trajectory, blob, f"it stands at step {step} before event {event}, which is no place of this run")
    return measured


def _fitting_state(trajectory: Trajectory, blob: Blob, tensors: Mapping[str, Tensor]) -> State:
    """The State in a checkpoint, if its tensors are those that this run writes."""
    expected = {"state/x": trajectory.state.x, **{f"watch/{name}": value for name, value in trajectory.watch.tensors().items()}}
    for name, like in expected.items():
        found = tensors.get(name)
        if found is None or found.shape != like.shape or found.dtype != like.dtype:
            shown = "nothing" if found is None else f"{found.dtype} of shape {tuple(found.shape)}"
            raise _strange(trajectory, blob, f"{name}: found {shown}, expected {like.dtype} of shape {tuple(like.shape)}")
    return unpack(tensors, "state/", blob.about["step"])


def _due(trajectory: Trajectory, about: Mapping[str, Any] | None) -> Event | None:
    if about is None:
        return None
    schedule, step = trajectory.experiment.setting.schedule, trajectory.state.step
    places = {grid: {at: index for index, at in enumerate(getattr(schedule, grid))} for grid in ("time", "t_w", "t")}
    pairs = [(places["t_w"].get(since), places["t"].get(lag)) for since, lag in about["pairs"]]
    return Event(
        step,
        places["time"].get(step) if about["time"] else None,
        places["t_w"].get(step) if about["t_w"] else None,
        tuple((i, j) for i, j in pairs if i is not None and j is not None),
    )


def _restore_references(trajectory: Trajectory, blob: Blob, tensors: Mapping[str, Tensor], measured: int) -> None:
    """What later steps read again; all of it must be there."""
    store, references = trajectory.experiment.store, trajectory.references
    references.kept.clear()
    for number, about in enumerate(blob.about.get("living", ())):
        references.restore(_named(trajectory, blob, tensors, f"living/{number}/"), f"living/{number}/", about)
    needed, due = trajectory.experiment.setting.schedule.needed_after(measured), trajectory.due
    if due is not None:
        needed = (needed | {i for i, _ in due.pairs}) - {due.t_w}  # what is due at t_w is remembered first
    for kept in store.manifest.references:
        if kept.sample == trajectory.sample and kept.about["t_w"] in needed:
            found = store.read(kept, trajectory.experiment.setting.device)
            references.restore(_named(trajectory, kept, found, ""), "", kept.about)
    left_out = {*blob.about.get("dropped", ())}
    for t_w in sorted(needed):
        missing = sorted({*references.remembers()} - left_out - {*references.kept.get(t_w, ())})
        if missing:
            raise _strange(trajectory, blob, f"what {missing[0]} remembered at waiting time {t_w} is not there")
    trajectory.readings.leave_out(left_out)


def _named(trajectory: Trajectory, blob: Blob, tensors: Mapping[str, Tensor], prefix: str) -> Mapping[str, Tensor]:
    if f"{prefix}x" not in tensors:
        raise _strange(trajectory, blob, f"the tensor {prefix}x is missing")
    return tensors


def _strange(trajectory: Trajectory, blob: Blob, wrong: str) -> StorageError:
    path = trajectory.experiment.store.directory / blob.file
    return StorageError(f"{path}: is not of this run, {wrong}; restore the file, or begin anew with --fresh")
