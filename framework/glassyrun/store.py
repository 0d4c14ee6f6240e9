"""A run directory: immutable shards of what was measured, one checkpoint, and a manifest whose rename is the commit."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from filelock import FileLock, Timeout
from safetensors.torch import load, save
from torch import Tensor

from glassyrun.errors import Locked, StorageError
from glassyrun.files import read_checked, storage, sync_directory, write_whole

FORMAT = 2
READABLE = (1, 2)
"""Formats of the manifest that this version reads; 1 has no final States."""
FOLDERS = ("shards", "checkpoints")
OURS = re.compile(r"\d{8}-(measured|remembered|state|start|final)\.safetensors")
"""Names that a run gives to its files of tensors."""
Contents = tuple[Mapping[str, Tensor], Mapping[str, Any]]
"""Tensors of a file, and what the manifest says about them."""


@attrs.frozen
class Blob:
    """A file of tensors as the manifest knows it."""

    file: str
    size: int
    digest: str
    about: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.define
class Manifest:
    """What is committed. Everything else in the directory may be thrown away."""

    spec: str
    """The resolved spec, TOML."""
    attributes: dict[str, Any] = attrs.field(factory=dict)
    """Attributes of the result: versions, device, provenance."""
    axes: dict[str, Any] = attrs.field(factory=dict)
    """Coordinates of the result."""
    variables: dict[str, Any] = attrs.field(factory=dict)
    shards: list[Blob] = attrs.field(factory=list)
    references: list[Blob] = attrs.field(factory=list)
    """What was remembered at waiting times of the sample that is under way."""
    checkpoint: Blob | None = None
    finals: list[Blob] = attrs.field(factory=list)
    """The States in which finished samples ended, for other runs to begin from."""
    starts: list[Blob] = attrs.field(factory=list)
    """The States of another run that samples begin from, until those are finished."""
    done: int = 0
    """Samples that are finished."""
    failure: str | None = None
    complete: bool = False
    serial: int = 0
    """Number of the next file."""
    format: int = FORMAT

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever measured: a refused spec leaves no trace that a mended one would stumble over."""
        return not (self.shards or self.checkpoint or self.done or self.failure or self.complete)


@attrs.define(eq=False)
class Store:
    """Reads and commits a run directory.

    Crash-safe by construction: files are written once under new names and fsynced, then the manifest that names them
    replaces the old one. A crash at any moment leaves the old or the new manifest, each with all its files.
    """

    directory: Path
    manifest: Manifest
    _lock: FileLock

    @classmethod
    def open(cls, directory: Path, spec: str, *, fresh: bool = False) -> Store:
        """Takes possession of a run directory, made if it is absent.

        Raises:
            Locked: if another process owns it.
            StorageError: if it can't be made, read or written.
        """
        with storage("making the run directory", directory):
            directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / "lock", mode=0o644)
        with storage("locking", directory / "lock"):
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise Locked(
                    f"{directory}: another process is running here; wait for it, stop it, or choose another directory with -o DIR"
                ) from error
        try:
            manifest = cls._claimed(directory, fresh)
            if manifest is None or (manifest.spec != spec and manifest.untouched):
                stale = manifest or Manifest(spec)
                manifest = Manifest(spec, starts=stale.starts, serial=stale.serial)
            store = cls(directory, manifest, lock)
            with storage("making the run directory", directory):
                for part in FOLDERS:
                    (directory / part).mkdir(exist_ok=True)
                sync_directory(directory)
            if manifest.untouched:
                store._commit_manifest(manifest)  # before any other file: it is what tells that the directory is ours
                write_whole(directory / "spec.toml", spec.encode())
        except BaseException:
            lock.release()
            raise
        return store

    @classmethod
    def _claimed(cls, directory: Path, fresh: bool) -> Manifest | None:
        """The manifest of a directory that is ours; None for an empty one.

        Raises:
            StorageError: if it holds files that no run wrote: nothing of a user's is ever overwritten or removed.
        """
        if (directory / "manifest.json").exists():
            if not fresh:
                return read_manifest(directory)
            cls._clear(directory)
            return None
        with storage("reading", directory):
            foreign = [path.name for path in directory.iterdir() if not _left_behind(path)]
        if foreign:
            shown = ", ".join(sorted(foreign)[:3]) + (", …" if len(foreign) > 3 else "")
            raise StorageError(
                f"{directory}: holds files that no run wrote ({shown}); choose an empty or new directory with -o DIR"
            )
        return None

    @staticmethod
    def _clear(directory: Path) -> None:
        """Removes the files of a run, and nothing else."""
        with storage("clearing the run directory", directory):
            for name in ("manifest.json", "spec.toml", "result.nc", "log.jsonl"):  # the manifest first: it is the commit
                (directory / name).unlink(missing_ok=True)
            for part in FOLDERS:
                for path in (directory / part).glob("*.safetensors"):
                    if OURS.fullmatch(path.name):
                        path.unlink()

    def close(self) -> None:
        self._lock.release()

    def commit(
        self,
        *,
        shard: Contents | None,
        references: Sequence[Contents],
        live: set[int],
        checkpoint: Contents,
        finished: bool = False,
    ) -> None:
        """Makes durable what was measured and remembered since the last commit, and where to go on from.

        `live` are the indices of the waiting times whose references are still needed. A finished sample's last State is kept.
        """
        old, draft = self.manifest, copy.deepcopy(self.manifest)
        if shard is not None:
            draft.shards.append(self._write(draft, "shards", "measured", *shard))
        for tensors, about in references:
            draft.references.append(self._write(draft, "shards", "remembered", tensors, about))
        draft.references = [blob for blob in draft.references if blob.about["t_w"] in live]
        if finished:
            draft.finals.append(self._write(draft, "checkpoints", "final", *checkpoint))
            draft.checkpoint, draft.done = None, draft.done + 1
        else:
            draft.checkpoint = self._write(draft, "checkpoints", "state", *checkpoint)
        draft.starts = [blob for blob in draft.starts if blob.about["sample"] >= draft.done]
        self._commit_manifest(draft)
        self._sweep(old)

    def _sweep(self, old: Manifest) -> None:
        """Removes the files that the manifest named before and does not name any more."""
        for blob in {*_transient(old)} - {*_transient(self.manifest)}:
            with contextlib.suppress(OSError):  # what the manifest does not name is only litter
                (self.directory / blob).unlink(missing_ok=True)

    def keep(self, measured: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Makes readings durable where there is no State to go on from; they are read again, alike, after a resume."""
        if measured:
            draft = copy.deepcopy(self.manifest)
            draft.shards.append(self._write(draft, "shards", "measured", measured, about))
            self._commit_manifest(draft)

    def finish(self) -> None:
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
        old, draft = self.manifest, copy.deepcopy(self.manifest)
        draft.attributes, draft.axes, draft.variables = dict(attributes), dict(axes), dict(variables)
        draft.starts = [self._write(draft, "checkpoints", "start", tensors, about) for tensors, about in starts]
        self._commit_manifest(draft)
        self._sweep(old)

    def read(self, blob: Blob, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """The tensors of a committed file, in fresh memory."""
        return read_blob(self.directory, blob, device)

    def log(self, **entry: Any) -> None:
        """One line of the sidecar: times, hosts and all that may differ between two runs of one spec."""
        with storage("writing", self.directory / "log.jsonl"), open(self.directory / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _write(self, draft: Manifest, folder: str, what: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Blob:
        content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
        name = f"{folder}/{draft.serial:08d}-{what}.safetensors"
        draft.serial += 1  # never used twice, so that a committed file is never written again
        return Blob(name, len(content), write_whole(self.directory / name, content), dict(about))

    def _commit_manifest(self, draft: Manifest) -> None:
        content = json.dumps(attrs.asdict(draft), indent=1, sort_keys=True)
        write_whole(self.directory / "manifest.json", content.encode())
        self.manifest = draft


def _left_behind(path: Path) -> bool:
    """What a run that died before its first commit may leave."""
    empty_folder = path.name in FOLDERS and path.is_dir() and not any(path.iterdir())
    return path.name in ("lock", ".manifest.json.part") or empty_folder


def _transient(manifest: Manifest) -> list[str]:
    """Files that a later manifest may drop."""
    checkpoint = [manifest.checkpoint] if manifest.checkpoint else []
    return [blob.file for blob in [*manifest.references, *checkpoint, *manifest.starts]]


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a run directory; None if there is none yet.

    Raises:
        StorageError: if it is damaged or of another format.
    """
    path = directory / "manifest.json"
    with storage("reading", path):
        if not path.exists():
            return None
        content = path.read_bytes()
    try:
        raw = json.loads(content)
        if raw["format"] not in READABLE:
            raise StorageError(
                f"{path}: found format {raw['format']}, this version reads {' and '.join(map(str, READABLE))}; "
                "install the version that wrote it"
            )
        raw["format"] = FORMAT  # in which it is written again
        for part in ("shards", "references", "finals", "starts"):
            raw[part] = [Blob(**blob) for blob in raw.get(part, [])]
        raw["checkpoint"] = Blob(**raw["checkpoint"]) if raw["checkpoint"] else None
        return Manifest(**raw)
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path}: damaged, no manifest of a run could be read from it; restore it, or begin anew with --fresh"
        ) from error


def read_blob(directory: Path, blob: Blob, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a committed file.

    They are copied into fresh memory: tensors that lie misaligned in the file's buffer changed the last bits of norms and
    products in a quarter of the cases.

    Raises:
        StorageError: if the file is absent or is not what was committed.
    """
    content = read_checked(directory / blob.file, blob.size, blob.digest)
    return {name: torch.empty_like(value).copy_(value).to(device) for name, value in load(content).items()}
