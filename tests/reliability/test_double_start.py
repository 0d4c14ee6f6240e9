"""One owner: of two processes that begin at once, one runs and the other ends with the code of a locked directory."""

from __future__ import annotations

from pathlib import Path

from tests.reliability.forks import ForkServer
from tests.reliability.starts import double_start

STARTS = 20


def test_of_two_that_begin_at_once_one_runs(server: ForkServer, whole: Path, tmp_path: Path) -> None:
    for number in range(STARTS):
        assert not double_start(server, tmp_path / str(number), (whole / "result.nc").read_bytes())


def test_two_owners_would_be_seen(server: ForkServer, whole: Path, tmp_path: Path) -> None:
    """Each in a directory of its own, as if the lock had let both in: neither is told of the other."""

    class Apart:
        def run(self, *requests: dict) -> list:
            apart = [{**r, "directory": f"{r['directory']}{n}", "linger": False} for n, r in enumerate(requests)]
            return server.run(*apart)

    assert any(
        "exit codes [0, 0]" in text for text in double_start(Apart(), tmp_path / "run", (whole / "result.nc").read_bytes())
    )  # type: ignore[arg-type]
