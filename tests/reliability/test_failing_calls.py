"""Every system call of a run failing once: one sentence, and afterwards the same bytes."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path

import attrs
import pytest

from glassyrun.spec.model import Spec
from tests.reliability.tap import Call, tapped
from tests.reliability.workload import TINY, attempt, load, sentence


@attrs.define
class Fail:
    """Raises at the n-th call that changes a file; of a write, half is written, as on a disk that fills up."""

    number: int
    at: int = 0
    failed: Call | None = None
    seen: Counter[str] = attrs.field(factory=Counter)

    def __call__(self, call: Call) -> None:
        self.seen[call.kind] += 1
        if self.seen.total() == self.at:
            self.failed = call
            if call.kind == "write" and call.handle is not None:
                with open(f"/proc/self/fd/{call.handle}", "ab", buffering=0) as half:
                    half.write(call.content[: len(call.content) // 2])
            raise OSError(self.number, os.strerror(self.number), str(call.path))


@pytest.fixture(scope="module")
def spec() -> Spec:
    return load(TINY)


@pytest.fixture(scope="module")
def whole(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Counter[str]]:
    """The result, and how often each call is made."""
    directory, count = tmp_path_factory.mktemp("whole") / "run", Fail(0)
    with tapped(directory.parent, count):
        assert attempt(spec, directory) == (0, "")
    return (directory / "result.nc").read_bytes(), count.seen


def test_every_kind_of_call_is_among_those_that_fail(whole: tuple[bytes, Counter[str]]) -> None:
    """Else nothing is proven by what follows."""
    _, calls = whole
    assert set(calls) >= {"open", "write", "sync", "syncdir", "rename", "unlink", "mkdir"}
    assert calls.total() > 60


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_a_call_that_fails_loses_nothing(number: int, spec: Spec, whole: tuple[bytes, Counter[str]], tmp_path: Path) -> None:
    content, calls = whole
    wrong: list[str] = []
    for at in range(1, calls.total() + 1):
        directory, fail = tmp_path / str(at) / "run", Fail(number, at)
        directory.parent.mkdir()
        with tapped(directory.parent, fail):
            code, said = attempt(spec, directory)
        where = f"call {at}, {fail.failed}"
        if code not in (0, 5) or (code == 5 and not sentence(said)):
            wrong.append(f"{where}: exit code {code}, {said}")
        code, said = attempt(spec, directory)
        if code != 0:
            wrong.append(f"{where}: afterwards exit code {code}, {said}")
        elif (directory / "result.nc").read_bytes() != content:
            wrong.append(f"{where}: afterwards another result")
    assert not wrong, "\n".join(wrong)


def test_a_program_that_swallows_a_failed_write_is_seen(
    spec: Spec, whole: tuple[bytes, Counter[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a shard that is committed with the digest of the whole must not be read back."""
    from glassyrun import files

    def careless(path: Path, content: bytes) -> str:
        path.write_bytes(content[: len(content) // 2] if "measured" in path.name else content)
        return files.digest(content)

    monkeypatch.setattr("glassyrun.store.write_whole", careless)
    code, said = attempt(spec, tmp_path / "run")
    assert code != 0 or (tmp_path / "run" / "result.nc").read_bytes() != whole[0]
    assert code == 5, said
