"""The command line called in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from glassyrun.cli import main

SPEC = """\
[system]
kind = "quadratic"
n = 4

[dynamics]
kind = "langevin"
temperature = 0.1

[schedule]
horizon = 1
"""


@attrs.frozen
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with one spec."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLASSYRUN_DATA", raising=False)
    (tmp_path / "line.toml").write_text(SPEC)
    return tmp_path


@pytest.fixture
def say(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*arguments: str | os.PathLike[str]) -> Said:
        code = main([os.fspath(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return call
