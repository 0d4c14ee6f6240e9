"""Two processes that begin on one directory at the same moment: one runs, the other is told so."""

from __future__ import annotations

import shutil
from pathlib import Path

from glassyrun.errors import Locked
from tests.reliability.forks import ForkServer
from tests.reliability.workload import SMALL, sentence


def double_start(server: ForkServer, directory: Path, content: bytes) -> list[str]:
    """What goes wrong, where it does."""
    request = {"tables": SMALL, "directory": str(directory), "linger": True}
    endings = server.run(request, request)
    wrong = []
    codes = sorted(ending.code for ending in endings)
    if codes != [0, Locked.exit_code]:
        wrong.append(f"exit codes {codes}: {[ending.said for ending in endings]}")
    wrong += [
        f"said {ending.said!r}" for ending in endings if ending.code == Locked.exit_code and not sentence(ending.said.strip())
    ]
    result = directory / "result.nc"
    if not result.exists() or result.read_bytes() != content:
        wrong.append("the result is another one")
    shutil.rmtree(directory, ignore_errors=True)
    return wrong
