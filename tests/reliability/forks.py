"""A process that has torch and glassyrun loaded and forks a worker for every run, so that a kill costs tenths of a second.

It has one thread, because those of a parent do not survive a fork. Requests and answers are lines of
JSON; `ForkServer` is its other end.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL
PATIENCE = 120.0
"""Seconds after which a worker is hung: a failure, not a measurement."""
LINGERING = 20.0
"""Seconds after which two workers own one directory: a failure, not a measurement."""


@attrs.frozen
class Ending:
    """How a worker ended: exit code (-9 for a kill), what it said, and how long it lived."""

    code: int
    said: str
    seconds: float


@attrs.define
class ForkServer:
    """The other end of the process that forks."""

    _process: subprocess.Popen[str] = attrs.field(factory=lambda: _begun())

    def run(self, *requests: Mapping[str, Any]) -> list[Ending]:
        """Workers that begin at the same moment, and how each ended.

        A request has `tables` (a spec), `directory`, `data`, and, if it is to be killed, `seconds` after its begin or `call`
        and `torn`: at which call that changes files, and whether half of what it writes is there.
        `limit` is the most bytes that a file may have. With `linger` an owner of the directory waits for the others' ends.
        With `broken` it renames by copying, for tests of the tests.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(requests) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the fork server has died"
        return [Ending(**ending) for ending in json.loads(line)]

    def close(self) -> None:
        self._process.communicate()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _begun() -> subprocess.Popen[str]:
    alone = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.forks"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | alone,
    )


def serve() -> None:
    """Forks until its input ends; what a kind of system loads and compiles is there before its first worker."""
    import torch

    torch.set_num_threads(1)
    from tests.reliability import workload

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else may speak on the line
    warm: set[str] = set()
    for line in sys.stdin:
        requests = json.loads(line)
        for request in requests:
            if request["tables"]["system"]["kind"] not in warm:
                warm.add(request["tables"]["system"]["kind"])
                with tempfile.TemporaryDirectory() as place:  # with one thread nothing here begins another
                    data = workload.data(Path(place) / "data")
                    assert workload.attempt(workload.load(request["tables"]), Path(place) / "run", data) == (0, "")
                gc.freeze()
        assert len(os.listdir("/proc/self/task")) == 1, "threads do not survive a fork"
        answers.write(json.dumps([attrs.asdict(ending) for ending in _together(requests)]) + "\n")
        answers.flush()


def _together(requests: Sequence[Mapping[str, Any]]) -> list[Ending]:
    """Forks one worker a request, lets all go at once, and waits for all."""
    gate, opened = os.pipe()
    lives = [os.pipe() for _ in requests]
    workers = [_forked(request, gate, opened, number, lives) for number, request in enumerate(requests)]
    for handle in (gate, opened, *itertools.chain(*lives)):  # the workers wait for the end of the pipe `opened`
        os.close(handle)
    began, ends = time.monotonic(), {}
    while len(ends) < len(workers):
        waiting = [worker for worker in workers if worker.pid not in ends]
        left = [worker.deadline - (time.monotonic() - began) for worker in waiting]
        ready, _, _ = select.select([worker.handle for worker in waiting], [], [], max(0.0, min(left)))
        for worker, rest in zip(waiting, left, strict=True):
            if worker.handle in ready:
                _, status = os.waitpid(worker.pid, 0)
                ends[worker.pid] = Ending(os.waitstatus_to_exitcode(status), worker.heard(), time.monotonic() - began)
            elif rest <= 0:
                os.kill(worker.pid, signal.SIGKILL)
                worker.deadline = PATIENCE + worker.deadline
    return [ends[worker.pid] for worker in workers]


@attrs.define
class _Worker:
    pid: int
    deadline: float
    handle: int
    ear: int

    def heard(self) -> str:
        os.close(self.handle)
        with os.fdopen(self.ear, "rb") as ear:
            return ear.read().decode(errors="replace")


def _forked(request: Mapping[str, Any], gate: int, opened: int, number: int, lives: Sequence[tuple[int, int]]) -> _Worker:
    ear, mouth = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for other, (seen, held) in enumerate(lives):  # the end of a pipe `seen` is the end of its worker
                os.close(seen if other == number else held)
            os.close(opened)
            os.dup2(mouth, 2)
            os.read(gate, 1)
            code = _work(request, [seen for other, (seen, _) in enumerate(lives) if other != number])
        except BaseException:  # noqa: BLE001 -- what a process would print and die of
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(mouth)
    return _Worker(pid, request.get("seconds", PATIENCE), os.pidfd_open(pid), ear)


def _work(request: Mapping[str, Any], others: Sequence[int]) -> int:
    """One process's worth of a run."""
    from tests.reliability import workload
    from tests.reliability.tap import tapped

    directory = Path(request["directory"])
    data = Path(request["data"]) if "data" in request else None
    if "limit" in request:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["limit"], resource.RLIM_INFINITY))
    before = Kill(request["call"], request.get("torn", False)) if "call" in request else Count()
    before = Linger(others) if request.get("linger") else before
    if request.get("broken"):
        os.replace = _in_place
    with tapped(directory, before):
        code, said = workload.attempt(workload.load(request["tables"]), directory, data)
    print(said, file=sys.stderr, end="")
    if request.get("count"):
        print(before.calls, file=sys.stderr, end="")
    return code


def _in_place(source: Any, target: Any) -> None:
    """A rename as a careless program would have it: a kill in the middle leaves half a file."""
    content = Path(source).read_bytes()
    with open(target, "wb") as file:
        file.write(content[: len(content) // 2])
        file.write(content[len(content) // 2 :])
    os.unlink(source)


@attrs.define
class Count:
    """Counts the calls that change files."""

    calls: int = 0

    def __call__(self, call: Any) -> None:
        self.calls += 1


@attrs.define
class Kill(Count):
    """Kills the process at the n-th of them, at will with half of its content written."""

    at: int = attrs.field(kw_only=False, default=0)
    torn: bool = False

    def __init__(self, at: int, torn: bool) -> None:
        self.calls, self.at, self.torn = 0, at, torn

    def __call__(self, call: Any) -> None:
        self.calls += 1
        if self.calls == self.at:
            if self.torn and call.kind == "write" and call.handle is not None:
                with open(f"/proc/self/fd/{call.handle}", "ab", buffering=0) as half:
                    half.write(call.content[: len(call.content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)


@attrs.define
class Linger(Count):
    """Waits, as soon as it renames a file and so believes to own the directory, until all other workers have ended."""

    others: Sequence[int] = ()

    def __init__(self, others: Sequence[int]) -> None:
        self.calls, self.others = 0, others

    def __call__(self, call: Any) -> None:
        if call.kind == "rename" and not self.calls:
            self.calls += 1
            for other in self.others:
                select.select([other], [], [], LINGERING)


def moment(generator: random.Random, seconds: float, calls: int) -> dict[str, Any]:
    """When a run is killed: at any time of its length, or at one of the calls that change its files."""
    if generator.random() < 0.5:
        return {"seconds": generator.uniform(0.0, seconds)}
    return {"call": generator.randint(1, calls), "torn": generator.random() < 0.5}


if __name__ == "__main__":
    serve()
