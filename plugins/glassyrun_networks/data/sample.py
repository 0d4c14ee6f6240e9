"""Samples of data sets that are part of the package: one zip of lossless WebP sheets and labels, with a pinned digest.

`pack` made them from the first images of the sets: of CIFAR-10 in a balanced order, of MNIST those that `in_turn` gives.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glassyrun import DataError
from glassyrun_networks.data.arrays import Arrays, Form, checked

COLUMNS = 50
"""Images side by side on a sheet."""
EPOCH = (1980, 1, 1, 0, 0, 0)
REMEDY = "the package is damaged: install glassyrun again"


def packaged(name: str, sha256: str, form: Form) -> Arrays:
    """The sample `name` of the package.

    Raises:
        DataError: if it is not the file that was packaged.
    """
    file = resources.files("glassyrun_networks.data") / name
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: can't be read ({error.strerror}); {REMEDY}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{file}: has SHA-256 {found[:12]}…, expected {sha256[:12]}…; {REMEDY}")
    return unpack(content, Path(name), form, sha256)


def unpack(content: bytes, source: Path, form: Form, sha256: str) -> Arrays:
    """Reads what `pack` wrote."""
    from PIL import Image

    height, width, channels = form.image
    arrays: dict[str, NDArray[np.generic]] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for part in ("train", "test"):
            labels = np.load(io.BytesIO(archive.read(f"{part}_y.npy")), allow_pickle=False)
            with Image.open(io.BytesIO(archive.read(f"{part}_x.webp"))) as image:
                sheet = np.asarray(image.convert("RGB"))[..., :channels]
            tiles = sheet.reshape(-1, height, COLUMNS, width, channels).swapaxes(1, 2).reshape(-1, *form.image)
            arrays[f"{part}_x"], arrays[f"{part}_y"] = tiles[: len(labels)], labels
    return checked(arrays, form, source, source.name, sha256, REMEDY)


def in_turn(labels: NDArray[np.integer], count: int) -> NDArray[np.intp]:
    """Numbers of the first images of each class, one of each class in turn, `count` in all."""
    classes = np.unique(labels)
    rounds = -(-count // len(classes))
    return np.stack([np.flatnonzero(labels == label)[:rounds] for label in classes], axis=1).ravel()[:count]


def pack(arrays: Arrays) -> bytes:
    """Images and labels as one zip, losslessly; the same images give the same bytes with the same Pillow."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for part, x, y in (("train", arrays.train_x, arrays.train_y), ("test", arrays.test_x, arrays.test_y)):
            labels = io.BytesIO()
            np.save(labels, y.astype(np.uint8), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{part}_x.webp", EPOCH), _sheet(x))
            archive.writestr(zipfile.ZipInfo(f"{part}_y.npy", EPOCH), labels.getvalue())
    return target.getvalue()


def _sheet(images: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    _, height, width, channels = images.shape
    rows = -(-len(images) // COLUMNS)
    padded = np.zeros((rows * COLUMNS, height, width, channels), np.uint8)
    padded[: len(images)] = images
    sheet = (
        padded.reshape(rows, COLUMNS, height, width, channels).swapaxes(1, 2).reshape(rows * height, COLUMNS * width, channels)
    )
    target = io.BytesIO()
    colours = np.broadcast_to(sheet, (*sheet.shape[:2], 3))
    Image.fromarray(colours).save(target, "WEBP", lossless=True, quality=100, method=6, exact=True)
    return target.getvalue()
