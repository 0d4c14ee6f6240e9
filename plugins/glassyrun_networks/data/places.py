"""Where data sets lie."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import platformdirs

from glassyrun import Context

VARIABLE = "GLASSYRUN_DATA"

Stamp = tuple[int, int, int] | None


def data_root(context: Context) -> Path:
    """The folder of data sets: from the command line, the environment variable GLASSYRUN_DATA, or the user's cache."""
    if context.data_root is not None:
        return context.data_root
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_cache_path("glassyrun") / "data"


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """What changes where a file comes, goes or is replaced: size, time of change and number of each; None where there is none."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> Stamp:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_size, told.st_mtime_ns, told.st_ino
