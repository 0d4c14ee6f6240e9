"""What a plugin is built with."""

from __future__ import annotations

from pathlib import Path

import attrs
import torch

from glassyrun.stream import Stream


@attrs.frozen
class Context:
    """The surroundings of one object of one disorder sample.

    `owner` prefixes the names of all streams, so that no two plugins ever draw the same numbers by accident.
    """

    owner: str
    seed: int
    sample: int
    device: torch.device
    dtype: torch.dtype
    data_root: Path | None = None
    """Where data sets lie and are downloaded to; from the command line or the environment, never from a spec."""
    begins: int = 0
    """The step at which a stage of a protocol begins; its dynamics is given the steps of the whole run."""

    def stream(self, name: str) -> Stream:
        """The stream `owner/name` of this sample."""
        return Stream(f"{self.owner}/{name}", self.seed, self.sample)

    def common_stream(self, name: str) -> Stream:
        """The stream `owner/name` that all samples share, for what is not part of the disorder (a fixed subset of terms)."""
        return Stream(f"{self.owner}/{name}", self.seed, -1)

    def child(self, name: str) -> Context:
        """The same surroundings for an object owned by this one."""
        return attrs.evolve(self, owner=f"{self.owner}/{name}")
