"""The CIFAR sets in their authors' files.

The files are pickles, so the bytes of each are checked before they are looked into: the archive by a SHA-256 of ours, and each
file by the md5 that torchvision pins and, where it is known, by a SHA-256 of ours. What is then unpickled is those very bytes,
and nothing but dictionaries, lists, numbers, text and arrays can come of them: a pickle that names any other code is refused.
Nothing of the archive is written to disk.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glassyrun import DataError
from glassyrun_networks.data.arrays import Arrays, Form, checked

AGAIN = "fetch it again"
LARGEST_FILE = 400_000_000
"""Bytes of one file; CIFAR-100's training set has 155 MB, the archives 170 MB."""
ARRAYS: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    # how Python 3 writes bytes for Python 2
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
}
"""All that a pickle may name."""


class Plain(pickle.Unpickler):
    """Makes arrays and Python's own plain values, and looks no other name up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ARRAYS:
            return ARRAYS[module, name]
        raise pickle.UnpicklingError(f"it names {module[:40]}.{name[:40]}, expected arrays and labels alone")


def read(dataset: Any, root: Path, form: Form, archive_sha256: str, sha256: Mapping[str, str]) -> Arrays | None:
    """The set of a torchvision class such as `CIFAR10` from its folder below `root`, or from its archive. None where there is neither.

    Args:
        dataset: the torchvision class, which knows the names of the files and their md5.
        root: folder of data sets.
        form: what the set must look like.
        archive_sha256: of the archive.
        sha256: of the files in it by their names, as far as they are known.

    Raises:
        DataError: if folder or archive are not the authors'.
    """
    folder, archive = root / dataset.base_folder, root / dataset.filename
    if folder.is_dir():
        content = {name: _bytes(folder / name) for name, _ in (*dataset.train_list, *dataset.test_list)}
    elif archive.is_file():
        content = _packed(archive, archive_sha256, dataset)
    else:
        return None
    for name, md5 in (*dataset.train_list, *dataset.test_list):
        _vouch(folder / name, content[name], sha256.get(name), hashlib.sha256)
        _vouch(folder / name, content[name], md5, hashlib.md5)
    digest = hashlib.sha256()
    for name in sorted(content):
        digest.update(content[name])
    arrays: dict[str, Any] = {}
    for part, files in (("train", dataset.train_list), ("test", dataset.test_list)):
        arrays[f"{part}_x"], arrays[f"{part}_y"] = _images(folder, {name: content.pop(name) for name, _ in files}, form)
    return checked(arrays, form, folder, folder.name, digest.hexdigest(), f"remove the folder, or {AGAIN}")


def _bytes(file: Path) -> bytes:
    """All of a file that is no larger than it may be."""
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise DataError(
            f"{file}: is missing or can't be read ({error.strerror or error}): remove its folder, or {AGAIN}"
        ) from error
    if len(content) > LARGEST_FILE:
        raise DataError(
            f"{file}: holds more than {LARGEST_FILE:,} bytes, which is not that of the original: remove it, or {AGAIN}"
        )
    return content


def _packed(archive: Path, sha256: str, dataset: Any) -> dict[str, bytes]:
    """The files of the archive by their names; members that are links, or of other names, are left alone."""
    packed = _bytes(archive)
    _vouch(archive, packed, sha256, hashlib.sha256)
    names = {f"{dataset.base_folder}/{name}": name for name, _ in (*dataset.train_list, *dataset.test_list)}
    content: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as members:
            for member in members:
                stream = members.extractfile(member) if member.name in names and member.isfile() else None
                if stream is not None and member.size <= LARGEST_FILE:
                    content[names[member.name]] = stream.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{archive}: can't be unpacked ({' '.join(str(error).split())}): remove it, or {AGAIN}") from error
    missing = [name for name in names.values() if name not in content]
    if missing:
        raise DataError(f"{archive}: has no file {missing[0]}: remove it, or {AGAIN}")
    return content


def _images(folder: Path, files: Mapping[str, bytes], form: Form) -> tuple[Any, Any]:
    """Images [n, height, width, channel] and labels of some files one after another."""
    images: list[Any] = []
    labels: list[Any] = []
    for name, content in files.items():
        try:
            table = Plain(io.BytesIO(content), encoding="latin1").load()
            image, label = table["data"], np.array(table["labels"] if "labels" in table else table["fine_labels"])
            rows = np.asarray(image).reshape(-1, *_first_channel(form.image))
        except Exception as error:  # a foreign pickle can make nearly anything raise
            told = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(f"{folder / name}: can't be read ({told}): remove the folder, or {AGAIN}") from error
        images.append(rows)
        labels.append(label)
    return np.concatenate(images).transpose(0, 2, 3, 1), np.concatenate(labels)


def _first_channel(image: Sequence[int]) -> tuple[int, int, int]:
    height, width, channels = image
    return channels, height, width


def _vouch(file: Path, content: bytes, expected: str | None, kind: Callable[[bytes], Any]) -> None:
    """Raises a DataError where the bytes are not those with this digest; None where it is not known."""
    if expected is None:
        return
    found = kind(content)
    if found.hexdigest() != expected:
        told = {"sha256": "SHA-256"}.get(found.name, found.name)
        raise DataError(
            f"{file}: its {told} {found.hexdigest()[:12]}… is not that of the original, {expected[:12]}…: remove it, or {AGAIN}"
        )
