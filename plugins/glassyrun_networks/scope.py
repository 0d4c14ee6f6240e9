"""The one place where torch's global generator is used: forked, seeded, restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from glassyrun import Stream


@contextmanager
def seeded(stream: Stream) -> Iterator[None]:
    """A scope in which torch's global CPU generator starts from `stream`; afterwards it is as it was.

    Torch's initialisers know no other generator. Modules are built on the CPU whatever the device of the run, so one start
    is the same start everywhere, and no generator of a GPU is touched.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream.key(bits=63))
        yield
