"""Follows a run from outside: `glassyrun watch DIR`. It reads what the run leaves beside itself, and takes no lock."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs

from glassyrun.errors import StorageError
from glassyrun.heartbeat import STATUS, number, read_sidecar, text
from glassyrun.manifest import Manifest, read_manifest
from glassyrun.owner import STILL_SECONDS, Owner
from glassyrun.spec.problems import counted

LOOK_SECONDS = 1.0
PLAIN_SECONDS = 10.0
"""Between two lines where there is no terminal."""
Verdict = Literal["running", "finished", "diverged", "stopped", "dead"]


@attrs.frozen
class Seen:
    """What one look at a run shows."""

    verdict: Verdict
    line: str
    share: float = 0.0
    """Of the steps of all samples."""


@attrs.define
class Follower:
    """Looks at a run again and again; whether a heart on another host beats, only time tells."""

    directory: Path
    _manifest: Manifest | None = None
    _stamp: tuple[int, int, int] | None = None
    _beat: object = None
    _beaten: float = 0.0

    def look(self) -> Seen:
        """What the run shows now.

        Raises:
            StorageError: if the directory holds no run, or a damaged one.
        """
        owner, status = Owner.read(self.directory), read_sidecar(self.directory / STATUS) or {}
        manifest = self._read_manifest()
        if owner is None:
            return _ended(manifest, self.directory)
        if owner.gone or not self._beats(owner, status):
            if Owner.read(self.directory) != owner:  # it has ended in good order since it was looked for
                return self.look()
            return Seen(
                "dead", f"dead: {_process(owner)} {_why(owner)}; {_committed(manifest)}, the same command goes on from there"
            )
        ours = status if status.get("token") == owner.token else None
        return _running(owner, ours or {}, manifest)

    def _read_manifest(self) -> Manifest | None:
        """The manifest, read again where it was replaced."""
        try:
            about = os.stat(self.directory / "manifest.json")
            stamp = about.st_mtime_ns, about.st_size, about.st_ino
        except OSError:
            stamp = None
        if stamp is None or stamp != self._stamp:
            self._manifest, self._stamp = read_manifest(self.directory), stamp
        if self._manifest is None and Owner.read(self.directory) is None:
            raise StorageError(
                f"{self.directory}: holds no run (there is no manifest.json); give the directory that a run writes"
            )
        return self._manifest

    def _beats(self, owner: Owner, status: dict[str, Any]) -> bool:
        """Whether it lives, as far as can be known: a process of this machine is there, another's heart was seen to beat lately."""
        now, beat = time.monotonic(), (owner.token, number(status.get("beat")))
        if owner.gone is False or beat != self._beat:
            self._beat, self._beaten = beat, now
        return now - self._beaten < STILL_SECONDS


def follow(directory: Path, once: bool = False, pause: Callable[[float], None] = time.sleep) -> None:
    """Shows how a run gets on until it ends; `once` shows it once.

    Raises:
        StorageError: if the directory holds no run, or a damaged one.
    """
    follower = Follower(directory)
    if once:
        print(follower.look().line, flush=True)
    elif sys.stdout.isatty():
        _on_terminal(follower, pause)
    else:
        _in_lines(follower, pause)


def _in_lines(follower: Follower, pause: Callable[[float], None]) -> None:
    """A line every ten seconds, and one at the end."""
    told = -PLAIN_SECONDS
    while True:
        seen, now = follower.look(), time.monotonic()
        if seen.verdict != "running" or now - told >= PLAIN_SECONDS:
            print(seen.line, flush=True)
            told = now
        if seen.verdict != "running":
            return
        pause(LOOK_SECONDS)


def _on_terminal(follower: Follower, pause: Callable[[float], None]) -> None:
    """A bar with a line under it, drawn again in its place."""
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    def drawn(seen: Seen) -> Table:
        rows = Table.grid()
        rows.add_row(ProgressBar(total=1.0, completed=seen.share, width=60))
        rows.add_row(Text(seen.line))  # no markup of a stranger's
        return rows

    seen = follower.look()
    with Live(drawn(seen), auto_refresh=False) as live:
        while True:
            live.update(drawn(seen), refresh=True)
            if seen.verdict != "running":
                return
            pause(LOOK_SECONDS)
            seen = follower.look()


def _running(owner: Owner, status: dict[str, Any], manifest: Manifest | None) -> Seen:
    alive = f"alive: {_process(owner)}"
    sample, samples, step, horizon, rate = (number(status.get(k)) for k in ("sample", "samples", "step", "horizon", "rate"))
    if manifest is not None and (manifest.complete or manifest.failure):
        return Seen("running", f"measured, writing the result; {alive}", 1.0)
    if sample is None or not samples:
        return Seen("running", f"starting; {alive}")
    title = f"sample {sample + 1:.0f} of {samples:.0f}" if samples > 1 else "run"
    if status.get("phase") != "running" or step is None or not horizon:
        return Seen("running", f"{title}: building the system; {alive}", sample / samples)
    energy, ago = number(status.get("energy")), number(status.get("since_commit"))
    said = [f"step {step:.0f} of {horizon:.0f}", f"energy {'…' if energy is None else f'{energy:.6g}'}"]
    if rate:
        left = (horizon - step + (samples - 1 - sample) * horizon) / rate
        said += [f"{rate:.3g} steps/s", f"{_span(left)} left"]
    if ago is not None:
        said.append(f"last commit {_span(ago)} ago")
    return Seen("running", f"{title}: {', '.join(said)}; {alive}", (sample + step / horizon) / samples)


def _ended(manifest: Manifest | None, directory: Path) -> Seen:
    if manifest is not None and manifest.complete:
        return Seen("finished", f"finished: {directory / 'result.nc'}", 1.0)
    if manifest is not None and manifest.failure:
        return Seen("diverged", f"diverged: {text(manifest.failure, 1000)}")
    return Seen("stopped", f"stopped: {_committed(manifest)}; the same command goes on")


def _committed(manifest: Manifest | None) -> str:
    """Where the last commit was."""
    stands = (
        None if manifest is None else manifest.checkpoint or manifest.final(manifest.done)
    )  # a run that has grown rests there
    if manifest is None or stands is None:
        done = 0 if manifest is None else manifest.done
        return (
            f"{counted(done, 'sample')} {'is' if done == 1 else 'are'} finished and committed"
            if done
            else "readings are committed, and no State to go on from"
            if manifest is not None and manifest.shards
            else "nothing is committed yet"
        )
    return f"committed up to step {stands.about['step']} of sample {stands.sample + 1}"


def _process(owner: Owner) -> str:
    return f"pid {owner.pid} on host {owner.host or 'unknown'}"


def _why(owner: Owner) -> str:
    return "is gone" if owner.gone else f"has shown no sign of life for {STILL_SECONDS:.0f} s"


def _span(seconds: float) -> str:
    """A time as one reads it: 42 s, 12 min, 3.5 h, 2.1 d."""
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{max(seconds, 0.0):.0f} s"
