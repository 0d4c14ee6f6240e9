"""What a plugin is built with."""

from __future__ import annotations

from pathlib import Path

import attrs
import torch

from glassyrun.stream import Stream


@attrs.frozen
class Journey:
    """What a run will do, as far as the size of things may depend on it; known before anything is built."""

    steps: int = 0
    time: float = 0.0
    """Along the gradient flow."""
    gradients: int = 0
    """Looks of one replica on its way, all steps together."""
    noises: int = 0
    """Thermal noise vectors of one replica."""
    replicas: int = 1
    readings: int = 0
    """Of the energy, on the way."""
    foreign: int = 0
    """Steps of trajectories of their own that observables take, of one replica and all waiting times together."""
    companions: int = 0
    """How many such trajectories there are."""
    components: str = ""
    """Label of an observable that reads x component by component, and not inner products of configurations alone."""

    @property
    def thermal(self) -> bool:
        """Whether thermal noise moves x at all."""
        return self.noises > 0


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
    journey: Journey = Journey()
    """What the run will do."""

    def stream(self, name: str) -> Stream:
        """The stream `owner/name` of this sample."""
        return Stream(f"{self.owner}/{name}", self.seed, self.sample)

    def common_stream(self, name: str) -> Stream:
        """The stream `owner/name` that all samples share, for what is not part of the disorder (a fixed subset of terms)."""
        return Stream(f"{self.owner}/{name}", self.seed, -1)

    def child(self, name: str) -> Context:
        """The same surroundings for an object owned by this one."""
        return attrs.evolve(self, owner=f"{self.owner}/{name}")
