"""Images and labels as NumPy arrays, whatever file they came from, and the checks that all of them pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
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

    @property
    def images(self) -> str:
        """The shape of an array of images, in words."""
        sides = ", ".join(map(str, self.image))
        return f"[n, {sides}]" + (f" or [n, {sides.removesuffix(', 1')}]" if self.image[2] == 1 else "")

    def fault(self, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, np.dtype[Any]]) -> str | None:
        """What is wrong with arrays of such shapes and types: what was found and what was expected."""
        for name in NAMES:
            shape, dtype = shapes[name], dtypes[name]
            if shape[:1] == (0,):
                return f"{name} is empty, expected at least one image"
            if name.endswith("_x"):
                grey = self.image[2] == 1 and shape[1:] == self.image[:2]
                right = len(shape) > 1 and shape[0] > 0 and (shape[1:] == self.image or grey) and dtype == np.uint8
                expected = f"uint8 {self.images}"
            else:
                right = len(shape) == 1 and shape[0] > 0 and dtype.kind in "iu"
                expected = "integers [n]"
            if not right:
                return f"{name} is {dtype} {list(shape)}, expected {expected}"
        for part in ("train", "test"):
            images, labels = shapes[f"{part}_x"][0], shapes[f"{part}_y"][0]
            if images != labels:
                return f"{part}_x holds {images} images but {part}_y {labels} labels"
        return None


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
    """Of that file, or of the folder's files (unpacked where they are packed) one after another in the order of their names."""


def checked(arrays: Mapping[str, NDArray[Any]], form: Form, place: Path | str, source: str, sha256: str, remedy: str) -> Arrays:
    """The arrays as a data set.

    Args:
        arrays: by the names NAMES.
        form: what they must look like.
        place: of the file or folder, for messages.
        source: what the result calls it.
        sha256: of it.
        remedy: what to do where it is not as it must be.

    Raises:
        DataError: if they have not the form of this data set.
    """
    fault = form.fault({name: arrays[name].shape for name in NAMES}, {name: arrays[name].dtype for name in NAMES})
    if fault:
        raise DataError(f"{place}: {fault}; {remedy}")
    for name in ("train_y", "test_y"):
        labels = arrays[name]
        if labels.min() < 0 or labels.max() >= form.classes:
            raise DataError(
                f"{place}: {name} has labels from {labels.min()} to {labels.max()}, expected 0 to {form.classes - 1}; {remedy}"
            )
    # contiguous, because a network on the CPU then shares this memory
    images = {name: np.ascontiguousarray(arrays[name]).reshape(-1, *form.image) for name in ("train_x", "test_x")}
    labels = {name: arrays[name].astype(np.int64) for name in ("train_y", "test_y")}
    return Arrays(**images, **labels, source=source, sha256=sha256)


def first(count: int | None, *arrays: NDArray[Any]) -> tuple[Tensor, ...]:
    """The first `count` rows of each array as tensors; None stands for all.

    Rows of a larger array are copied, so that the rest of it can go; so is what may not be written to, because torch can't
    promise that.
    """
    return tuple(
        torch.from_numpy(array[:count].copy() if count is not None or not array.flags.writeable else array) for array in arrays
    )


def sha256_of(files: Iterable[Path]) -> str:
    """SHA-256 over the files one after another."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
