"""What the proofs share: one process that forks, and the run that nothing happens to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.forks import ForkServer
from tests.reliability.workload import SMALL, attempt, in_memory, load


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is to be had: thousands of fsyncs prove nothing more on a disk, they only wait for it."""
    with tempfile.TemporaryDirectory(dir=in_memory() or tmp_path) as place:
        yield Path(place)


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """It takes seconds to begin, a worker of it tenths of one."""
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the small run, uninterrupted."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    assert attempt(load(SMALL), directory) == (0, "")
    return directory
