"""What all ways of storing couplings have in common, and the law that one coupling is drawn from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor


class Couplings(ABC):
    """The couplings of one degree p: Σ J x…x over `terms` products of p spins. The energy is minus that."""

    degree: int
    terms: int

    @abstractmethod
    def contract(self, x: Float[Tensor, "replica site"]) -> Float[Tensor, " replica"]:
        """Σ J x…x over all terms."""

    @abstractmethod
    def slope(self, x: Float[Tensor, "replica site"]) -> Float[Tensor, "replica site"]:
        """The gradient of Σ J x…x."""

    @abstractmethod
    def pick(self, terms: Int[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Int[Tensor, "*shape degree"]]:
        """J and the sites of the given terms."""


@attrs.frozen
class Law:
    """The law of one coupling of variance v, planted or not.

    Gaussian: normal. Binary: ±√v. A planted configuration σ* at inverse temperature β weights a disorder by e^{−βH(σ*)}, which
    shifts a Gaussian J by β v σ*…σ* and gives +√v the probability (1 + tanh(β √v σ*…σ*))/2; both hold with the factor a_p of
    a mixture inside J, and so β a_p² v of the bare variance (Nishimori's line; Krzakala and Zdeborová, PRL 102, 238701
    (2009)).
    """

    binary: bool = False
    beta: float = 0.0

    def draw(
        self, normal: Float[Tensor, "*shape"], deviation: Float[Tensor, "*shape"], product: Float[Tensor, "*shape"] | None
    ) -> Float[Tensor, "*shape"]:
        """Couplings of the given standard deviations from standard normal numbers; `product` is σ*…σ*, None where not planted."""
        bias = None if product is None or self.beta == 0 else self.beta * deviation * product
        if not self.binary:
            return deviation * (normal if bias is None else normal + bias)
        if bias is not None:
            # P(z + c ≥ 0) = (1 + erf(c/√2))/2, so this c turns one normal number into a sign of the right probability.
            normal = normal + math.sqrt(2) * torch.erfinv(torch.tanh(bias))
        return torch.where(normal >= 0, deviation, -deviation)
