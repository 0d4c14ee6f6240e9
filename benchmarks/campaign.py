"""The proofs of tests/reliability and tests/fuzz in larger numbers, as a table of what was tried and what went wrong.

    python benchmarks/campaign.py [--seed N] [--only PART ...] [--kills 1000] [--specs 10000] [--files 2000] [--flips 1000] [--starts 100]

- kills: SIGKILLs at random moments and at calls that change files, over five specs; each run is then finished and compared bit for bit;
- crashes: all crash states of a disk under recorded runs, and the same without each fsync, which must be seen;
- specs: hostile specs; each is planned or refused in sentences that name a field or a line;
- files: hostile npz files, and as many idx files; each is read or refused in a sentence;
- flips: bits flipped, cuts, swaps and forgeries in checkpoints, shards, manifests and results, in equal parts;
- starts: two processes that begin on one directory at once.

Ends with 1 if anything went wrong. Two processes share the kills, one the rest; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

PARTS = ("kills", "crashes", "specs", "files", "flips", "starts")
SHARES = {"pspin": 0.24, "mlp": 0.24, "cnn": 0.24, "resnet18": 0.04, "stages": 0.24}
"""Of the kills; ResNet18 writes 45 MB a commit."""
SERVERS = 2
SHOWN = 20
"""Violations that are printed of a part."""
FAR = 1_000_000
"""Between the seeds of two campaigns."""
EVERY = 20.0
"""Seconds between two lines of progress."""


class Tally:
    """What a part has tried, and what went wrong; says so now and then."""

    def __init__(self, part: str, total: int) -> None:
        self.part, self.total, self.tried, self.wrong, self.more = part, total, 0, list[str](), ""
        self.began = self.told = self.ended = time.monotonic()

    def add(self, wrong: list[str], count: int = 1) -> None:
        self.tried, self.ended = self.tried + count, time.monotonic()
        for text in wrong:
            self.wrong.append(text)
            if len(self.wrong) <= SHOWN:
                print(f"  {self.part}: VIOLATION: {text}", flush=True)
        if self.ended - self.told > EVERY:
            self.told = self.ended
            print(f"  {self.part}: {self.tried} of {self.total}, {len(self.wrong)} wrong, {self.seconds:.0f} s", flush=True)

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def kills(asked: argparse.Namespace, place: Path) -> Iterator[Tally]:
    from tests.reliability.forks import ForkServer
    from tests.reliability.kills import Kills

    left = {name: round(asked.kills * share) for name, share in SHARES.items()}
    left["stages"] += asked.kills - sum(left.values())
    tally, lock, finished = Tally("kills", sum(left.values())), threading.Lock(), [0]

    def work() -> None:
        with ForkServer() as server:
            while True:
                with lock:
                    if not left:
                        return
                    name = max(left, key=lambda name: name == "resnet18")  # the slowest first
                    wanted = left.pop(name)
                one = Kills(server, name, place / name, random.Random(f"{asked.seed}/{name}"))

                def tell(count: int = 1, one: Kills = one) -> None:
                    with lock:
                        tally.add(one.violations, count)
                    one.violations = []

                one.go(wanted, tell)
                tell(0)
                with lock:
                    finished[0] += one.finished

    workers = [threading.Thread(target=work) for _ in range(SERVERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if tally.tried != tally.total:
        tally.add([f"{tally.total - tally.tried} kills were not made"], 0)
    tally.more = f"{finished[0]} runs came to their end, all compared"
    yield tally


def crashes(asked: argparse.Namespace, place: Path) -> Iterator[Tally]:
    from tests.reliability import disk, workload

    spec, states, blind = workload.load(workload.SMALL), Tally("crash states", 0), Tally("fsyncs left out", 0)
    half = workload.calls(spec, place / "counted") // 2
    for killed in (None, half // 2, half, half + half // 2):
        root = place / f"recorded-{killed}"
        root.mkdir(parents=True)
        if killed:
            workload.killed(spec, root / "runs/run", killed)
        with disk.Record.of(root) as record:
            assert workload.attempt(spec, root / "runs/run") == (0, "")
        for crash in disk.crashes(record.ops, "runs/run", asked.seed):
            states.add([f"killed at {killed}, change {crash.moment}: {crash.fault}"] if crash.fault else [])
        for line in disk.syncs(record.ops, disk.line):
            seen = any(crash.fault for crash in disk.crashes(disk.without(record.ops, line, disk.line), "runs/run", asked.seed))
            blind.add([] if seen else [f"without {line} nothing is seen"])
    states.total, blind.total = states.tried, blind.tried
    blind.more = "each is seen by a fault"
    yield from (states, blind)


def specs(asked: argparse.Namespace, place: Path) -> Iterator[Tally]:
    from tests.fuzz.generate import mutated_spec
    from tests.fuzz.judge import judge_spec, lay_data, offline

    from glassyrun.registry import Registry

    registry, data, file = Registry.installed(), lay_data(place / "data"), place / "x.toml"

    def judge(seed: int) -> str | None:
        file.write_bytes(mutated_spec(seed))
        return judge_spec(file, registry, data)

    with offline():
        yield fuzzed("specs", asked.specs, asked.seed, judge)


def files(asked: argparse.Namespace, place: Path) -> Iterator[Tally]:
    from tests.fuzz.generate import mutated_idx, mutated_npz
    from tests.fuzz.judge import judge_idx, judge_npz

    def npz(seed: int) -> str | None:
        (place / "x.npz").write_bytes(mutated_npz(seed))
        return judge_npz(place / "x.npz")

    def idx(seed: int) -> str | None:
        name, content = mutated_idx(seed)
        (place / name).write_bytes(content)
        return judge_idx(place / name)

    yield fuzzed("npz files", asked.files, asked.seed, npz)
    yield fuzzed("idx files", asked.files, asked.seed, idx)


def fuzzed(part: str, count: int, seed: int, judge: Callable[[int], str | None]) -> Tally:
    """As many files, other ones than the tests of a change have (those begin at 0)."""
    tally = Tally(part, count)
    for number in range(seed * FAR, seed * FAR + count):
        fault = judge(number)
        tally.add([f"seed {number}: {fault}"] if fault else [])
    return tally


def flips(asked: argparse.Namespace, place: Path) -> Iterator[Tally]:
    import torch
    from tests.reliability.damage import KINDS, Bases, Trial

    torch.set_num_threads(1)
    bases = Bases(place / "bases")
    for kind in KINDS:
        tally = Tally(f"{kind}s damaged", asked.flips // len(KINDS))
        for seed in range(asked.seed * FAR, asked.seed * FAR + tally.total):
            tally.add(Trial(bases, kind, seed).go(place / "trial"))
        yield tally


def starts(asked: argparse.Namespace, place: Path) -> Iterator[Tally]:
    from tests.reliability.forks import ForkServer
    from tests.reliability.starts import double_start
    from tests.reliability.workload import SMALL, attempt, load

    whole, tally = place / "whole", Tally("double starts", asked.starts)
    assert attempt(load(SMALL), whole) == (0, "")
    with ForkServer() as server:
        for number in range(asked.starts):
            tally.add(double_start(server, place / str(number), (whole / "result.nc").read_bytes()))
    yield tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("kills", 1000), ("specs", 10_000), ("files", 2000), ("flips", 1000), ("starts", 100), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    tallies: list[Tally] = []
    from tests.reliability.workload import in_memory

    with tempfile.TemporaryDirectory(prefix="campaign-", dir=in_memory()) as folder:
        for part in asked.only:
            print(f"{part} …", flush=True)
            place = Path(folder) / part
            place.mkdir()
            for tally in globals()[part](asked, place):
                tallies.append(tally)
    print("\n| what | tried | violations | seconds | |\n| --- | --- | --- | --- | --- |")
    for tally in tallies:
        print(f"| {tally.part} | {tally.tried:,} | {len(tally.wrong)} | {tally.seconds:.0f} | {tally.more} |")
    return 1 if any(tally.wrong for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
