"""Images and labels as NumPy arrays, whatever file they came from, and the checks that all of them pass."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from glassyrun import DataError

NAMES = ("train_x", "train_y", "test_x", "test_y")


@attrs.frozen
class Form:
    """What a data set must look like."""

    image: tuple[int, int, int]
    """Height, width, channels."""
    classes: int

    def fault(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str | None:
        """What is wrong with an array called `name`: what was found and what was expected."""
        if name.endswith("_x"):
            right = len(shape) == 4 and shape[0] > 0 and shape[1:] == self.image and dtype == np.uint8
            expected = f"uint8 [n, {', '.join(map(str, self.image))}]"
        else:
            right = len(shape) == 1 and shape[0] > 0 and dtype.kind in "iu"
            expected = "integers [n]"
        return None if right else f"{name} is {dtype} {list(shape)}, expected {expected}"


@attrs.frozen(eq=False)
class Arrays:
    """A whole data set on the host; images [n, height, width, channel]."""

    train_x: NDArray[np.uint8]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.uint8]
    test_y: NDArray[np.int64]
    source: str
    """Name of the file or folder it was read from, without the path."""
    sha256: str
    """Of that file, or of the folder's files one after another in the order of their names."""


def checked(arrays: Mapping[str, NDArray[Any]], form: Form, source: Path, sha256: str, remedy: str) -> Arrays:
    """The arrays as a data set.

    Raises:
        DataError: if they have not the form of this data set.
    """
    for name in NAMES:
        fault = form.fault(name, arrays[name].shape, arrays[name].dtype)
        if fault:
            raise DataError(f"{source}: {fault}; {remedy}")
    for part in ("train", "test"):
        x, y = arrays[f"{part}_x"], arrays[f"{part}_y"]
        if len(x) != len(y):
            raise DataError(f"{source}: {part}_x holds {len(x)} images but {part}_y {len(y)} labels; {remedy}")
        if y.min() < 0 or y.max() >= form.classes:
            raise DataError(
                f"{source}: {part}_y has labels from {y.min()} to {y.max()}, expected 0 to {form.classes - 1}; {remedy}"
            )
    return Arrays(
        arrays["train_x"],
        arrays["train_y"].astype(np.int64),
        arrays["test_x"],
        arrays["test_y"].astype(np.int64),
        source.name,
        sha256,
    )


def first(count: int | None, *arrays: NDArray[Any]) -> tuple[Tensor, ...]:
    """The first `count` rows of each array as tensors; None stands for all.

    Rows of a larger array are copied, so that the rest of it can go; so is what may not be written to, because torch can't
    promise that.
    """
    return tuple(
        torch.from_numpy(array[:count].copy() if count is not None or not array.flags.writeable else array) for array in arrays
    )


def read_npz(file: Path, form: Form) -> Arrays:
    """Reads `train_x, train_y, test_x, test_y` from an npz file, without pickle.

    The headers are looked at before any array is loaded, so a foreign file can't ask for more memory than its images take.

    Raises:
        DataError: if the file is damaged or holds something else; one sentence.
    """
    remedy = f"put a whole file there (arrays {', '.join(NAMES)}), or remove it"
    try:
        digest = sha256_of([file])
        with zipfile.ZipFile(file) as archive:
            missing = [name for name in NAMES if f"{name}.npy" not in archive.namelist()]
            if missing:
                raise DataError(
                    f"{file}: has no array {missing[0]!r} (found: {', '.join(archive.namelist()) or 'none'}); {remedy}"
                )
            for name in NAMES:
                fault = form.fault(name, *_header(archive, f"{name}.npy"))
                if fault:
                    raise DataError(f"{file}: {fault}; {remedy}")
        with np.load(file, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in NAMES}
    except (OSError, EOFError, ValueError, KeyError, MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file}: is damaged or no npz file ({told}); {remedy}") from error
    return checked(arrays, form, file, digest, remedy)


def _header(archive: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    return shape, dtype


def sha256_of(files: Iterable[Path]) -> str:
    """SHA-256 over the files one after another."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
