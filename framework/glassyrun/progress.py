"""What a user sees while a run lives: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import math
import sys
import time
from typing import Protocol

import attrs
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from glassyrun.errors import printable

PLAIN_SECONDS = 10.0


class Reporter(Protocol):
    """Where a run tells how it gets on."""

    def begin(self, title: str, total: int, done: int = 0) -> None: ...
    def update(self, step: int, energy: float) -> None: ...
    def warn(self, message: str) -> None: ...
    def end(self) -> None: ...


def reporter(quiet: bool = False) -> Reporter:
    """A bar where stderr is a terminal, plain lines otherwise, warnings only where it should be quiet."""
    if quiet:
        return Silent()
    return Bar() if sys.stderr.isatty() else Lines()


class Silent:
    """Says nothing but warnings: those must not be missed."""

    def begin(self, title: str, total: int, done: int = 0) -> None: ...
    def update(self, step: int, energy: float) -> None: ...

    def warn(self, message: str) -> None:
        print(f"WARNING: {printable(message)}", file=sys.stderr, flush=True)

    def end(self) -> None: ...


@attrs.define
class Lines(Silent):
    """A line every ten seconds."""

    title: str = ""
    total: int = 0
    started: float = 0.0
    first: int = 0
    last: float = 0.0

    def begin(self, title: str, total: int, done: int = 0) -> None:
        self.title, self.total, self.first = title, total, done
        self.started = self.last = time.monotonic()
        begun = f", going on from step {done}" if done else ""
        print(f"{title}: {total} steps{begun}", file=sys.stderr, flush=True)

    def update(self, step: int, energy: float) -> None:
        now = time.monotonic()
        if now - self.last >= PLAIN_SECONDS or step == self.total:
            self.last = now
            rate = (step - self.first) / max(now - self.started, 1e-9)
            left = (self.total - step) / rate if rate else float("inf")
            print(
                f"{self.title}: step {step} of {self.total}, energy {_shown(energy)}, {rate:.3g} steps/s, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


class Bar(Silent):
    """A rich progress bar with energy, throughput and time left."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.progress: Progress | None = None
        self.task: TaskID | None = None

    def begin(self, title: str, total: int, done: int = 0) -> None:
        self.end()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps"),
            TextColumn("energy {task.fields[energy]}"),
            TextColumn("{task.fields[rate]} steps/s"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=self.console)
        self.task = self.progress.add_task(title, total=total, completed=done, energy="…", rate="…")
        self.first, self.started = done, time.monotonic()
        self.progress.start()

    def update(self, step: int, energy: float) -> None:
        if self.progress is not None and self.task is not None:
            rate = (step - self.first) / max(time.monotonic() - self.started, 1e-9)
            self.progress.update(self.task, completed=step, energy=_shown(energy), rate=f"{rate:.3g}")

    def warn(self, message: str) -> None:
        self.console.print(f"[bold red]WARNING:[/] {escape(printable(message))}", highlight=False)

    def end(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


def _shown(energy: float) -> str:
    """Before the first step nothing has looked at the energy."""
    return f"{energy:.6g}" if math.isfinite(energy) else "…"
