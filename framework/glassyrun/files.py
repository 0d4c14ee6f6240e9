"""Files that are either whole or absent: written beside, fsynced, renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from glassyrun.errors import StorageError


@contextlib.contextmanager
def storage(what: str, path: Path) -> Iterator[None]:
    """Turns an OSError into one sentence that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {what} failed: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    remedies = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again, what was committed is kept",
        errno.EDQUOT: "the quota is used up; free some space and run the same command again, what was committed is kept",
        errno.EACCES: "permission denied; choose a directory that you may write with -o DIR",
        errno.EPERM: "operation not permitted; choose a directory that you may write with -o DIR",
        errno.EROFS: "the file system is read-only; choose another directory with -o DIR",
        errno.ENOTDIR: "a part of this path is a file, not a directory; choose another directory with -o DIR",
        errno.EEXIST: "a file of this name is in the way; move it or choose another directory with -o DIR",
    }
    default = f"{os.strerror(error.errno) if error.errno else error}; see that the directory is there and can be written"
    return remedies.get(error.errno or 0, default)


def write_whole(path: Path, content: bytes) -> str:
    """Writes a file so that after a crash it is there whole or not at all; gives back its digest.

    Raises:
        StorageError: if the file can't be written.
    """
    beside = path.with_name(f".{path.name}.part")
    with storage("writing", path):
        try:
            with open(beside, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
            sync_directory(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
    return digest(content)


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(content: bytes) -> str:
    """BLAKE2b, 128 bits: safetensors and torch load a flipped bit without a word."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_checked(path: Path, size: int, expected: str) -> bytes:
    """The content of a file that must be exactly what was committed.

    Raises:
        StorageError: if it is absent, cut, or changed.
    """
    with storage("reading", path):
        content = path.read_bytes()
    if len(content) != size or digest(content) != expected:
        raise StorageError(
            f"{path}: damaged, found {len(content)} bytes with digest {digest(content)}, "
            f"expected {size} bytes with digest {expected}; restore the file, or begin anew with --fresh"
        )
    return content
