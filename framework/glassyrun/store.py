"""A run directory: immutable shards of what was measured, two checkpoints, and a manifest whose rename is the commit."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from glassyrun.errors import StorageError
from glassyrun.files import inside, make_directory, no_link, read_checked, storage, write_whole
from glassyrun.manifest import FOLDERS, Blob, Manifest, read_manifest, sealed
from glassyrun.manifest_form import OURS
from glassyrun.owner import LEFT, Possession

BESIDE = ("spec.toml", "result.nc", "result.json", "log.jsonl")
"""What else a run writes into its directory."""
Contents = tuple[Mapping[str, Tensor], Mapping[str, Any]]
"""Tensors of a file, and what the manifest says about them."""


@attrs.define(eq=False)
class Store:
    """Reads and commits a run directory.

    Crash-safe by construction: files are written once under new names and fsynced, then the manifest that names them
    replaces the old one. A crash at any moment leaves the old or the new manifest, each with all its files.
    """

    directory: Path
    manifest: Manifest
    possession: Possession
    _serial: int = 0
    """Number of the next file; never goes back, so that no file is written again even after a commit that failed half way."""

    @classmethod
    def open(cls, directory: Path, spec: str, *, fresh: bool = False, tell: Callable[[str], None] = lambda _: None) -> Store:
        """Takes possession of a run directory, made if it is absent; `tell` hears of an owner that may have died.

        Raises:
            Locked: if another process owns it.
            StorageError: if it can't be made, read or written.
        """
        with storage("making the run directory", directory):
            make_directory(directory)
        possession = Possession.take(directory, tell)
        try:
            manifest = cls._claimed(directory, fresh)
            if manifest is None or (manifest.spec != spec and manifest.untouched):
                stale = manifest or Manifest(spec)
                manifest = Manifest(spec, starts=stale.starts, serial=stale.serial)
            store = cls(directory, manifest, possession)
            with storage("making the run directory", directory):
                for part in FOLDERS:
                    (directory / part).mkdir(exist_ok=True)
                    inside(directory, directory / part)
            if manifest.untouched:
                store._commit_manifest(manifest)  # before any other file: it is what tells that the directory is ours
            if fresh:
                store._clear()
            store._remove_litter()
            if not _holds(directory / "spec.toml", manifest.spec.encode()):
                write_whole(directory / "spec.toml", manifest.spec.encode())
        except BaseException:
            possession.release()
            raise
        return store

    @classmethod
    def _claimed(cls, directory: Path, fresh: bool) -> Manifest | None:
        """The manifest of a directory that is ours; None for an empty one, or where all begins anew.

        Raises:
            StorageError: if it holds files that no run wrote: nothing of a user's is ever overwritten or removed.
        """
        if (directory / "manifest.json").exists():
            return None if fresh else read_manifest(directory)
        with storage("reading", directory):
            foreign = [path.name for path in directory.iterdir() if not _left_behind(path)]
        if foreign:
            if {"spec.toml", "shards"} <= {*foreign} <= {"spec.toml", "log.jsonl", "result.nc", "result.json", *FOLDERS}:
                raise StorageError(
                    f"{directory}: holds a run whose manifest.json is gone; restore that file, or choose another directory with -o DIR"
                )
            shown = ", ".join(sorted(foreign)[:3]) + (", …" if len(foreign) > 3 else "")
            raise StorageError(
                f"{directory}: holds files that no run wrote ({shown}); choose an empty or new directory with -o DIR"
            )
        return None

    def _clear(self) -> None:
        """Removes what the run before has written beside its tensors, once the new manifest is there: a kill leaves one or the other."""
        with storage("clearing the run directory", self.directory):
            for name in BESIDE:
                (self.directory / name).unlink(missing_ok=True)

    def close(self) -> None:
        self.possession.release()

    def commit(
        self,
        *,
        shard: Contents | None,
        references: Sequence[Contents],
        checkpoint: Contents,
        finished: bool = False,
        extendable: bool = False,
    ) -> None:
        """Makes durable what was measured and remembered since the last commit, and where to go on from.

        The checkpoint before is kept, with all that was remembered for it: `live` in a checkpoint are the indices of the waiting
        times that are read again later. Where a sample ends, that is kept from which it can go on if the run is `extendable`.
        """
        old, draft = self.manifest, self._draft()
        sample = checkpoint[1]["sample"]
        if shard is not None:
            draft.shards.append(self._write(draft, "shards", "measured", *shard))
        for tensors, about in references:
            draft.references = [blob for blob in draft.references if not _same_reference(blob.about, about)]
            draft.references.append(self._write(draft, "shards", "remembered", tensors, about))
        newest = self._write(draft, "checkpoints", "final" if finished else "state", *checkpoint)
        rests, draft.finals = draft.final(sample), [blob for blob in draft.finals if blob.sample != sample]
        if finished:
            draft.finals.append(newest)
            draft.checkpoint, draft.previous, draft.done = None, None, draft.done + 1
        else:
            draft.checkpoint, draft.previous = newest, draft.checkpoint or rests
        if not extendable:
            draft.references = _needed(draft, sample)
            draft.starts = [blob for blob in draft.starts if blob.sample >= draft.done]
        self._commit_manifest(draft)
        self._sweep(old)

    def fall_back(self, checkpoint: Blob) -> None:
        """Takes an older checkpoint for the newest one; what was remembered later is remembered again."""
        old = self.manifest
        sound = [
            blob for blob in old.references if blob.sample != checkpoint.sample or blob.about["since"] <= checkpoint.about["step"]
        ]
        attributes = dict(old.attributes)
        if "drift" in attributes:  # it may have been made on the terms before
            attributes["drift"] += (
                f"\nfrom step {checkpoint.about['step']} of sample {checkpoint.sample} on again: a checkpoint was damaged"
            )
        self._commit_manifest(attrs.evolve(old, checkpoint=checkpoint, previous=None, references=sound, attributes=attributes))
        self._sweep(old)

    def replace(self, draft: Manifest, shards: Sequence[tuple[int, Mapping[str, Tensor]]] = ()) -> None:
        """One commit of a manifest that says something else, with the shards of these numbers in another form."""
        old = self.manifest
        for number, tensors in shards:
            draft.shards[number] = self._write(draft, "shards", "measured", tensors, draft.shards[number].about)
        self._commit_manifest(draft)
        write_whole(self.directory / "spec.toml", draft.spec.encode())
        self._sweep(old)

    def _sweep(self, old: Manifest) -> None:
        """Removes the files that the manifest named before and does not name any more."""
        for blob in {blob.file for blob in old.blobs()} - {blob.file for blob in self.manifest.blobs()}:
            with contextlib.suppress(OSError):  # what the manifest does not name is only litter
                (self.directory / blob).unlink(missing_ok=True)

    def _draft(self) -> Manifest:
        """A manifest to change: with lists of its own, so that the committed one stays what it is if the commit fails."""
        return attrs.evolve(
            self.manifest,
            attributes=dict(self.manifest.attributes),
            shards=list(self.manifest.shards),
            references=list(self.manifest.references),
            finals=list(self.manifest.finals),
            starts=list(self.manifest.starts),
        )

    def _remove_litter(self) -> None:
        """Removes what a process that died in a commit has left: files of ours that the manifest does not name."""
        named = {blob.file for blob in self.manifest.blobs()}
        with contextlib.suppress(OSError):
            for part in FOLDERS:
                for path in (self.directory / part).iterdir():
                    whole = path.name.removeprefix(".").removesuffix(".part")
                    if OURS.fullmatch(whole) and f"{part}/{path.name}" not in named:
                        path.unlink()

    def keep(self, measured: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Makes readings durable where there is no State to go on from; they are read again, alike, after a resume."""
        if measured:
            self.possession.check()  # no commit asked before
            draft = self._draft()
            draft.shards.append(self._write(draft, "shards", "measured", measured, about))
            self._commit_manifest(draft)

    def finish(self) -> None:
        self.possession.check()
        self._commit_manifest(attrs.evolve(self.manifest, complete=True))

    def fail(self, message: str) -> None:
        self._commit_manifest(attrs.evolve(self.manifest, failure=message))

    def describe(
        self,
        attributes: Mapping[str, Any],
        axes: Mapping[str, Any],
        variables: Mapping[str, Any],
        starts: Sequence[Contents] = (),
    ) -> None:
        """What the result must say, before anything is measured, and the States that samples begin from, if not their own."""
        old, draft = self.manifest, self._draft()
        draft.attributes, draft.axes, draft.variables = dict(attributes), dict(axes), dict(variables)
        draft.starts = [self._write(draft, "checkpoints", "start", tensors, about) for tensors, about in starts]
        self._commit_manifest(draft)
        self._sweep(old)

    def damaged(self) -> list[str]:
        """Shards that can't be read: what was measured there will be missing from the result."""
        lost: list[str] = []
        for blob in self.manifest.shards:
            try:
                read_checked(self.directory, blob.file, blob.size, blob.digest)
            except StorageError:
                lost.append(blob.file)
        return lost

    def read(self, blob: Blob, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """The tensors of a committed file, in fresh memory."""
        return read_blob(self.directory, blob, device)

    def log(self, **entry: Any) -> None:
        """One line of the sidecar: times, hosts and all that may differ between two runs of one spec.

        Where it can't be written, as on a full disk, the run goes on.
        """
        path = self.directory / "log.jsonl"
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8", opener=no_link) as file:
            file.write(json.dumps(entry) + "\n")

    def _write(self, draft: Manifest, folder: str, what: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Blob:
        content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
        self._serial = max(self._serial, draft.serial)
        name = f"{folder}/{self._serial:08d}-{what}.safetensors"
        self._serial += 1  # never used twice, so that a committed file is never written again
        draft.serial = self._serial
        return Blob(name, len(content), write_whole(self.directory / name, content), dict(about))

    def _commit_manifest(self, draft: Manifest) -> None:
        write_whole(self.directory / "manifest.json", sealed(attrs.asdict(draft)))
        self.manifest = draft


def _left_behind(path: Path) -> bool:
    """What a run that died before its first commit may leave."""
    empty_folder = path.name in FOLDERS and path.is_dir() and not any(path.iterdir())
    return path.name in ("lock", ".manifest.json.part", *LEFT) or empty_folder


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file has this content; it may be that of a spec before the run grew, if that was just when it died."""
    with storage("reading", path):
        about = path.lstat() if path.exists() else None
        return about is not None and about.st_size == len(content) and path.read_bytes() == content


def _same_reference(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("sample", "t_w", "labels"))


def _needed(draft: Manifest, sample: int) -> list[Blob]:
    """References that one of the two checkpoints of a sample needs, or a later sample that rests.

    A checkpoint of an older version does not say which it needs.
    """
    checkpoints = [blob for blob in (draft.checkpoint, draft.previous) if blob is not None]
    unsaid = any("live" not in blob.about for blob in checkpoints)
    live = {t_w for blob in checkpoints for t_w in blob.about.get("live", ())}
    return [
        blob
        for blob in draft.references
        if blob.sample >= draft.done and (blob.sample != sample or unsaid or blob.about["t_w"] in live)
    ]


def read_blob(directory: Path, blob: Blob, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a committed file.

    They are copied into fresh memory: tensors that lie misaligned in the file's buffer changed the last bits of norms and
    products in a quarter of the cases.

    Raises:
        StorageError: if the file is absent or is not what was committed.
    """
    content = read_checked(directory, blob.file, blob.size, blob.digest)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(
            f"{directory / blob.file}: holds no tensors that a run wrote; restore the file, or begin anew with --fresh"
        ) from error
    return {name: torch.empty_like(value).copy_(value).to(device) for name, value in tensors.items()}
