"""Data sets in an npz file: arrays `train_x, train_y, test_x, test_y`, read without pickle."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from glassyrun import DataError
from glassyrun_networks.data.arrays import NAMES, Arrays, Form, checked, sha256_of
from glassyrun_networks.data.room import lacking

MOST_MEMBERS = 1000
"""Arrays in one file."""
MOST_DIRECTORY = 1_000_000
"""Bytes of the list of them."""
LONGEST = 200
"""Characters of another program's words in a message."""


def read_npz(file: Path, form: Form) -> Arrays:
    """Reads `train_x, train_y, test_x, test_y` from an npz file, without pickle.

    The headers are looked at before any array is loaded: they must have the form of this data set, agree with the size of what
    follows them, and fit into the free memory, so neither a foreign file nor a packed one that swells can ask for more. Only the
    four members are looked at, each by itself, and no name in the file is ever one on disk.

    Raises:
        DataError: if the file is damaged or holds something else; one sentence.
    """
    remedy = f"put a whole file there (arrays {', '.join(NAMES)}), or remove it"
    try:
        digest = sha256_of([file])
        with file.open("rb") as stream:
            _refuse_many(stream, file, remedy)
            with zipfile.ZipFile(stream) as archive:
                _examine(archive, file, form, remedy)
                arrays = {name: _load(archive, f"{name}.npy") for name in NAMES}
    except DataError:
        raise
    except Exception as error:  # a foreign file can make zipfile, zlib and NumPy raise nearly anything
        told = _short(" ".join(str(error).split()) or type(error).__name__)
        raise DataError(f"{file}: is damaged or no npz file ({told}); {remedy}") from error
    return checked(arrays, form, file, file.name, digest, remedy)


def _load(archive: zipfile.ZipFile, member: str) -> NDArray[Any]:
    """One array. What its header says has been found to agree with its size, which zipfile does not read beyond."""
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _refuse_many(stream: BinaryIO, file: Path, remedy: str) -> None:
    """Raises a DataError where the zip lists more members than a data set has any use for: listing them takes memory."""
    # the one way to see what zipfile will see; anything else may be made to find another directory than it does
    end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    stream.seek(0)
    if end is not None and (end[4] > MOST_MEMBERS or end[5] > MOST_DIRECTORY):
        raise DataError(
            f"{file}: lists {end[4]} members in {end[5]} bytes, expected at most {MOST_MEMBERS} in {MOST_DIRECTORY}; {remedy}"
        )


def _examine(archive: zipfile.ZipFile, file: Path, form: Form, remedy: str) -> None:
    names = archive.namelist()
    missing = [name for name in NAMES if f"{name}.npy" not in names]
    if missing:
        raise DataError(f"{file}: has no array {missing[0]!r} (found: {_listed(names)}); {remedy}")
    for name in NAMES:
        method = archive.getinfo(f"{name}.npy").compress_type
        if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
            raise DataError(f"{file}: {name} is packed by method {method}, expected 0 or 8, as NumPy packs; {remedy}")
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


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _listed(names: list[str]) -> str:
    shown = ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in names[:6]) or "none"
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
