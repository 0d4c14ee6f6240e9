"""Which terms a step looks at: keyed mini-batches that need no stored epoch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
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
"""Terms worked out at a time: NumPy's cost per call, and the copy to the device, are then spread over many batches."""
Block = tuple[int, int, int]
"""Epoch (with replacement: number of the block), first batch in it, number of batches."""


def _mix(value: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint64]:
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
        return permuted([self], positions)[0]


def permuted(orders: Sequence[Permutation], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same positions under several permutations of one size, [permutation, position], for the price of few NumPy calls."""
    size, keys = orders[0].size, np.array([order.keys for order in orders], dtype=np.uint64)
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    shift, mask = np.uint64(half), np.uint64(2**half - 1)
    values = np.tile(positions.astype(np.uint64), len(orders))
    walking, whose = np.arange(len(values)), np.repeat(np.arange(len(orders)), len(positions))
    while len(walking):
        moved = values[walking]
        left, right = moved >> shift, moved & mask
        for key in keys.T:
            left, right = right, left ^ (_mix(right, key[whose]) & mask)
        values[walking] = moved = (left << shift) | right
        outside = moved >= np.uint64(size)
        walking, whose = walking[outside], whose[outside]
    return values.astype(np.int64).reshape(len(orders), len(positions))


@attrs.define
class Batches:
    """Mini-batches as a pure function of step and replica.

    `without_replacement` goes through all terms in a new keyed order each epoch; the remainder of an epoch that fills no
    batch is left out. `with_replacement` draws each term of each batch independently. Batches of different sizes from one
    stream have nothing in common, so that stages of a protocol may share it.
    """

    stream: Stream
    terms: int
    size: int
    sampling: Sampling = "without_replacement"
    ahead: int = attrs.field(default=AHEAD, repr=False)
    """Terms worked out together, in a block of whole batches, without replacement; 1 where batches are asked for one by one. No
    number depends on it."""
    _streams: dict[int, Stream] = attrs.field(factory=dict, repr=False)
    _worked_out: dict[int, tuple[Block, NDArray[np.int64]]] = attrs.field(factory=dict, repr=False)
    """For each replica the block last asked for, [batch, term], on the host."""
    _placed: tuple[Hashable, Int[Tensor, "batch replica term"]] | None = attrs.field(default=None, repr=False)
    """Which block was last asked for, by how many replicas and where, and the block on that device: a step takes its batch from
    there, without a copy from the host."""

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
        block, position = self._block_of(step)
        asked, placed = (block, replicas, device), self._placed
        if placed is None or placed[0] != asked:
            rows = self._work_out(block, range(replicas))
            self._placed = placed = (asked, _place(rows, device))
        return placed[1][position]

    def batch(self, step: int, replica: int) -> NDArray[np.int64]:
        """The terms that replica `replica` looks at in step `step`."""
        block, position = self._block_of(step)
        known = self._worked_out.get(replica)
        if known is None or known[0] != block:
            self._worked_out[replica] = known = (block, self._work_out(block, [replica])[:, 0])
        return known[1][position]

    def _block_of(self, step: int) -> tuple[Block, int]:
        """The block of batches that a step lies in, and its place there."""
        if self.sampling == "with_replacement":
            together = max(1, AHEAD // self.size)  # numbers depend on it
            return (step // together, 0, together), step % together
        together = max(1, self.ahead // self.size)
        epoch, position = divmod(step, self.per_epoch)
        begin = position // together * together
        return (epoch, begin, min(together, self.per_epoch - begin)), position - begin

    def _work_out(self, block: Block, replicas: Sequence[int]) -> NDArray[np.int64]:
        """The batches of a block, [batch, replica, term]."""
        epoch, begin, count = block
        streams = [self._stream_of(replica) for replica in replicas]
        if self.sampling == "with_replacement":
            drawn = [stream.numpy(epoch).integers(self.terms, size=(count, self.size)) for stream in streams]
            return np.stack(drawn, axis=1)
        orders = [Permutation.keyed(self.terms, stream, epoch) for stream in streams]
        positions = np.arange(begin * self.size, (begin + count) * self.size)
        return permuted(orders, positions).reshape(len(orders), count, self.size).swapaxes(0, 1)

    def _stream_of(self, replica: int) -> Stream:
        return self._streams.get(replica) or self._streams.setdefault(replica, self.stream.child(self.size).child(replica))


def _place(rows: NDArray[np.int64], device: torch.device) -> Int[Tensor, "batch replica term"]:
    """A block on the device; on a GPU the host does not wait for what runs there."""
    block = torch.from_numpy(np.ascontiguousarray(rows))
    return block.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else block.to(device)


def batch_count(size: int | float, terms: int) -> int:
    """A batch size given as a number of terms or, as a float up to 1, as a fraction of them."""
    return size if isinstance(size, int) else max(1, round(size * terms))
