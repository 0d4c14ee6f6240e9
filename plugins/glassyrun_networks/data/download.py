"""Downloads that never hang: a bounded wait for an answer, and an interrupted download goes on where it stopped."""

from __future__ import annotations

import http.client
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

ANSWER_SECONDS = 5.0
"""Wait for the server's first answer, name look-up included (which has no time limit of its own)."""
STALL_SECONDS = 15.0
"""Wait for the next byte."""
MOST_BYTES = 1_000_000_000
"""Of one file; the largest has 170 MB. A server can't fill the disk."""
BLOCK = 1 << 16
NOTHING_LEFT = http.client.REQUESTED_RANGE_NOT_SATISFIABLE

PATIENCE_SECONDS = 60.0
"""Time in which a server that gave no answer is not asked again: nobody waits for it twice in one run."""

_refused: dict[str, tuple[float, str]] = {}
"""URL → when it gave no answer, and why."""


class NotFetched(Exception):
    """A download did not come about; the message is the reason, a clause without a full stop."""


def fetch(url: str, target: Path, seconds: float | None = None) -> None:
    """Downloads `url` into `target`, with progress on stderr. What is there of an earlier attempt is gone on with.

    Args:
        url: of the file.
        target: is complete when it exists; until then its bytes are in a file of the same name and ".part".
        seconds: most time it may take; None for as long as bytes arrive.

    Raises:
        NotFetched: if no server answers, the connection breaks, or the time is over.
        OSError: if `target` can't be written.
    """
    refusal = _refused.get(url)
    if refusal is not None and time.monotonic() - refusal[0] < PATIENCE_SECONDS:
        raise NotFetched(refusal[1])
    deadline = None if seconds is None else time.monotonic() + seconds
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    try:
        response = _answer(url, have)
    except NotFetched as error:
        if have and isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code == NOTHING_LEFT:
            part.replace(target)
            return
        _refused[url] = time.monotonic(), str(error)
        raise
    with response:
        _receive(response, part, have, deadline)
    part.replace(target)


def fetch_all(mirrors: Sequence[str], names: Sequence[str], folder: Path, seconds: float | None = None) -> None:
    """Downloads files into `folder`, each from the first of several servers that has it, in at most `seconds` seconds together.

    All servers must have the same files: what one of them began, another goes on with.

    Raises:
        NotFetched: if no server gives one of the files, with the reason of each.
        OSError: if `folder` can't be written.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    for name in names:
        reasons: list[str] = []
        for mirror in mirrors:
            try:
                fetch(f"{mirror.rstrip('/')}/{name}", folder / name, None if deadline is None else deadline - time.monotonic())
                break
            except NotFetched as error:
                reasons.append(str(error))
        else:
            raise NotFetched("; ".join(dict.fromkeys(reasons)))


def _receive(response: Any, part: Path, have: int, deadline: float | None) -> None:
    """Writes the response to `part`, behind the `have` bytes that lie there if the server goes on from them."""
    goes_on = response.status == http.client.PARTIAL_CONTENT
    have = have if goes_on else 0
    told = response.headers.get("Content-Length") or ""
    total = have + (int(told) if told.isascii() and told.isdigit() and len(told) < 19 else 0) or None
    if (total or 0) > MOST_BYTES:
        raise NotFetched(f"the server offers {(total or 0) / 1e6:.0f} MB, expected at most {MOST_BYTES / 1e6:.0f}")
    with part.open("ab" if goes_on else "wb") as file, _progress() as progress:
        bar = progress.add_task(f"downloading {part.stem}", total=total, completed=have)
        if not progress.console.is_terminal:
            progress.console.print(f"downloading {response.url} ({(total or 0) / 1e6:.0f} MB) to {part.parent}")
        have += _copy(response, file.write, deadline, MOST_BYTES - have, lambda count: progress.advance(bar, count))
    if total is not None and have < total:
        raise NotFetched(
            f"the connection broke after {have / 1e6:.0f} of {total / 1e6:.0f} MB; the next attempt goes on from there"
        )


def _copy(response: Any, write: Callable[[bytes], object], deadline: float | None, most: int, tell: Callable[[int], None]) -> int:
    count = 0
    while True:
        if deadline is not None and time.monotonic() > deadline:
            raise NotFetched("it took too long, and the next attempt goes on from there")
        try:
            block = response.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise NotFetched(f"the connection broke ({_told(error)}), and the next attempt goes on from there") from error
        if not block:
            return count
        if count + len(block) > most:
            raise NotFetched(f"the server sent more than {MOST_BYTES / 1e6:.0f} MB, which is none of the sets")
        write(block)
        count += len(block)
        tell(len(block))


def _answer(url: str, have: int) -> Any:
    """The open response, asked for in a thread of its own because looking up a name can't be interrupted."""
    answers: queue.Queue[Any] = queue.Queue()
    request = urllib.request.Request(url, headers={"User-Agent": "glassyrun", **({"Range": f"bytes={have}-"} if have else {})})

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=STALL_SECONDS))
        except (OSError, http.client.HTTPException, ValueError) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True, name="glassyrun-download").start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise NotFetched(f"no answer from {url.split('/')[2]} within {ANSWER_SECONDS:g} s") from None
    if isinstance(answer, Exception):
        raise NotFetched(f"{url.split('/')[2]}: {_told(answer)}") from answer
    return answer


def _told(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    return " ".join(str(reason).split()) or type(error).__name__


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
