"""Constants of the spherical p-spin for N → ∞, in the convention Cov[H(σ), H(σ′)] = N f(q) with f(q) = ½ Σ a_p² q^p.

Energies are per spin, temperatures in the same unit. Sources: Crisanti and Sommers, Z. Phys. B 87, 341 (1992) (statics);
Cugliandolo and Kurchan, PRL 71, 173 (1993) (aging, marginal states); Talagrand, PTRF 134, 339 (2006) (when the paramagnet is
the equilibrium state). Papers with f(q) = q^p (Kim-Latz, DYNAMITE) have temperatures and energies √2 times these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import numpy as np


def correlator(mixture: Mapping[int, float], overlap: float = 1.0) -> float:
    """f(q) = ½ Σ a_p² q^p, the covariance of H per spin at overlap q."""
    return 0.5 * sum(a * a * overlap**p for p, a in mixture.items())


def dynamical_temperature(p: int) -> float:
    """T_d of the pure p-spin, √(p (p−2)^{p−2} / (2 (p−1)^{p−1})); √(3/8) for p = 3, 1 for p = 2."""
    return math.sqrt(p * (p - 2.0) ** (p - 2) / (2 * (p - 1.0) ** (p - 1)))


def static_temperature(mixture: Mapping[int, float]) -> float:
    """T_s, above which the paramagnet is the equilibrium state and a planted start is an equilibrium one.

    The paramagnet holds as long as β² f(q) + ln(1−q) + q ≤ 0 for all overlaps q, so T_s² = max_q f(q)/(−ln(1−q) − q). Pure
    p = 3: 0.586; p = 2: 1.
    """
    q = np.linspace(1e-4, 1 - 1e-6, 200_001)
    f = 0.5 * sum(a * a * q**p for p, a in mixture.items())
    limit = 0.5 * mixture.get(2, 0.0) ** 2 * 2  # q → 0, where −ln(1−q) − q → q²/2
    return math.sqrt(max(limit, float(np.max(f / (-np.log1p(-q) - q)))))


def stable_step(mixture: Mapping[int, float]) -> float:
    """2/λ_max: the largest time step for explicit steps down the gradient near the threshold energy, √(2/(p(p−1)))/2 for pure p.

    The Hessian on the sphere is a semicircle of half-width 2√f″(1) that touches zero at the threshold, so λ_max = 4√f″(1).
    """
    curvature = 0.5 * sum(a * a * p * (p - 1) for p, a in mixture.items())
    return 2 / (4 * math.sqrt(curvature))


def planted_energy(mixture: Mapping[int, float], temperature: float, distinct: int | None = None, diluted: bool = False) -> float:
    """Mean energy of a planted start: −f(1)/T, −1/(2T) for pure p, which is that of equilibrium above T_s.

    Without repeated indices a term needs p different spins out of N = `distinct`, whose squares on the sphere have the
    mean product N^p / Π_{k<p} (N + 2k); of these there are C(N, p), or a fixed number in a diluted model.
    """
    if distinct is None:
        return -correlator(mixture) / temperature
    n, total = distinct, 0.0
    for p, a in mixture.items():
        product = math.prod(n / (n + 2 * k) for k in range(p))
        count = 1.0 if diluted else math.prod((n - k) / n for k in range(p))
        total += 0.5 * a * a * product * count
    return -total / temperature


def threshold_energy(p: int) -> float:
    """E_th of the pure p-spin, where saddles become minima: −√(2(p−1)/p); −1.1547 for p = 3, and −1 for p = 2."""
    return -math.sqrt(2 * (p - 1) / p)


@attrs.frozen
class MarginalState:
    """The states that aging from a random start tends to, for N → ∞ and then t → ∞."""

    overlap: float
    """q: self-overlap, the plateau of C (Edwards-Anderson parameter)."""
    ratio: float
    """x: violation of the fluctuation-dissipation theorem beyond the plateau, T/T_eff."""
    energy: float
    """E_∞ = −[1 − (1−x) q^p]/(2T); the threshold energy at T = 0."""


def marginal_state(p: int, temperature: float) -> MarginalState:
    """The marginal state of the pure p-spin, p ≥ 3, at 0 ≤ T ≤ T_d.

    q is the larger root of ½ p (p−1) q^{p−2} (1−q)² = T², where the Hessian of the state has its edge at zero, and
    x = (p−2)(1−q)/q.

    Raises:
        ValueError: if p < 3 or T is outside [0, T_d].
    """
    if p < 3 or not 0 <= temperature <= dynamical_temperature(p) * (1 + 1e-12):
        raise ValueError(f"marginal states exist for p ≥ 3 and 0 ≤ T ≤ T_d, not for p = {p}, T = {temperature}")
    if temperature == 0:
        return MarginalState(1.0, 0.0, threshold_energy(p))
    low, high = (p - 2) / (p - 1), 1.0  # T falls from T_d to 0 between them
    q = low
    for _ in range(200):
        q = 0.5 * (low + high)
        hotter = 0.5 * p * (p - 1) * q ** (p - 2) * (1 - q) ** 2 > temperature**2
        low, high = (q, high) if hotter else (low, q)
    ratio = (p - 2) * (1 - q) / q
    return MarginalState(q, ratio, -(1 - (1 - ratio) * q**p) / (2 * temperature))


def minibatch_temperature(strength: float, time_step: float, excess: float) -> float:
    """The temperature at which thermal noise is as strong as that of mini-batches, α (p/4)·excess on a random configuration.

    One step moves x by α times the gradient, whose mini-batch part has the variance excess·p/2 in each component, with
    excess = M/B − 1 for batches drawn without replacement and M/B with; `strength` is Σ p a_p², p for a pure model.
    """
    return time_step * strength / 4 * excess
