"""Small data sets in the form of the real ones."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import attrs
import numpy as np
import pytest

from glassyrun import Context, DataError
from glassyrun_networks.data import mnist
from tests.models import context

SIDES = {"cifar10": (32, 32, 3), "cifar100": (32, 32, 3), "mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1)}


def made_up(train: int = 20, test: int = 10, sides: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> dict[str, np.ndarray]:
    """Arrays as an npz file holds them: noise for images, the classes in turn."""
    chance = np.random.default_rng(1)
    return {
        "train_x": chance.integers(256, size=(train, *sides), dtype=np.uint8),
        "train_y": np.arange(train, dtype=np.int64) % classes,
        "test_x": chance.integers(256, size=(test, *sides), dtype=np.uint8),
        "test_y": np.arange(test, dtype=np.int64) % classes,
    }


def at(root: Path, owner: str = "system/data", **others: int) -> Context:
    """A context whose data lie in `root`."""
    return attrs.evolve(context(owner, **others), data_root=root)


def one_sentence(error: pytest.ExceptionInfo[DataError]) -> str:
    told = str(error.value)
    assert "\n" not in told
    assert not told.endswith(".")
    return told


def assert_same(data, arrays: dict[str, np.ndarray]) -> None:
    """The data set is the images and labels of `arrays`, the channel first."""
    for part in ("train", "test"):
        seen = getattr(data, f"{part}_x").movedim(1, -1).numpy()
        np.testing.assert_array_equal(seen, arrays[f"{part}_x"].reshape(seen.shape))
        np.testing.assert_array_equal(getattr(data, f"{part}_y").numpy(), arrays[f"{part}_y"])


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes, written by the book: magic number, sides in four bytes, the numbers."""
    head = b"\0\0\x08" + bytes([array.ndim])
    return head + b"".join(side.to_bytes(4, "big") for side in array.shape) + array.astype(np.uint8).tobytes()


def lay_idx(folder: Path, arrays: dict[str, np.ndarray], packed: bool = False) -> None:
    """The four files of MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, (name, _) in mnist.FILES.items():
        content = idx(arrays[key].reshape(arrays[key].shape[:3]))
        (folder / f"{name}.gz" if packed else folder / name).write_bytes(gzip.compress(content) if packed else content)


def pin_idx(monkeypatch: pytest.MonkeyPatch, options: type[mnist.IdxOptions], arrays: dict[str, np.ndarray]) -> None:
    """Tells the reader that these arrays are the originals."""
    content = {key: idx(arrays[key].reshape(arrays[key].shape[:3])) for key in mnist.FILES}
    shapes = {key: (name, arrays[key].shape[:3]) for key, (name, _) in mnist.FILES.items()}
    monkeypatch.setattr(mnist, "FILES", shapes)
    monkeypatch.setattr(options, "sha256", {key: hashlib.sha256(part).hexdigest() for key, part in content.items()})
