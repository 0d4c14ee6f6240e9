"""The coordinates in which vectors of N components are written down."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import attrs
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import Stream


class Axes(ABC):
    """Orthonormal axes of R^N. Vectors are in units of √N: a configuration on the sphere has length one.

    A fresh isotropic vector has independent components of variance 1/N, in any axes.
    """

    count: int
    """Axes that there are so far; vectors written down before have zeros along later ones."""

    @abstractmethod
    def isotropic(self, stream: Stream, index: int) -> Float[Tensor, " axis"]:
        """A Gaussian vector whose components in R^N are independent, of mean 0 and variance 1/N; a function of stream and index.

        It may bring a new axis, which then counts.
        """


@attrs.define
class Overlaps(Axes):
    """Axes that are added as they are needed: N is a number, and may be infinite.

    Along the D axes that there are a fresh vector has components 𝒩(0, 1)/√N; all the rest of it, along directions that nobody has
    looked at, is one new axis, along which it has the length χ_{N−D}/√N. That is exact for every N; for N → ∞ it is (0, …, 0, 1).
    """

    n: int | float
    count: int = 0

    def isotropic(self, stream: Stream, index: int) -> Float[Tensor, " axis"]:
        if math.isinf(self.n):
            self.count += 1
            vector = torch.zeros(self.count, dtype=torch.float64)
            vector[-1] = 1.0
            return vector
        generator = stream.numpy(index)
        along = generator.standard_normal(self.count) / math.sqrt(self.n)
        rest = self.n - self.count
        if rest >= 1:
            along = np.append(along, math.sqrt(generator.chisquare(rest) / self.n))
            self.count += 1
        return torch.from_numpy(along)


@attrs.define(slots=False)
class Sites(Axes):
    """One axis a spin: x itself."""

    n: int

    def __attrs_post_init__(self) -> None:
        self.count = self.n

    def isotropic(self, stream: Stream, index: int) -> Float[Tensor, " axis"]:
        return torch.from_numpy(stream.numpy(index).standard_normal(self.n) / math.sqrt(self.n))
