"""Data sets in an npz file: arrays `train_x, train_y, test_x, test_y`, read without pickle."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from glassyrun import DataError
from glassyrun_networks.data.arrays import NAMES, Arrays, Form, checked, sha256_of
from glassyrun_networks.data.room import lacking


def read_npz(file: Path, form: Form) -> Arrays:
    """Reads `train_x, train_y, test_x, test_y` from an npz file, without pickle.

    The headers are looked at before any array is loaded: they must have the form of this data set, agree with the size of what
    follows them, and fit into the free memory, so neither a foreign file nor a packed one that swells can ask for more.

    Raises:
        DataError: if the file is damaged or holds something else; one sentence.
    """
    remedy = f"put a whole file there (arrays {', '.join(NAMES)}), or remove it"
    try:
        digest = sha256_of([file])
        with zipfile.ZipFile(file) as archive:
            _examine(archive, file, form, remedy)
        with np.load(file, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in NAMES}
    except DataError:
        raise
    except Exception as error:  # a foreign file can make zipfile, zlib and NumPy raise nearly anything
        told = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file}: is damaged or no npz file ({told}); {remedy}") from error
    return checked(arrays, form, file, file.name, digest, remedy)


def _examine(archive: zipfile.ZipFile, file: Path, form: Form, remedy: str) -> None:
    names = archive.namelist()
    missing = [name for name in NAMES if f"{name}.npy" not in names]
    if missing:
        raise DataError(f"{file}: has no array {missing[0]!r} (found: {_listed(names)}); {remedy}")
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, np.dtype[Any]] = {}
    sizes: dict[str, int] = {}
    for name in NAMES:
        shapes[name], dtypes[name], sizes[name] = _header(archive, f"{name}.npy")
    fault = form.fault(shapes, dtypes)
    if fault:
        raise DataError(f"{file}: {fault}; {remedy}")
    for name in NAMES:
        claimed = math.prod(shapes[name]) * dtypes[name].itemsize
        if claimed != sizes[name]:
            raise DataError(
                f"{file}: is damaged ({name} claims to be {list(shapes[name])}, {claimed} bytes, and has {sizes[name]}); {remedy}"
            )
    lack = lacking(sum(sizes.values()))
    if lack:
        raise DataError(f"{file}: unpacks to {lack}; {remedy}")


def _header(archive: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type, and the number of bytes behind the header, as the file tells them."""
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
        return shape, dtype, archive.getinfo(member).file_size - stream.tell()


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:6]) or "none"
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
