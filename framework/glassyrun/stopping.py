"""Asked to stop: signals, and a limit of wall time."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from types import FrameType

import attrs
import psutil

from glassyrun.errors import Refusal, Stopped

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_heard: list[dict[str, str]] = []
"""What the command line listens to already while it loads; a run within it shares that."""


class AtOnce(KeyboardInterrupt):
    """A second signal: no more waiting. What is committed stays."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextlib.contextmanager
def listening(wanted: bool = True) -> Iterator[dict[str, str]]:
    """Hears SIGINT, SIGTERM and SIGUSR1: the first asks the run to save and stop, a second one of any kind stops at once.

    What is given holds the reason, under `reason`, as soon as there is one. After the second signal they do what they did before.
    """
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield {}
        return
    if _heard:
        yield _heard[-1]
        return
    stop: dict[str, str] = {}
    before = {number: signal.getsignal(number) for number in HEARD}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def hear(number: int, frame: FrameType | None) -> None:
        if "signal" in stop:
            restore()  # a third one finds no handler of ours, should the second be caught on its way
            raise AtOnce(number)
        stop["signal"] = name = signal.Signals(number).name
        stop.setdefault("reason", name)

    try:
        _heard.append(stop)
        for number in HEARD:
            signal.signal(number, hear)
        yield stop
    finally:
        restore()
        _heard.remove(stop)


UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
WITH_UNITS = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
SLURM = re.compile(r"(?:(\d+)-)?(\d+(?::\d+){0,2})", re.ASCII)
LONGEST = 100 * 365 * UNITS["d"]


def duration(text: str) -> float:
    """Seconds: `3600`, `90m`, `1h30m`, or as SLURM writes it, `90:00`, `01:30:00`, `1-00:00:00`.

    Raises:
        Refusal: for anything else.
    """
    plain = text.strip()
    seconds = _seconds(plain) if len(plain) <= 40 else None
    if seconds is None or not 0 < seconds <= LONGEST:
        raise Refusal(
            f"--max-wall: found '{_shown(text)}', expected a duration such as 3600 (seconds), 90m, 1h30m, 01:30:00 or 1-00:00:00"
        )
    return seconds


def _seconds(plain: str) -> float | None:
    if SECONDS.fullmatch(plain):
        return float(plain)
    if plain and (parts := WITH_UNITS.fullmatch(plain.lower())):
        return sum(float(count) * unit for count, unit in zip(parts.groups(), UNITS.values(), strict=True) if count)
    if parts := SLURM.fullmatch(plain):
        days, fields = parts[1], [int(field) for field in parts[2].split(":")]
        if any(field >= 60 for field in fields[1:]) or (days and fields[0] >= 24):
            return None
        if days:  # days-hours, days-hours:minutes, days-hours:minutes:seconds
            hours, minutes, rest = [*fields, 0, 0][:3]
            return int(days) * UNITS["d"] + hours * 3600 + minutes * 60 + rest
        hours, minutes, rest = [0, *fields] if len(fields) == 2 else fields
        return hours * 3600 + minutes * 60 + rest
    return None


def _shown(text: str) -> str:
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return clean if len(clean) <= 40 else f"{clean[:40]}…"


def process_age() -> float:
    """Seconds since this process began; on Linux by a clock that nobody sets."""
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    return max(0.0, time.time() - psutil.Process().create_time())


SPARE = 5.0
"""Seconds of the margin that are always left: a process that has torch loaded takes up to two of them to end on a busy machine."""
SLOW_DISK = 50e6
"""Bytes a second, to guess what a first commit takes."""


@attrs.define
class WallLimit:
    """How long a run may take. It ends early enough for one more chunk and a commit, as long as they have taken so far.

    The margin is five seconds, one and a half times the longest time between two looks of the host, and twice the longest commit.
    """

    seconds: float
    told: str
    begun: float = attrs.field(factory=lambda: time.monotonic())  # looked up late, as tests replace the clock
    """On the monotonic clock: setting the clock of the machine changes nothing."""
    looked: float | None = None
    longest_chunk: float = 0.0
    longest_commit: float = 0.0
    longest_build: float = 0.0

    @classmethod
    def of_process(cls, text: str) -> WallLimit:
        """Counted from the beginning of the process, as a batch system counts."""
        return cls(duration(text), f"--max-wall {_shown(text)}", time.monotonic() - process_age())

    @property
    def margin(self) -> float:
        return SPARE + 1.5 * self.longest_chunk + 2 * self.longest_commit

    def begin(self, bytes_of_state: int) -> None:
        """Steps begin: what was before is no chunk. What a commit takes is a guess until there was one."""
        self.looked = time.monotonic()
        self.longest_commit = max(self.longest_commit, bytes_of_state / SLOW_DISK)

    def look(self) -> bool:
        """Whether it is time to stop, between two chunks."""
        now = time.monotonic()
        if self.looked is not None:
            self.longest_chunk = max(self.longest_chunk, now - self.looked)
        self.looked = now
        return self.near(now)

    def near(self, now: float, build: float = 0.0) -> bool:
        return now - self.begun + self.margin + build >= self.seconds

    def committed(self, seconds: float) -> None:
        """A commit was made since the last look; it is no part of a chunk."""
        self.longest_commit, self.looked = max(self.longest_commit, seconds), time.monotonic()

    @contextlib.contextmanager
    def build(self) -> Iterator[None]:
        """Around what must be built before the steps of a sample."""
        began = time.monotonic()
        yield
        self.longest_build = max(self.longest_build, time.monotonic() - began)


def stop_before(what: str, asked: MutableMapping[str, str], limit: WallLimit | None = None) -> None:
    """Between samples, or before the first: goes on only if nobody has asked to stop and the time suffices.

    Raises:
        Stopped: with what would have come next.
        Refusal: if the limit of wall time left no time for a single step.
    """
    if limit is not None and limit.near(time.monotonic(), limit.longest_build):
        asked.setdefault("reason", limit.told)
    if "reason" in asked:
        if limit is not None and limit.looked is None and asked["reason"] == limit.told:
            # not one step was made: a batch system that asked again for as much would ask for ever
            raise Refusal(f"{limit.told}: leaves no time for a single step (it was over before {what}); give more")
        raise Stopped(f"stopped by {asked['reason']} before {what}; run the same command again to go on")


def wall_limit(given: float | WallLimit | None) -> WallLimit | None:
    """The limit that a caller gives, in seconds from now.

    Raises:
        Refusal: if it is no such number.
    """
    if given is None or isinstance(given, WallLimit):
        return given
    if not isinstance(given, int | float) or not 0 < given <= LONGEST:
        raise Refusal(f"max_wall: found {given!r}, expected seconds > 0 and ≤ {LONGEST:.0f}, counted from the call")
    return WallLimit(float(given), f"max_wall = {given:g} s")
