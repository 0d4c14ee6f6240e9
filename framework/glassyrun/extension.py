"""A run that grows: a longer horizon, more samples. Every event that was measured stays one; one commit makes it so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from glassyrun.errors import Refusal, StorageError
from glassyrun.experiment import Setting
from glassyrun.manifest import Blob, Manifest
from glassyrun.progress import Reporter
from glassyrun.protocol import told
from glassyrun.schedule import Schedule
from glassyrun.spec.dump import Difference, dump_spec
from glassyrun.store import Store

GRIDS = ("time", "t_w", "t")
SHOWN = 3
"""Points that a warning names."""


def grow(store: Store, setting: Setting, grown: Sequence[Difference], tell: Reporter) -> Setting:
    """Commits that the run is one of a larger spec, and gives back the setting on the grids of both.

    Samples that were finished go on from their last State. Old points of the grids stay; new ones that lie in the past are left
    out, with a warning.

    Raises:
        Refusal: if an event of the run would be none any more, or something is needed that was not kept.
    """
    manifest = store.manifest
    was = {field: old for field, old, _ in grown}
    before = _earlier(setting, was.get("schedule.horizon"), manifest)
    if "ensemble.samples" in was and "started_from" in manifest.attributes:
        raise _refused(store, "ensemble.samples", "a run that was begun --from another one can't have more samples")
    larger = setting.gridded(manifest.grids)
    shards: list[tuple[int, Mapping[str, Tensor]]] = []
    if setting.put_off and setting.schedule.horizon != before.horizon:
        waited = ", ".join(sorted(setting.put_off))
        raise _refused(store, "schedule.horizon", f"{waited} was read after the end of each trajectory, and belongs to that end")
    _same_room(store, setting, was.get("schedule.horizon"))
    if setting.schedule.horizon == before.horizon:
        draft = attrs.evolve(manifest)
    else:
        _usable(store)
        manifest = store.manifest
        merged = _merged(store, before, setting.schedule, _reached(manifest), tell)
        grids = _own_grids(merged, setting.schedule)
        larger = setting.gridded(grids)
        draft, shards = _reopened(store, before, merged)
        draft.grids = grids
    draft.spec, draft.complete = dump_spec(setting.spec), False
    draft.axes = larger.axes()
    draft.attributes = _attributes(larger, draft)
    store.replace(draft, shards)
    return larger


def _same_room(store: Store, setting: Setting, horizon: float | None) -> None:
    """Refuses a horizon for which x would be another vector, of a System whose size depends on what the run will do."""
    spec = setting.spec
    if horizon is None or not spec.system.reveals:
        return
    shorter = spec.model_copy(update={"schedule": spec.schedule.model_copy(update={"horizon": float(horizon)})})
    had, needs = (Setting.of(each, setting.data_root).footprint().dof for each in (shorter, spec))
    if had != needs:
        why = f"x has room for {had} axes in it and would need {needs}, for which system.axes = {needs} must be set from the beginning"
        raise _refused(store, "schedule.horizon", why)


def _refused(store: Store, field: str, why: str) -> Refusal:
    return Refusal(
        f"{field}: {why}, so the run in {store.directory} can't grow; choose another directory with -o DIR, or begin anew with --fresh"
    )


def _earlier(setting: Setting, horizon: float | None, manifest: Manifest) -> Schedule:
    """The schedule of the run as it was committed."""
    spec = setting.spec
    if horizon is not None:
        spec = spec.model_copy(update={"schedule": spec.schedule.model_copy(update={"horizon": float(horizon)})})
    schedule = attrs.evolve(setting, spec=spec, schedule=Schedule.of(spec)).gridded(manifest.grids).schedule
    if any(schedule.coordinate(grid).tolist() != manifest.axes.get(grid, {}).get("values") for grid in GRIDS):
        raise StorageError(
            "manifest.json: its grids are not those that this version makes of its spec; go on with the version that wrote it, or "
            "begin anew with --fresh"
        )
    return schedule


def _usable(store: Store) -> None:
    """Sees that the newest checkpoint can be read, or takes the one before: after growing there is no other."""
    newest, older = store.manifest.checkpoint, store.manifest.previous
    if newest is not None and older is not None:
        try:
            store.read(newest)
            for blob in store.manifest.references:
                if blob.sample == newest.sample:
                    store.read(blob)
        except StorageError:
            store.read(older)
            store.fall_back(older)


def _standing(manifest: Manifest) -> list[Blob]:
    """Where the samples go on from that have begun."""
    return [*manifest.finals, *([manifest.checkpoint] if manifest.checkpoint else [])]


def _reached(manifest: Manifest) -> int:
    """The step that the furthest sample has come to."""
    return max((blob.about["step"] for blob in _standing(manifest)), default=-1)


def _merged(store: Store, before: Schedule, after: Schedule, reached: int, tell: Reporter) -> Schedule:
    """All old points, and the new ones that no sample has passed."""
    gone = [lag for lag in before.t if lag not in set(after.t)]
    if gone:
        lag = gone[0] * before.clock.shortest
        raise _refused(store, "schedule.t", f"the lag {lag:.12g} was measured and is no point of the grid for the longer horizon")
    points: dict[str, tuple[int, ...]] = {"t": after.t}
    for grid in ("time", "t_w"):
        old, new = set(getattr(before, grid)), set(getattr(after, grid))
        points[grid] = tuple(sorted(old | {step for step in new if step >= reached}))
        passed = sorted(new - set(points[grid]))
        if passed:
            shown = ", ".join(f"{after.clock.time(step):.12g}" for step in passed[:SHOWN]) + (
                ", …" if len(passed) > SHOWN else ""
            )
            tell.warn(f"schedule.{grid}: the run has passed {shown} already, so these points of the longer grid are left out")
    merged = attrs.evolve(after, time=points["time"], t_w=points["t_w"], t=points["t"])
    for i, j, step in _new_pairs(before, merged, reached):
        if step < reached:
            since, lag = merged.clock.time(merged.t_w[i]), merged.t[j] * merged.clock.shortest
            raise _refused(store, "schedule.t", f"the new lag {lag:.12g} after t_w = {since:.12g} lies in the past")
    return merged


def _new_pairs(before: Schedule, merged: Schedule, until: int) -> Iterator[tuple[int, int, int]]:
    """Indices and steps of the pairs up to a step that the shorter run did not have."""
    waiting, lags = set(before.t_w), set(before.t)
    for i, since in enumerate(merged.t_w):
        for j, step in merged.later(since) if since <= until else ():
            if step <= until and not (since in waiting and merged.t[j] in lags and step <= before.horizon):
                yield i, j, step


def _own_grids(merged: Schedule, own: Schedule) -> dict[str, list[int]]:
    """What the manifest must say of the grids: nothing where they are those of the spec."""
    if all(getattr(merged, grid) == getattr(own, grid) for grid in GRIDS):
        return {}
    return {grid: list(getattr(merged, grid)) for grid in GRIDS}


def _reopened(store: Store, before: Schedule, merged: Schedule) -> tuple[Manifest, list[tuple[int, Mapping[str, Tensor]]]]:
    """The manifest in which all samples that have begun rest where they stand, on the new grids, and the shards in new indices."""
    manifest = store.manifest
    moved = {grid: _moved(getattr(before, grid), getattr(merged, grid)) for grid in GRIDS}
    references = [_renumbered(blob, moved["t_w"]) for blob in manifest.references]
    kept = {blob.sample for blob in manifest.finals}
    for sample in range(manifest.done):
        if sample not in kept:
            raise _refused(store, "schedule.horizon", f"sample {sample} was finished by a version that kept no final States")
    finals = [_resting(store, blob, before, merged, references, moved["t_w"]) for blob in _standing(manifest)]
    shards: list[tuple[int, Mapping[str, Tensor]]] = []
    if any(list(there) != list(range(len(there))) for there in moved.values()):
        shards = [(number, _reindexed(store, blob, moved)) for number, blob in enumerate(manifest.shards)]
    draft = attrs.evolve(
        manifest,
        references=references,
        finals=finals,
        checkpoint=None,
        previous=None,
        done=0,
        shards=list(manifest.shards),
    )
    return draft, shards


def _moved(old: Sequence[int], new: Sequence[int]) -> list[int]:
    """Where each old point is in a new grid."""
    place = {step: index for index, step in enumerate(new)}
    return [place[step] for step in old]


def _renumbered(blob: Blob, moved: Sequence[int]) -> Blob:
    return attrs.evolve(blob, about={**blob.about, "t_w": moved[blob.about["t_w"]]})


def _resting(
    store: Store, blob: Blob, before: Schedule, merged: Schedule, references: Sequence[Blob], moved: Sequence[int]
) -> Blob:
    """A checkpoint on the new grids, and what it has yet to measure where it stands."""
    about, step = dict(blob.about), blob.about["step"]
    if about.get("event") is None:
        why = f"sample {blob.sample} was finished with run.extendable = false, or by a version without it"
        raise _refused(store, "schedule.horizon", why)
    store.read(blob)  # before anything is committed: one that is damaged leaves the shorter run as it is
    events = before.events()
    if about["event"] > len(events):
        raise StorageError(f"{store.directory / blob.file}: is not of this run; restore the file, or begin anew with --fresh")
    measured = events[about["event"] - 1].step if about["event"] else -1
    due = _due(before, merged, step, about.get("due")) if measured == step else None
    if due is not None:
        about["due"] = due
    about["living"] = [{**then, "t_w": moved[then["t_w"]]} for then in about.get("living", ())]
    needed = merged.needed_after(measured) | {merged.t_w.index(since) for since, _ in (due or {"pairs": ()})["pairs"]}
    needed = {t_w for t_w in needed if merged.t_w[t_w] < step or merged.t_w[t_w] in before.t_w}
    about["live"] = sorted(needed)
    _see_that_it_is_there(store, blob, about, references, merged, needed)
    return attrs.evolve(blob, about=about)


def _due(before: Schedule, merged: Schedule, step: int, due: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the longer run measures at a step at which the shorter one has measured already: both would do it before going on."""
    had = due or {"time": False, "t_w": False, "pairs": []}
    new = [[merged.t_w[i], merged.t[j]] for i, j, at in _new_pairs(before, merged, step) if at == step]
    found = {
        "time": had["time"] or (step in merged.time and step not in before.time),
        "t_w": had["t_w"] or (step in merged.t_w and step not in before.t_w),
        "pairs": sorted([*had["pairs"], *(pair for pair in new if pair not in had["pairs"])]),
    }
    return found if any(found.values()) else None


def _see_that_it_is_there(
    store: Store, blob: Blob, about: Mapping[str, Any], references: Sequence[Blob], merged: Schedule, needed: set[int]
) -> None:
    """What observables remembered at waiting times that are read again."""
    for reference in references:
        if reference.sample == blob.sample and reference.about["t_w"] in needed:
            store.read(reference)
    left_out = {*about.get("dropped", ())}
    kept = [reference.about for reference in references if reference.sample == blob.sample]
    there = {(then["t_w"], label) for then in (*kept, *about["living"]) for label in then["labels"]}
    for label, lives in about.get("remembers", {}).items():
        missing = [t_w for t_w in sorted(needed) if (t_w, label) not in there and label not in left_out]
        if missing:
            since = f"{merged.clock.time(merged.t_w[missing[0]]):.12g}"
            why = "lives on after t_w, and ended with its last lag" if lives else "was not kept, as run.extendable = false says"
            raise _refused(store, "schedule.horizon", f"what {label} remembered at t_w = {since} {why}")


def _reindexed(store: Store, blob: Blob, moved: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A shard whose readings have the indices of the new grids."""
    tensors = store.read(blob)
    for name, about in store.manifest.variables.items():
        index = tensors.get(f"index/{name}")
        if index is None:
            continue
        sizes = [len(moved[grid]) for grid in about["grid"]]
        if index.ndim != 2 or index.shape[1] != len(sizes) or bool((index < 0).any() | (index >= torch.tensor(sizes)).any()):
            raise StorageError(
                f"{store.directory / blob.file}: has readings outside its grids; restore the file, or begin anew with --fresh"
            )
        columns = [torch.tensor(moved[grid])[index[:, k].long()] for k, grid in enumerate(about["grid"])]
        tensors[f"index/{name}"] = torch.stack(columns, dim=1)
    return tensors


def _attributes(larger: Setting, draft: Manifest) -> dict[str, Any]:
    """Those of the result that speak of the horizon, the number of samples or the grids."""
    attributes = {**draft.attributes, "spec": draft.spec}
    if "stages" in attributes:
        attributes["stages"] = told(larger.spec.stages, larger.clock, larger.schedule.horizon)
    attributes.pop("grids", None)
    if draft.grids:
        attributes["grids"] = "those of the spec and of the shorter run that this one has grown from"
    return attributes
