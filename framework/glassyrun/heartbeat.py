"""Small files beside a run that tell others how it gets on. Nothing depends on them, and nobody believes what they say."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 65_536
BEAT_SECONDS = 2.0
"""Between two beats of the heart of a run."""
STATUS, OWNER = "status.json", "owner.json"


def write_sidecar(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a small file as a whole; not fsynced, since no run goes on from it.

    Raises:
        OSError: if it can't be written.
    """
    beside = path.with_name(f".{path.name}.part")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    # O_EXCL: what lies there now may be a link that leads anywhere
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(handle, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(beside, path)


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """What a small file says; None where there is none, or it is none that a run wrote."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            content = file.read(MOST_BYTES + 1) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
        read = json.loads(content) if len(content) <= MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def text(value: object, most: int = 200) -> str:
    """Text of a sidecar as a terminal may show it: no control characters, not for ever."""
    plain = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in plain[:most])


def number(value: object) -> float | None:
    """A finite number of a sidecar."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 2**63 and math.isfinite(value) else None


class Heartbeat:
    """Writes `status.json` every two seconds, from a thread of its own: a run that builds or reads for long is alive all the same.

    A full disk or a mount that is gone stops no run from here.
    """

    def __init__(self, directory: Path, token: str) -> None:
        self.directory, self.token, self.beats = directory, token, 0
        self._state: dict[str, Any] = {"phase": "starting"}
        self._first = 0, time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="glassyrun heartbeat", daemon=True)

    def begin(self) -> None:
        self.beat()
        self._thread.start()

    def tell(self, **what: Any) -> None:
        """What the next beat says; costs nothing."""
        self._state = {**self._state, **what}

    def run_begins(self, sample: int, samples: int, step: int, horizon: int) -> None:
        """The steps of a sample begin."""
        self._first = step, time.monotonic()
        self.tell(phase="running", sample=sample, samples=samples, step=step, horizon=horizon, energy=None, rate=None)

    def step(self, step: int, energy: float, since_commit: float) -> None:
        """Where a sample is; `since_commit` in seconds, so that nobody need compare clocks."""
        first, began = self._first
        rate = (step - first) / max(time.monotonic() - began, 1e-9)
        self.tell(step=step, energy=energy if math.isfinite(energy) else None, rate=rate, since_commit=since_commit)

    def beat(self) -> None:
        """Writes one beat, where the directory is still this run's."""
        self.beats += 1
        with contextlib.suppress(OSError, ValueError):
            if (read_sidecar(self.directory / OWNER) or {}).get("token") == self.token:
                write_sidecar(self.directory / STATUS, {**self._state, "token": self.token, "beat": self.beats})

    def end(self) -> None:
        """One last beat, and no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10 * BEAT_SECONDS)  # it may hang on a mount that is gone
        self.beat()

    def _live(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self.beat()
