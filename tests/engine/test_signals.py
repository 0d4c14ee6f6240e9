"""Asked to stop, a run saves, says how to go on, and ends with the same bytes when it has gone on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SPEC = """
[system]
kind = "quadratic"
n = 8

[dynamics]
kind = "sgd"
batch_size = 2
momentum = 0.5

[schedule]
horizon = 40000
"""


def start(spec: Path, directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "glassyrun", str(spec), "-o", str(directory)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    spec = tmp_path / "walk.toml"
    spec.write_text(SPEC)
    stopped = start(spec, tmp_path / "run")
    assert stopped.stderr is not None
    assert stopped.stderr.readline().startswith("run: ")  # it has begun
    stopped.send_signal(number)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 75, said
    assert number.name in said
    assert "run the same command again" in said
    assert said.count("\n") <= 2
    for directory in ("run", "whole"):
        assert start(spec, tmp_path / directory).wait(timeout=120) == 0
    assert (tmp_path / "run" / "result.nc").read_bytes() == (tmp_path / "whole" / "result.nc").read_bytes()
