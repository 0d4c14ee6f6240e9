"""What a checkpoint holds of a trajectory, and how a trajectory is taken up again from one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glassyrun.errors import Refusal
from glassyrun.observable import Snapshot
from glassyrun.references import below, pack, unpack
from glassyrun.schedule import rounded
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
    return pack(trajectory.state, "state/") | watch | carried | living, {
        **place(trajectory),
        "event": trajectory.next_event,
        "living": about,
        "disorder": disorder(trajectory),
    }


def final(trajectory: Trajectory) -> Contents:
    """The State in which the sample ended."""
    return pack(trajectory.state), place(trajectory)


def place(trajectory: Trajectory) -> dict[str, Any]:
    """Where the trajectory is."""
    return {"sample": trajectory.sample, "step": trajectory.state.step, "time": rounded(trajectory.now.time)}


def disorder(trajectory: Trajectory) -> dict[str, str]:
    """What the System says of itself: the same spec finds another data set where another folder was named."""
    system = trajectory.now.system
    return {**system.provenance, "terms": str(system.terms), "degrees of freedom": str(system.dof)}


def restore(trajectory: Trajectory) -> None:
    """Takes up the committed State and references; the bits that follow are those of an uninterrupted run."""
    store, device = trajectory.experiment.store, trajectory.experiment.setting.device
    blob = store.manifest.checkpoint
    assert blob is not None
    begun, now = blob.about["disorder"], disorder(trajectory)
    changed = [
        f"{key} was {begun.get(key)}, now {now.get(key)}" for key in sorted({*begun, *now}) if begun.get(key) != now.get(key)
    ]
    if changed:
        raise Refusal(
            f"{store.directory}: the run was begun on another disorder or data set ({'; '.join(changed)}); "
            "go on with the same, or begin anew with --fresh"
        )
    tensors = store.read(blob, device)
    state = unpack(tensors, "state/", blob.about["step"])
    trajectory.stage = trajectory.now.clock.stage(state.step)
    trajectory.now = Snapshot(trajectory.now.system, trajectory.stages[trajectory.stage], state, trajectory.now.clock)
    trajectory.watch.begin(trajectory.experiment.setting.watches(trajectory.now.dynamics))
    trajectory.watch.restore(below(tensors, "watch/"))
    for label, observable in trajectory.observables.items():
        observable.memory.clear()
        observable.memory.update(below(tensors, f"observed/{label}/"))
    trajectory.next_event = blob.about["event"]
    for number, about in enumerate(blob.about["living"]):
        trajectory.references.restore(tensors, f"living/{number}/", about)
    for kept in store.manifest.references:
        trajectory.references.restore(store.read(kept, device), "", kept.about)
