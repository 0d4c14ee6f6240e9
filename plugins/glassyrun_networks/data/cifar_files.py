"""The CIFAR sets in their authors' files, read through torchvision.

The files are pickles, so each is checked before any is opened: the archive by a SHA-256 of ours, and each file in it by the md5
that torchvision pins and, where it is known, by a SHA-256 of ours. Nothing is unpickled here but the authors' own bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glassyrun import DataError
from glassyrun_networks.data.arrays import Arrays, Form, checked, sha256_of

AGAIN = "fetch it again"


def read(dataset: Any, root: Path, form: Form, archive_sha256: str, sha256: Mapping[str, str]) -> Arrays | None:
    """The set of a torchvision class such as `CIFAR10` from its folder below `root`, or from its archive, which is then unpacked.

    None where there is neither.

    Args:
        dataset: the torchvision class.
        root: folder of data sets.
        form: what the set must look like.
        archive_sha256: of the archive.
        sha256: of the files in it by their names, as far as they are known.

    Raises:
        DataError: if folder or archive are not the authors'.
    """
    folder, archive = root / dataset.base_folder, root / dataset.filename
    unpacks = not folder.is_dir()
    if unpacks and not archive.is_file():
        return None
    if unpacks:
        _vouch(archive, archive_sha256)
    else:
        for name, expected in sha256.items():
            _vouch(folder / name, expected)
    try:
        train = dataset(root, train=True, download=unpacks)
        test = dataset(root, train=False)
    except OSError as error:
        raise DataError(
            f"{archive if unpacks else folder}: can't be unpacked or read ({error}): mend that, or remove it"
        ) from error
    except RuntimeError as error:
        raise DataError(
            f"{folder}: a file is missing, or its md5 is not that of the original: remove the folder, or {AGAIN}"
        ) from error
    files = sorted(folder / name for name, _ in dataset.train_list + dataset.test_list)
    arrays = {"train_x": train.data, "train_y": np.array(train.targets), "test_x": test.data, "test_y": np.array(test.targets)}
    return checked(arrays, form, folder, folder.name, sha256_of(files), f"remove the folder, or {AGAIN}")


def _vouch(file: Path, expected: str) -> None:
    """Raises a DataError where `file` is not the one with this SHA-256."""
    try:
        found = sha256_of([file])
    except OSError as error:
        raise DataError(f"{file}: can't be read ({error.strerror or error}): remove its folder, or {AGAIN}") from error
    if found != expected:
        raise DataError(f"{file}: its SHA-256 {found[:12]}… is not that of the original, {expected[:12]}…: remove it, or {AGAIN}")
