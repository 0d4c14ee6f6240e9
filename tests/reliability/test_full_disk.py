"""A disk that is really full: a small tmpfs where one may be mounted, and a limit on the size of files everywhere."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from glassyrun import result
from tests.reliability.forks import ForkServer
from tests.reliability.workload import SMALL, differs, sentence


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one page to begin with; skips where this user may mount none."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=4k", "tmpfs", place], check=False, capture_output=True)
    if not made or made.returncode:
        pytest.skip("this user may not mount a tmpfs; the limit on the size of files is tested below")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_run_on_a_disk_that_is_full_again_and_again(small_disk: Path, server: ForkServer, whole: Path) -> None:
    """The disk grows by two pages whenever it is full; each time the run says so, and what it has measured is right."""
    run, truth, said = small_disk / "run", result.assemble(whole), list[str]()
    for pages in range(1, 100, 2):
        subprocess.run(["mount", "-o", f"remount,size={4 * pages}k", small_disk], check=True)
        (ending,) = server.run({"tables": SMALL, "directory": str(run)})
        if ending.code == 0:
            break
        assert ending.code == 5, ending.said
        assert sentence(ending.said.strip()), ending.said
        said.append(ending.said)
        if (run / "manifest.json").exists() and result.assemble(run).variables:
            assert differs(run, truth) is None
    else:
        pytest.fail(f"it never ends: {said[-1]}")
    assert len(said) > 5
    for text in said:
        assert "full" in text, text
    assert (run / "result.nc").read_bytes() == (whole / "result.nc").read_bytes()


def test_files_that_may_not_grow(server: ForkServer, whole: Path, tmp_path: Path) -> None:
    """The system refuses what lies beyond a limit, in a process of its own, with SIGXFSZ unheard."""
    sizes = sorted({path.stat().st_size for path in whole.rglob("*") if path.is_file()})
    for number, limit in enumerate(sizes[1:-1:3]):
        directory = tmp_path / str(number)
        (ending,) = server.run({"tables": SMALL, "directory": str(directory), "limit": limit})
        assert ending.code == 5, ending.said
        assert sentence(ending.said.strip()), ending.said
        (ending,) = server.run({"tables": SMALL, "directory": str(directory)})
        assert ending.code == 0, ending.said
        assert (directory / "result.nc").read_bytes() == (whole / "result.nc").read_bytes()
