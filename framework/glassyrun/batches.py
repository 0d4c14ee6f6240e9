"""Which terms a step looks at: keyed mini-batches that need no stored epoch."""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from glassyrun.stream import Stream

Sampling = Literal["without_replacement", "with_replacement"]
ROUNDS = 8
AHEAD = 4096
"""Positions of a permutation worked out at a time: NumPy's cost per call is then spread over many batches."""


def _mix(value: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014) as the round function of the Feistel network."""
    z = value + key
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@attrs.frozen
class Permutation:
    """A keyed pseudo-random permutation of 0 … size − 1, evaluated where it is asked.

    A balanced Feistel network on the smallest even number of bits that holds `size`, with cycle walking: values beyond
    `size` are permuted again until they fall inside (Black and Rogaway, CT-RSA 2002). No table is stored, so it works for
    10⁸ couplings as for 100 images.
    """

    size: int
    keys: tuple[int, ...]

    @classmethod
    def keyed(cls, size: int, stream: Stream, index: int) -> Permutation:
        key = stream.key(index, bits=512)
        return cls(size, tuple((key >> (64 * r)) & (2**64 - 1) for r in range(ROUNDS)))

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        half = max(1, (max(self.size - 1, 1).bit_length() + 1) // 2)
        shift, mask = np.uint64(half), np.uint64(2**half - 1)
        values = positions.astype(np.uint64)
        inside = np.zeros(len(values), dtype=bool)
        while not inside.all():
            walking = values[~inside]
            left, right = walking >> shift, walking & mask
            for key in self.keys:
                left, right = right, left ^ (_mix(right, np.uint64(key)) & mask)
            values[~inside] = (left << shift) | right
            inside = values < np.uint64(self.size)
        return values.astype(np.int64)


@attrs.define
class Batches:
    """Mini-batches as a pure function of step and replica.

    `without_replacement` goes through all terms in a new keyed order each epoch; the remainder of an epoch that fills no
    batch is left out. `with_replacement` draws each term of each batch independently.
    """

    stream: Stream
    terms: int
    size: int
    sampling: Sampling = "without_replacement"
    _streams: dict[int, Stream] = attrs.field(factory=dict, repr=False)
    _ahead: dict[int, tuple[int, int, NDArray[np.int64]]] = attrs.field(factory=dict, repr=False)

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return self.terms // self.size

    @property
    def left_out(self) -> int:
        """Terms of each epoch that fill no batch; other ones each epoch."""
        return self.terms % self.size if self.sampling == "without_replacement" else 0

    def draw(self, step: int, replicas: int, device: torch.device) -> Int[Tensor, "replica term"]:
        """The terms of step `step`, one batch a replica."""
        return torch.from_numpy(np.stack([self.batch(step, replica) for replica in range(replicas)])).to(device)

    def batch(self, step: int, replica: int) -> NDArray[np.int64]:
        """The terms that replica `replica` looks at in step `step`."""
        stream = self._streams.get(replica) or self._streams.setdefault(replica, self.stream.child(replica))
        if self.sampling == "with_replacement":
            return stream.numpy(step).integers(self.terms, size=self.size)
        epoch, position = divmod(step, self.per_epoch)
        together = max(1, AHEAD // self.size)
        run = position // together
        cached = self._ahead.get(replica)
        if cached is None or cached[:2] != (epoch, run):
            begin, end = run * together, min((run + 1) * together, self.per_epoch)
            order = Permutation.keyed(self.terms, stream, epoch)
            ahead = order(np.arange(begin * self.size, end * self.size)).reshape(-1, self.size)
            self._ahead[replica] = cached = (epoch, run, ahead)
        return cached[2][position - run * together]


def batch_count(size: int | float, terms: int) -> int:
    """A batch size given as a number of terms or, as a float up to 1, as a fraction of them."""
    return size if isinstance(size, int) else max(1, round(size * terms))
