"""Files of the MNIST family (idx format, LeCun): unpacked no further than they may be, and checked before they are understood."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from glassyrun import DataError


@attrs.frozen
class Original:
    """An idx file of bytes, as its authors published it."""

    name: str
    shape: tuple[int, ...]
    sha256: str
    """Of the unpacked file, so that it does not matter who packed it."""

    @property
    def header(self) -> int:
        """Its bytes: two zeros, the type, the number of sides, and each side in four bytes."""
        return 4 + 4 * len(self.shape)


def read_idx(file: Path, original: Original) -> tuple[NDArray[np.uint8], memoryview]:
    """The array in an idx file, plain or `.gz`, and all of its unpacked bytes, which are the same memory.

    Nothing that the file claims of itself is believed: the sides are those of the original, no more bytes are unpacked than
    it has, and their SHA-256 vouches for all of them, header included.

    Raises:
        DataError: if the file is not the original; one sentence.
    """
    content = _content(file, original.header + math.prod(original.shape))
    found = hashlib.sha256(content).hexdigest()
    if found != original.sha256:
        raise _foreign(file, f"has SHA-256 {found[:12]}…, expected that of the original, {original.sha256[:12]}…")
    return np.frombuffer(content, np.uint8, offset=original.header).reshape(original.shape), memoryview(content)


def _content(file: Path, size: int) -> bytearray:
    """The bytes of a file, unpacked, of which there must be `size`."""
    content, have = bytearray(size), 0
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            while have < size and (count := stream.readinto(memoryview(content)[have:])):
                have += count
            more = bool(stream.read(1))
    except (OSError, EOFError, zlib.error) as error:
        raise _foreign(file, f"can't be read ({' '.join(str(error).split()) or type(error).__name__})") from error
    if have < size or more:
        raise _foreign(file, f"holds {'more' if more else f'{have} bytes'}, expected {size} bytes when it is unpacked")
    return content


def _foreign(file: Path, told: str) -> DataError:
    return DataError(f"{file}: {told}: remove it, or fetch it again (a set of your own belongs into an npz file)")
