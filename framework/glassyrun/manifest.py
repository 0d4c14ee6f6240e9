"""What is committed of a run: one JSON file that names all others. It may come from a stranger, so nothing in it is believed."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from pydantic import ValidationError

from glassyrun.errors import StorageError
from glassyrun.files import digest, inside, storage
from glassyrun.manifest_form import FINAL, REMEMBERED, SHARD, START, STATE, Form, number_of

FORMAT = 3
READABLE = (1, 2, 3)
"""Formats of the manifest that this version reads; 1 has no final States, 2 one checkpoint and none to grow from."""
SEALED = 3
"""The first format with a digest of its own."""
FOLDERS = ("shards", "checkpoints")
MOST_BYTES = 64_000_000
"""Of a manifest: some 200,000 commits."""


@attrs.frozen
class Blob:
    """A file of tensors as the manifest knows it."""

    file: str
    size: int
    digest: str
    about: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def sample(self) -> int:
        return self.about["sample"]


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
    grids: dict[str, list[int]] = attrs.field(factory=dict)
    """Steps of `time`, `t_w` and `t` where they are not those of the spec alone, because the run has grown."""
    terms: dict[str, str] = attrs.field(factory=dict)
    """On which terms (device, versions, …) the run goes on, where they are not those that it was begun on."""
    shards: list[Blob] = attrs.field(factory=list)
    references: list[Blob] = attrs.field(factory=list)
    """What was remembered at waiting times and may be read again."""
    checkpoint: Blob | None = None
    """Where the sample that is under way goes on from."""
    previous: Blob | None = None
    """The checkpoint before, for the case that the newest is damaged."""
    finals: list[Blob] = attrs.field(factory=list)
    """Where samples that rest go on from, if the horizon grows; other runs may begin from there."""
    starts: list[Blob] = attrs.field(factory=list)
    """The States of another run that samples begin from."""
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
        return not (self.shards or self.checkpoint or self.finals or self.done or self.failure or self.complete)

    def blobs(self) -> Iterator[Blob]:
        """All files that are named."""
        yield from (*self.shards, *self.references, *self.finals, *self.starts)
        yield from (blob for blob in (self.checkpoint, self.previous) if blob is not None)

    def final(self, sample: int) -> Blob | None:
        """Where a sample rests."""
        return next((blob for blob in self.finals if blob.sample == sample), None)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a run directory; None if there is none yet.

    Raises:
        StorageError: if it is damaged, of another format, or says what no run would say.
    """
    path = directory / "manifest.json"
    with storage("reading", path):
        try:
            about = os.stat(path)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            raise StorageError(f"{directory}: is a file, expected the directory that a run wrote") from None
        if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_BYTES:
            raise StorageError(f"{path}: no file of a run, expected JSON of at most {MOST_BYTES} bytes; restore it")
        inside(directory, path)
        content = path.read_bytes()
    return parse_manifest(content, path)


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """The manifest in a file, every field of it checked.

    Raises:
        StorageError: naming the first thing that is wrong.
    """
    try:
        raw = json.loads(content)
        if raw["format"] not in READABLE:
            raise StorageError(
                f"{path}: found format {raw['format']!r:.40}, this version reads {', '.join(map(str, READABLE))}; "
                "install the version that wrote it"
            )
        Form.model_validate(raw)
        said = raw.pop("digest", None)
        if raw["format"] >= SEALED and said != seal(raw):
            raise ValueError("its content is not what was committed")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(
            f"{path}: damaged, no manifest of a run could be read from it{_first(error)}; restore it, or begin anew with --fresh"
        ) from error
    manifest = _manifest(raw)
    wrong = next(_contradictions(manifest), None)
    if wrong is not None:
        raise StorageError(f"{path}: damaged, {wrong}; restore it, or begin anew with --fresh")
    return manifest


def seal(raw: Mapping[str, Any]) -> str:
    """The digest of a manifest over its own content: a flipped digit in a coordinate would else be a wrong number."""
    return digest(json.dumps(raw, indent=1, sort_keys=True).encode())


def sealed(raw: Mapping[str, Any]) -> bytes:
    """A manifest as it is written."""
    return json.dumps({**raw, "digest": seal(raw)}, indent=1, sort_keys=True).encode()


def _first(error: Exception) -> str:
    """Where a form was not kept."""
    if not isinstance(error, ValidationError):
        return " (its content is not what was committed)" if str(error).startswith("its content") else ""
    first = error.errors(include_url=False, include_input=False)[0]
    return f" ({'.'.join(str(part) for part in first['loc'])[:100]}: {first['msg'][:200]})"


def _manifest(raw: dict[str, Any]) -> Manifest:
    raw["format"] = FORMAT  # in which it is written again
    for part in ("shards", "references", "finals", "starts"):
        raw[part] = [Blob(**blob) for blob in raw.get(part, [])]
    for part in ("checkpoint", "previous"):
        raw[part] = Blob(**raw[part]) if raw.get(part) else None
    manifest = Manifest(**raw)
    # before format 3 references were those of the sample under way
    manifest.references = [attrs.evolve(blob, about={"sample": manifest.done, **blob.about}) for blob in manifest.references]
    return manifest


def _contradictions(manifest: Manifest) -> Iterator[str]:
    """What can't be, each field by itself being of the right form."""
    names = [blob.file for blob in manifest.blobs()]
    if len(set(names)) != len(names):
        yield "it names one file twice"
    if any(number_of(name) >= manifest.serial for name in names):
        yield f"its next file has the number {manifest.serial}, which lies before that of a committed file"
    kinds = ((manifest.shards, SHARD), (manifest.references, REMEMBERED), (manifest.starts, START), (manifest.finals, FINAL))
    checkpoints = [blob for blob in (manifest.checkpoint, manifest.previous) if blob is not None]
    for blobs, kind in (*kinds, (checkpoints, STATE)):
        yield from (f"it names {blob.file} where no such file can be" for blob in blobs if not kind.fullmatch(blob.file))
    yield from _loose_axes(manifest)
    if not manifest.axes:
        if names and manifest.shards:
            yield "it has shards, and no axes"
        return
    samples, waiting = len(manifest.axes["sample"]["values"]), len(manifest.axes.get("t_w", {"values": []})["values"])
    if manifest.done > samples:
        yield f"it has {manifest.done} samples done of {samples}"
    for blob in manifest.blobs():
        if blob.sample >= samples:
            yield f"{blob.file} is of sample {blob.sample}, expected less than {samples}"
        remembered = [blob.about] if "t_w" in blob.about else blob.about.get("living", [])
        if any(about["t_w"] >= waiting for about in remembered):
            yield f"{blob.file} is of a waiting time that is none of the {waiting}"


def _loose_axes(manifest: Manifest) -> Iterator[str]:
    """Axes that lie along none, and variables without axes."""
    axes = manifest.axes
    if axes and not {"sample", "replica"} <= axes.keys():
        yield "its axes lack sample or replica"
    for name, axis in axes.items():
        along = axes.get(axis.get("along", name))
        if along is None or len(along["values"]) != len(axis["values"]):
            yield f"the axis {name!r} does not lie along any other"
    for name, about in manifest.variables.items():
        known = {*axes, *about["coords"]}
        if name in axes or not {"sample", *about["grid"], *about["dims"]} <= known:
            yield f"the variable {name!r} has a dimension without an axis"
