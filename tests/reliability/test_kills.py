"""Killed at any moment, a run goes on and ends with the same bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.reliability.forks import ForkServer
from tests.reliability.kills import Kills
from tests.reliability.workload import SPECS

KILLS = 10
"""Of each of the five specs."""


@pytest.mark.parametrize("name", SPECS)
def test_a_run_that_is_killed_ends_as_if_nothing_had_happened(name: str, server: ForkServer, tmp_path: Path) -> None:
    kills = Kills(server, name, tmp_path, random.Random(f"kills of {name}"))
    kills.go(KILLS)
    assert kills.killed == KILLS
    assert not kills.violations, kills.violations
