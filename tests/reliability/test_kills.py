"""Killed at any moment, a run goes on and ends with the same bytes."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from glassyrun import api
from tests.reliability.forks import KILLED, ForkServer
from tests.reliability.kills import Kills
from tests.reliability.workload import SMALL, SPECS, attempt, calls, killed, load

KILLS = 10
"""Of each of the five specs."""


@pytest.mark.parametrize("name", SPECS)
def test_a_run_that_is_killed_ends_as_if_nothing_had_happened(name: str, server: ForkServer, tmp_path: Path) -> None:
    kills = Kills(server, name, tmp_path, random.Random(f"kills of {name}"))
    kills.go(KILLS)
    assert kills.killed == KILLS
    assert not kills.violations, kills.violations


def test_a_partial_result_is_not_taken_for_the_whole(whole: Path, tmp_path: Path) -> None:
    """Collected in the middle, then killed at each of the last calls: after the last commit, before its own result is written."""
    spec = load(SMALL)
    total = calls(spec, tmp_path / "counted")
    assert killed(spec, tmp_path / "half", total // 2)
    api.collect(tmp_path / "half")
    shutil.copytree(tmp_path / "half", tmp_path / "rest")
    rest = calls(spec, tmp_path / "rest")
    for call in range(rest - 30, rest + 1):
        shutil.copytree(tmp_path / "half", tmp_path / str(call))
        assert killed(spec, tmp_path / str(call), call)
        assert attempt(spec, tmp_path / str(call)) == (0, "")
        assert (tmp_path / str(call) / "result.nc").read_bytes() == (whole / "result.nc").read_bytes(), f"call {call} of {rest}"


def test_a_program_that_writes_in_place_is_seen(server: ForkServer, tmp_path: Path) -> None:
    """Killed in the middle of a commit it leaves half a manifest."""
    kills = Kills(server, "stages", tmp_path, random.Random(1))
    kills.go(0)
    for call in range(30, 90):
        directory = tmp_path / str(call)
        (ending,) = server.run(kills.request(directory, call=call, torn=True, broken=True))
        assert ending.code == KILLED
        kills.look(directory, f"call {call}")
        if kills.violations:
            return
    pytest.fail("nothing was seen")


def test_a_result_that_differs_in_a_bit_is_seen(server: ForkServer, tmp_path: Path) -> None:
    kills = Kills(server, "stages", tmp_path, random.Random(2))
    kills.go(0)
    assert not kills.violations
    kills.content = kills.content[:-1] + bytes([kills.content[-1] ^ 1])
    directory = tmp_path / "again"
    assert server.run(kills.request(directory))[0].code == 0
    kills.truth = kills.truth.copy(deep=True)
    kills.truth["energy"].values[0, 0, 3] += 1e-12
    kills.look(directory, "here")
    kills.ended(directory, 0, "")
    assert kills.violations == ["here: energy differs at 1 points", "stages: result.nc is another one after 0 kills"]
