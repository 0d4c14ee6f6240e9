"""Files that are either whole or absent: written beside, fsynced, renamed. Nothing outside a run directory is touched."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

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
        errno.ELOOP: "it is a symbolic link, which no run makes; remove it or choose another directory with -o DIR",
    }
    default = f"{os.strerror(error.errno) if error.errno else error}; see that the directory is there and can be written"
    return remedies.get(error.errno or 0, default)


def write_whole(path: Path, content: bytes, *, shared: bool = False) -> str:
    """Writes a file so that after a crash it is there whole or not at all; gives back its digest.

    One that is `shared` may be written by a process that does not own the directory, such as `glassyrun collect`.

    Raises:
        StorageError: if the file can't be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part" if shared else f".{path.name}.part")
    with storage("writing", path):
        try:
            with open(beside, "wb", opener=no_link) as file:
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


def make_directory(directory: Path) -> None:
    """Makes a directory, and all above it that are absent, each with a name that survives a power cut."""
    if not directory.is_dir():
        if directory.parent != directory:
            make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        with contextlib.suppress(PermissionError):  # who may write there need not be allowed to read
            sync_directory(directory.parent)


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


def no_link(path: str, flags: int) -> int:
    """Opens a file, but never through a symbolic link: a directory may come from a stranger, and its links may lead anywhere."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)  # nor waits for the other end of a pipe


def inside(directory: Path, path: Path) -> None:
    """Refuses a path that leaves the run directory, through `..` or a symbolic link.

    Raises:
        StorageError: if it does.
    """
    with storage("reading", path):
        leaves = not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))
    if leaves:
        raise StorageError(f"{path}: leads out of the run directory; put the file itself there")


def read_checked(directory: Path, name: str, size: int, expected: str) -> bytes:
    """The content of a file of a run directory that must be exactly what was committed.

    Raises:
        StorageError: if it is absent, cut, or changed; a wrong size is noticed before anything is read.
    """
    path = directory / name
    inside(directory, path)
    with storage("reading", path):
        about = os.stat(path)
        found = about.st_size
        if found > psutil.virtual_memory().available:
            raise StorageError(f"{path}: has {found / 1e9:.3g} GB, which do not fit into the free memory; take a larger machine")
        content = path.read_bytes() if stat.S_ISREG(about.st_mode) and found == size else None
    if content is None or len(content) != size:
        raise StorageError(f"{path}: damaged, found {found} bytes, expected {size}; restore the file, or begin anew with --fresh")
    if digest(content) != expected:
        raise StorageError(
            f"{path}: damaged, found the digest {digest(content)}, expected {expected}; restore the file, or begin anew with --fresh"
        )
    return content
