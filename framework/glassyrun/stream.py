"""Random numbers without state: what comes out depends on who asks, for what, and which index, never on when."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import attrs
import numpy as np
import torch as pytorch
from jaxtyping import Float
from torch import Generator, Tensor


@attrs.frozen
class Stream:
    """A named source of random numbers; output = f(seed, owner/name, sample, index).

    There is no generator to checkpoint: a step that is asked for twice is drawn twice alike, a twin trajectory repeats its
    partner's noise by asking for the same step, and the length of a chunk can't change a bit. The numbers come from Philox
    (Salmon et al., SC 2011), a counter-based generator, whose key is the BLAKE2b digest of the name.
    """

    name: str
    seed: int
    sample: int

    def child(self, name: object) -> Stream:
        """An independent stream below this one."""
        return attrs.evolve(self, name=f"{self.name}/{name}")

    def key(self, index: int = 0, bits: int = 128) -> int:
        """An integer key of `bits` bits for the given index."""
        text = f"{self.seed}\0{self.sample}\0{self.name}\0{index}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=bits // 8).digest(), "little")

    def numpy(self, index: int = 0) -> np.random.Generator:
        """A NumPy generator, fresh at each call."""
        return np.random.Generator(np.random.Philox(key=self.key(index)))

    def torch(self, index: int = 0, device: pytorch.device | str = "cpu") -> Generator:
        """A torch generator on `device`, fresh at each call.

        On a GPU it is counter-based with a key of 64 bits. On the CPU torch keeps 32 bits of a seed (it is a Mersenne
        twister), enough for a few calls per run such as initialisers, not for one per step: use `normal` or `numpy` there.
        """
        return Generator(device=device).manual_seed(self.key(index, 64) >> 1)

    def normal(
        self, shape: Sequence[int], *, dtype: pytorch.dtype, device: pytorch.device, index: int = 0, everywhere: bool = False
    ) -> Float[Tensor, "..."]:
        """Independent standard normal numbers, drawn where they are needed.

        With `everywhere` they are drawn on the host and moved, so that all devices have the same ones: for what is drawn once,
        disorder and starts. Noise of every step would wait for that.
        """
        if everywhere or device.type == "cpu":
            kind = np.float64 if dtype == pytorch.float64 else np.float32
            drawn = self.numpy(index).standard_normal(tuple(shape), dtype=kind)
            return pytorch.from_numpy(drawn).to(device=device, dtype=dtype)
        return pytorch.randn(tuple(shape), generator=self.torch(index, device), dtype=dtype, device=device)


def replica_normals(
    streams: Sequence[Stream], count: int, like: Float[Tensor, "..."], index: int = 0, *, everywhere: bool = False
) -> Float[Tensor, "replica count"]:
    """`count` standard normal numbers from each stream, of the dtype and on the device of `like`.

    The same stream twice gives the same row twice. With `everywhere` a start is the same one on every device (`Stream.normal`).
    """
    where = {"dtype": like.dtype, "device": like.device, "index": index, "everywhere": everywhere}
    rows = [stream.normal((count,), **where) for stream in streams]
    return pytorch.stack(rows)
