"""The part of a realisation of the disorder that has been looked at, and how it grows with each look.

Configurations are unit vectors x = σ/√N. With V = −H/N and f(q) = ½ Σ a_p² q^p,

    V(x) = Σ_p (a_p/√(2N)) ⟨G^(p), x^⊗p⟩,   ⟨V(x) V(x′)⟩ = f(x·x′)/N,   F = ∇V(x): dx/dt = F − (F·x) x,

where F is the force on σ in units of √N. Everything that is known of the tensors G is of two kinds:

- inside: their entries between n revealed directions, an orthonormal frame whose span holds all configurations looked at;
- outside: along a direction that is not revealed, the force at configuration y_k is Gaussian with the covariance
  f′(y_k·y_l)/N between looks, the same for each direction and independent between them. So F_out(y_k) = Σ_{l ≤ k} L_kl ξ_l
  with L Lᵀ = f′(y_k·y_l) and isotropic vectors ξ_l, of which each look brings a new one.

A configuration outside the span brings a new direction e. The entries of G with two or more indices along e are new; those
with one are normal under the condition that the force along e, at every y_k, is the one that was seen. By the rule of
conditional Gaussians they are an unconditional draw plus a mean: with A_k the force along e at y_k of that draw,
η_l = ξ_l·e and w = (L Lᵀ)⁻¹ (L η − A), the draw's potential has Σ_k w_k (y·e) f′(y_k·y) added to it. The means of all
directions together,

    V_mean(y) = Σ_k g_k f′(y_k·y),  g_k = Σ_a w_ak y_a,

cost n·K operations a look; for N → ∞ the draws vanish and they are everything.

For matrices the idea is the "Householder dice" of Y. M. Lu, IEEE Trans. Inf. Theory 67, 8264 (2021); that a conditional Gaussian is
an unconditional draw plus a mean is Matheron's rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import GlassyrunError, Stream
from glassyrun_pspin.lazy.axes import Axes, Sites
from glassyrun_pspin.lazy.growing import Growing
from glassyrun_pspin.lazy.tensor import RandomTensor

GROWING = ("frame", "pivots", "factor", "innovations", "weights")
HEAVIEST = 2.5e7
"""Weights in units of √f′(1) beyond which what cancels in a mean has too few digits left: no run with lighter ones went wrong, and none
with three times as heavy ones right (docs/lazy.md)."""
SPREADS = 8.0
"""Standard deviations of the energy below its bound at which it is no fluctuation."""


@attrs.frozen
class Covariance:
    """f(q) = ½ Σ a_p² q^p and its derivatives."""

    mixture: Mapping[int, float]

    def of(self, q: Tensor, derivative: int) -> Tensor:
        """f, f′ or f″ of every entry of `q`."""
        total = torch.zeros_like(q)
        for p, a in self.mixture.items():
            if p >= derivative:
                total += 0.5 * a * a * math.perm(p, derivative) * q ** (p - derivative)
        return total


@attrs.define(eq=False, slots=False)
class Disorder:
    """One realisation, revealed by looks; see the module's docstring. All replicas and twins of a sample look at the same one."""

    mixture: Mapping[int, float]
    n: int | float
    """N; infinite for the limit, in which nothing is random."""
    axes: Axes
    stream: Stream
    planted: int | float = 0.0
    """β_i = 1/T_i of a start in equilibrium, which is the first configuration that is looked at: V has β_i f(y·y_0) added to it."""
    pivot_tolerance: float = 1e-7
    """Conditional variance of a force, relative to f′(1), below which it counts as known: nothing new is drawn for it."""
    direction_tolerance: float = 1e-9
    """Length of the part of a configuration outside the span below which it is left out."""
    frame: Growing = attrs.field(factory=Growing)
    """Revealed directions, [direction, axis]."""
    pivots: Growing = attrs.field(factory=Growing)
    """Configurations whose look brought something new, [pivot, direction]."""
    factor: Growing = attrs.field(factory=Growing)
    """L, [pivot, pivot]."""
    innovations: Growing = attrs.field(factory=Growing)
    """ξ, [pivot, axis]."""
    weights: Growing = attrs.field(factory=Growing)
    """w, [direction, pivot]."""

    def __attrs_post_init__(self) -> None:
        self.covariance = Covariance(self.mixture)
        finite = not math.isinf(self.n)
        self.tensors = {p: RandomTensor(p, self.stream.child(f"p{p}")) for p in self.mixture} if finite else {}
        one = torch.ones(1, dtype=torch.float64)
        strength, slope = float(self.covariance.of(one, 0)), float(self.covariance.of(one, 1))
        self._limit, self._slope = self.pivot_tolerance * slope, torch.tensor([slope], dtype=torch.float64)
        self._heaviest = HEAVIEST * math.sqrt(slope)
        self._linear = max(self.mixture) == 2
        self._failure = ""
        if isinstance(self.axes, Sites):
            self.frame, self.innovations = Growing.wide(self.axes.count), Growing.wide(self.axes.count)
        self._lowest = -math.sqrt(slope) - self.planted * strength - SPREADS * math.sqrt(strength / self.n) - 1e-3

    def _usable(self) -> None:
        """A failure leaves things half done: nothing is found here any more."""
        if self._failure:
            raise GlassyrunError(self._failure)

    def _fail(self, found: str) -> NoReturn:
        self._failure = (
            f"system.pivot_tolerance = {self.pivot_tolerance:g}: is too small to be stable here, {found}; take "
            f"{10 * self.pivot_tolerance:g}"
        )
        raise GlassyrunError(self._failure)

    def look(
        self, x: Float[Tensor, "configuration before"]
    ) -> tuple[Float[Tensor, " configuration"], Float[Tensor, "configuration axis"]]:
        """Energy per spin and force F = ∇V at several configurations, in this order; there may be more axes afterwards.

        What has been revealed afterwards depends on what is looked at, and in which order.
        """
        self._usable()
        y = self._brought_in(x)
        potential, inside = self._inside(y)
        self._check(-potential)
        outside = [self._outside(row) for row in y]
        force = torch.stack([padded(row, self.axes.count) for row in outside])
        frame = self._frame()
        # what lies in the span is taken out, and what is known there put in its place
        return -potential, force + (inside - force @ frame.T) @ frame

    def energy(self, x: Float[Tensor, "configuration axis"]) -> Float[Tensor, " configuration"]:
        """Energy per spin alone, which brings no axis; what a look at the same configurations afterwards finds is the same."""
        self._usable()
        potential, _ = self._inside(self._brought_in(x))
        self._check(-potential)
        return -potential

    def _brought_in(self, x: Float[Tensor, "configuration axis"]) -> Float[Tensor, "configuration direction"]:
        """Configurations along the directions, which span them from now on; later directions are orthogonal to earlier configurations."""
        rows = [self._absorb(configuration) for configuration in padded(x, self.axes.count)]
        return torch.stack([padded(row, self.frame.rows) for row in rows])

    def _check(self, energy: Float[Tensor, " configuration"]) -> None:
        """No energy lies below −√f′(1), the bound of Guerra's replica-symmetric interpolation at T = 0, but for fluctuations."""
        lowest = float(energy.min())
        if not lowest >= self._lowest:
            self._fail(f"the energy came to {lowest:.4g} per spin, which no configuration has")

    def memory(self) -> dict[str, Tensor]:
        """All that has been revealed, but for the tensors' entries, which are drawn again."""
        grown = {name: getattr(self, name).filled.clone() for name in GROWING}
        return {**grown, "axes": torch.tensor(self.axes.count)}

    def take_up(self, memory: Mapping[str, Tensor]) -> None:
        """Takes up what had been revealed before, in place of what has been since."""
        self.axes.count = int(memory["axes"])
        for name in GROWING:
            setattr(self, name, Growing.of(memory[name]))
        for p, tensor in self.tensors.items():
            self.tensors[p] = RandomTensor(p, tensor.stream)
            self.tensors[p].catch_up(self.frame.rows)

    def _frame(self) -> Float[Tensor, "direction axis"]:
        self.frame.extend(self.frame.rows, self.axes.count)
        return self.frame.filled

    def _absorb(self, x: Float[Tensor, " axis"]) -> Float[Tensor, " direction"]:
        """Reveals the direction of the part of x outside the span, if there is one; gives x along all directions."""
        frame = self._frame()
        y = frame @ x
        if frame.shape[0] >= self.n:
            return y
        outside = x - y @ frame
        if float(torch.linalg.vector_norm(outside)) <= self.direction_tolerance:
            return y
        # once more, because what is left may be as small as the rounding errors of what was taken away
        again = frame @ outside
        outside = outside - again @ frame
        length = torch.linalg.vector_norm(outside)
        if float(length) <= self.direction_tolerance:
            return y + again
        self._reveal(outside / length)
        return torch.cat([y + again, length.reshape(1)])

    def _reveal(self, direction: Float[Tensor, " axis"]) -> None:
        self.pivots.extend(self.pivots.rows, self.frame.rows)
        known = self.pivots.filled
        drawn = torch.zeros(len(known), dtype=torch.float64)
        for p, tensor in self.tensors.items():
            drawn += self.mixture[p] / math.sqrt(2 * self.n) * tensor.reveal(known)
        if len(known):
            self.innovations.extend(len(known), self.axes.count)
            seen = self.innovations.filled @ direction
            weights = self._solved(seen - self._solved(drawn), transposed=True)
            self._check_weights(weights)
            self.weights.append(weights)
        else:
            self.weights.extend(self.weights.rows + 1, 0)
        self.frame.append(direction)

    def _known(self, y: Float[Tensor, " direction"]) -> tuple[Float[Tensor, " pivot"], float, Float[Tensor, " direction"]]:
        """What of the force at y the innovations so far determine, the variance of the rest, and the configuration that brings the rest."""
        own = self.covariance.of((y @ y).reshape(1), 1)
        row = self._solved(self.covariance.of(self.pivots.filled @ y, 1)) if self.pivots.rows else own[:0]
        return row, float(own - row @ row), y

    def _known_linear(self, y: Float[Tensor, " direction"]) -> tuple[Float[Tensor, " pivot"], float, Float[Tensor, " direction"]]:
        """The same for p = 2, where forces are linear, and pivots that are orthonormal lose no digits."""
        if not self.pivots.rows:
            return y[:0], float(self._slope * (y @ y)), y / torch.linalg.vector_norm(y)
        pivots = self.pivots.filled
        rest = y - (pivots @ y) @ pivots
        rest = rest - (pivots @ rest) @ pivots
        length = float(torch.linalg.vector_norm(rest))
        return self._slope.sqrt() * (pivots @ y), float(self._slope) * length**2, rest / length if length else rest

    def _solved(self, right: Float[Tensor, " pivot"], transposed: bool = False) -> Float[Tensor, " pivot"]:
        """L⁻¹ or L⁻ᵀ times a vector."""
        from glassyrun_pspin.lazy.triangle_loops import backward, forward

        solution = right.clone()
        (backward if transposed else forward)(self.factor.room.numpy(), len(right), solution.numpy())
        return solution

    def _check_weights(self, weights: Float[Tensor, " pivot"]) -> None:
        heaviest = float(weights.abs().max())
        if not heaviest <= self._heaviest:
            self._fail(f"configurations that nearly coincide have weights of {heaviest:.2g}")

    def _inside(
        self, y: Float[Tensor, "configuration direction"]
    ) -> tuple[Float[Tensor, " configuration"], Float[Tensor, "configuration direction"]]:
        """V and its gradient along the revealed directions."""
        value, slope = torch.zeros(len(y), dtype=torch.float64), torch.zeros_like(y)
        for p, tensor in self.tensors.items():
            scale = self.mixture[p] / math.sqrt(2 * self.n)
            own, along = tensor.look(y)
            value, slope = value + scale * own, slope + scale * along
        if self.pivots.rows:
            self.pivots.extend(self.pivots.rows, y.shape[1])
            self.weights.extend(y.shape[1], self.pivots.rows)
            pivots, weights = self.pivots.filled, self.weights.filled
            overlap, strength = y @ pivots.T, y @ weights
            first = self.covariance.of(overlap, 1)
            value = value + (strength * first).sum(1)
            slope = slope + first @ weights.T + (strength * self.covariance.of(overlap, 2)) @ pivots
        if self.planted:
            value = value + self.planted * self.covariance.of(y[:, 0], 0)
            slope[:, 0] += self.planted * self.covariance.of(y[:, 0], 1)
        return value, slope

    def _outside(self, y: Float[Tensor, " direction"]) -> Float[Tensor, " axis"]:
        """The force along directions that are not revealed; its part in the span means nothing."""
        count = self.pivots.rows
        row, variance, pivot = self._known_linear(y) if self._linear else self._known(y)
        if variance > self._limit and self.frame.rows < self.n:
            innovation = self.axes.isotropic(self.stream.child("innovations"), count)
            row = torch.cat([row, row.new_tensor([math.sqrt(variance)])])
            self.pivots.append(pivot)
            self.factor.append(row if not self._linear else torch.cat([torch.zeros(count, dtype=row.dtype), self._slope.sqrt()]))
            self.innovations.append(innovation)
        self.innovations.extend(self.innovations.rows, self.axes.count)
        return row @ self.innovations.filled


def padded(vectors: Float[Tensor, "*rows axis"], count: int) -> Float[Tensor, "*rows count"]:
    """Vectors with zeros along the axes that have come since."""
    return torch.nn.functional.pad(vectors, (0, count - vectors.shape[-1])) if vectors.shape[-1] < count else vectors
