"""Runs that are killed again and again, and must end as if nothing had happened."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from glassyrun import api, result
from glassyrun.errors import GlassyrunError
from tests.reliability import workload
from tests.reliability.forks import KILLED, ForkServer, moment

COLLECTED = 0.3
"""Of the runs that were killed."""


@attrs.define
class Kills:
    """One spec, its uninterrupted run, and as many interrupted ones as the kills ask for."""

    server: ForkServer
    name: str
    place: Path
    generator: random.Random
    killed: int = 0
    finished: int = 0
    violations: list[str] = attrs.field(factory=list)
    truth: Any = None
    """The dataset of the uninterrupted run."""
    content: bytes = b""
    """And its file."""

    def request(self, directory: Path, **more: Any) -> dict[str, Any]:
        data = str(workload.data(self.place / "data"))
        return {"tables": workload.SPECS[self.name], "directory": str(directory), "data": data, **more}

    def go(self, kills: int, tell: Callable[[], None] = lambda: None) -> None:
        """Kills that often, going on in the same directory until that run is finished, then in the next; `tell` hears of each."""
        whole = self.place / "whole"
        (ending,) = self.server.run(self.request(whole, count=True))
        assert ending.code == 0, ending.said
        calls, seconds = int(ending.said.split()[-1]), ending.seconds
        self.truth, self.content = result.assemble(whole), (whole / "result.nc").read_bytes()
        directory = self.place / "killed"
        while self.killed < kills:
            (ending,) = self.server.run(self.request(directory, **moment(self.generator, seconds, calls)))
            if ending.code == KILLED:
                self.killed += 1
                self.look(directory, f"{self.name}, kill {self.killed}")
                tell()
            else:
                self.ended(directory, ending.code, ending.said)
        (ending,) = self.server.run(self.request(directory))
        self.ended(directory, ending.code, ending.said)

    def look(self, directory: Path, where: str) -> None:
        """What is there in between is a part of the whole; now and then a result is made of it, which must not outlive it."""
        if (directory / "manifest.json").exists():
            try:
                if self.generator.random() < COLLECTED:
                    api.collect(directory)
                wrong = workload.differs(directory, self.truth) if result.assemble(directory).variables else None
            except GlassyrunError as error:
                wrong = str(error)
            if wrong:
                self.violations.append(f"{where}: {wrong}")

    def ended(self, directory: Path, code: int, said: str) -> None:
        """A run that was not killed has ended: rightly, or else."""
        self.finished += 1
        if code != 0:
            self.violations.append(f"{self.name}: exit code {code}: {said[-600:]}")
        elif (directory / "result.nc").read_bytes() != self.content:
            self.violations.append(f"{self.name}: result.nc is another one after {self.killed} kills")
        elif not result.assemble(directory).identical(self.truth):
            self.violations.append(f"{self.name}: the dataset is another one after {self.killed} kills")
        shutil.rmtree(directory, ignore_errors=True)
