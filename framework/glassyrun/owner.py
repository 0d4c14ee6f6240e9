"""One owner of a run directory: a lock that dies with its process, and beside it a record of who that is."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import psutil
from filelock import FileLock, SoftFileLock, Timeout

from glassyrun.errors import Locked, StorageError
from glassyrun.files import storage
from glassyrun.heartbeat import BEAT_SECONDS, OWNER, STATUS, Heartbeat, number, read_sidecar, text, write_sidecar

NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""How file systems say that they know no locks; then a file that nobody may make twice stands for one."""
STILL_SECONDS = 8 * BEAT_SECONDS
"""A heart that has not beaten for so long, by the watch of who looks, beats no more. Clocks are never compared."""
LEFT = (OWNER, STATUS, f".{OWNER}.part", f".{STATUS}.part", "lock.soft")
"""Files of this module and of the heartbeat, in a run directory."""
Tell = Callable[[str], None]


def _quiet(message: str) -> None: ...


@attrs.frozen
class Owner:
    """A process that runs in a directory."""

    host: str
    machine: str
    """This boot of this machine, and its numbering of processes: where a pid means the same."""
    pid: int
    began: str
    """When the process began, in ticks of the machine: a pid is given again."""
    since: float
    """Wall time, to be shown and never compared."""
    command: str
    token: str
    """Of this taking possession."""

    @classmethod
    def here(cls) -> Owner:
        pid = os.getpid()
        command = text(shlex.join([Path(sys.argv[0] or "python").name, *sys.argv[1:]]))
        host = text(socket.gethostname())
        return cls(host, _machine(), pid, _began(pid) or "", time.time(), command, secrets.token_hex(16))

    @classmethod
    def read(cls, directory: Path) -> Owner | None:
        """Who is said to own a directory; None if nobody is, or the record is damaged."""
        raw = read_sidecar(directory / OWNER)
        if raw is None:
            return None
        pid, since = number(raw.get("pid")), number(raw.get("since"))
        if pid is None or since is None or not 0 < pid < 2**31:
            return None
        told = {name: text(raw.get(name)) for name in ("host", "machine", "began", "command", "token")}
        return cls(pid=int(pid), since=since, **told)

    @property
    def gone(self) -> bool | None:
        """Whether the process is no more; None where that can't be known from here."""
        if self.machine != _machine():
            return None
        return _began(self.pid) != self.began

    def __str__(self) -> str:
        when = ""
        with contextlib.suppress(OverflowError, ValueError, OSError):
            when = f", since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.since))}"
        return f"host {self.host or 'unknown'}, pid {self.pid}{when}{f': {self.command}' if self.command else ''}"


@attrs.define(eq=False)
class Possession:
    """A directory that is this process's own until `release`."""

    directory: Path
    owner: Owner
    lock: FileLock | SoftFileLock
    heart: Heartbeat

    @classmethod
    def take(cls, directory: Path, tell: Tell = _quiet, pause: Callable[[float], None] = time.sleep) -> Possession:
        """Takes possession of a directory, also of one whose owner died.

        Raises:
            Locked: if another process runs there.
            StorageError: if the lock can't be made.
        """
        lock = _locked(directory, tell, pause)
        try:
            before = Owner.read(directory)
            # who can't be asked from here may run on another host of a file system whose locks don't reach it
            if before is not None and not before.gone and (before.machine, before.pid) != (_machine(), os.getpid()):
                _wait_and_see(directory, before, tell, pause)
            owner = Owner.here()
            with storage("writing", directory / OWNER):
                write_sidecar(directory / OWNER, attrs.asdict(owner))
            heart = Heartbeat(directory, owner.token)
            heart.begin()
        except BaseException:
            lock.release()
            raise
        return cls(directory, owner, lock, heart)

    def check(self) -> None:
        """Whether the directory is still there and still ours: before a commit, since a process may have slept for long.

        Raises:
            Locked: if another process has taken it over.
            StorageError: if it is gone.
        """
        try:
            os.stat(self.directory)
        except OSError as error:
            raise StorageError(
                f"{self.directory}: the run directory is gone ({error.strerror}); bring it or its mount back and run the same command "
                "again, what was committed is in it"
            ) from error
        now = Owner.read(self.directory)
        if now is None:
            with contextlib.suppress(OSError):  # a full disk stops nothing that needs no more of it
                write_sidecar(self.directory / OWNER, attrs.asdict(self.owner))
        elif now.token != self.owner.token:
            raise Locked(f"{self.directory}: another process has taken this run over ({now}); leave it to that one")

    def release(self) -> None:
        """Gives the directory back."""
        self.heart.tell(phase="ended")
        self.heart.end()
        with contextlib.suppress(OSError, StorageError):
            now = Owner.read(self.directory)
            if now is not None and now.token == self.owner.token:
                os.unlink(self.directory / OWNER)
        with contextlib.suppress(OSError):
            self.lock.release()


def _locked(directory: Path, tell: Tell, pause: Callable[[float], None]) -> FileLock | SoftFileLock:
    """The lock of a directory, held."""
    lock = FileLock(directory / "lock", mode=0o644, fallback_to_soft=False)
    with storage("locking", directory / "lock"):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise _taken(directory) from error
        except OSError as error:
            if error.errno not in NO_FLOCK:
                raise
            return _soft(directory, tell, pause)
    return lock


def _soft(directory: Path, tell: Tell, pause: Callable[[float], None]) -> SoftFileLock:
    """The lock where the file system has none: a file. That of a process of this host that died is taken over by itself."""
    lock = SoftFileLock(directory / "lock.soft", mode=0o644)
    with contextlib.suppress(Timeout):
        lock.acquire(timeout=0)
        return lock
    before = Owner.read(directory)
    if before is not None and before.gone is False:
        raise _taken(directory)
    _wait_and_see(directory, before, tell, pause)
    lock.break_lock()
    try:
        lock.acquire(timeout=0)
    except Timeout as error:  # someone else waited as well
        raise _taken(directory) from error
    return lock


def _taken(directory: Path) -> Locked:
    owner = Owner.read(directory)
    who = f" ({owner})" if owner is not None else ""
    return Locked(
        f"{directory}: another process is running here{who}; wait for it, stop it, or choose another directory with -o DIR"
    )


def _wait_and_see(directory: Path, before: Owner | None, tell: Tell, pause: Callable[[float], None]) -> None:
    """Waits until the heart of another owner beats, or has stood still for long enough.

    Raises:
        Locked: if it beats, or the owner has changed.
    """
    who = f" ({before})" if before is not None else ""
    tell(f"{directory}: another process may be running here{who}; waiting {STILL_SECONDS:.0f} s for a sign of life")
    first = read_sidecar(directory / STATUS)
    for _ in range(round(STILL_SECONDS / BEAT_SECONDS)):
        pause(BEAT_SECONDS)
        if read_sidecar(directory / STATUS) != first or Owner.read(directory) != before:
            raise _taken(directory)
    tell(f"{directory}: there was none, so this process takes the run over; what was committed is kept")


def _machine() -> str:
    """Where a number of a process means the same: a boot of a machine, and in it a namespace of processes."""
    boot, namespace = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    return f"{boot or socket.gethostname()}/{namespace}"


def _began(pid: int) -> str | None:
    """When a process of this machine began; None if there is none, or only what is left of one."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    with contextlib.suppress(psutil.Error):
        return f"{psutil.Process(pid).create_time():.0f}"
    return None
