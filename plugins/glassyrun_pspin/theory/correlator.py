"""Functions of f(q) = ½ Σ a_p² q^p: the correlator and its derivatives, planted starts, steps, T_s."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from glassyrun import Refusal

Mixture = Mapping[int, float]
"""p → a_p."""
Model = int | Mixture
"""The p of a pure model, or p → a_p."""


def mixture_of(model: Model) -> Mixture:
    """p → a_p of a model.

    Raises:
        Refusal: if there is no degree, or one below 2, or a coefficient that is not finite or all are 0.
    """
    mixture = {model: 1.0} if isinstance(model, int) else model
    if not all(p >= 2 and math.isfinite(a) for p, a in mixture.items()) or not any(mixture.values()):
        raise Refusal(
            f"p-spin model: found {model!r}, expected a whole number p ≥ 2, or such numbers with their finite coefficients a_p"
        )
    return mixture


def pure(model: Model) -> bool:
    """Whether only one degree occurs."""
    return len(mixture_of(model)) == 1


def derivative(mixture: Mixture, order: int, overlap: float = 1.0) -> float:
    """The derivative of f of this order at an overlap: f itself, f′, f″, f‴."""
    return 0.5 * sum(
        a * a * math.prod(range(p - order + 1, p + 1)) * overlap ** (p - order) for p, a in mixture.items() if p >= order
    )


def correlator(mixture: Mixture, overlap: float = 1.0) -> float:
    """f(q) = ½ Σ a_p² q^p, the covariance of H per spin at overlap q."""
    return 0.5 * sum(a * a * overlap**p for p, a in mixture.items())


def static_temperature(mixture: Mixture) -> float:
    """T_s, above which the paramagnet is the equilibrium state and a planted start is an equilibrium one.

    The paramagnet holds as long as β² f(q) + ln(1−q) + q ≤ 0 for all overlaps q, so T_s² = max_q f(q)/(−ln(1−q) − q). Pure
    p = 3: 0.586; p = 2: 1.
    """
    q = np.linspace(1e-4, 1 - 1e-6, 200_001)
    f = 0.5 * sum(a * a * q**p for p, a in mixture.items())
    limit = 0.5 * mixture.get(2, 0.0) ** 2 * 2  # q → 0, where −ln(1−q) − q → q²/2
    return math.sqrt(max(limit, float(np.max(f / (-np.log1p(-q) - q)))))


def stable_step(mixture: Mixture) -> float:
    """2/λ_max: the largest time step for explicit steps down the gradient near the threshold energy, √(2/(p(p−1)))/2 for pure p.

    The Hessian on the sphere is a semicircle of half-width 2√f″(1) that touches zero at the threshold, so λ_max = 4√f″(1).
    """
    curvature = 0.5 * sum(a * a * p * (p - 1) for p, a in mixture.items())
    return 2 / (4 * math.sqrt(curvature))


def planted_energy(mixture: Mixture, temperature: float, distinct: int | None = None, diluted: bool = False) -> float:
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


def minibatch_temperature(strength: float, time_step: float, excess: float) -> float:
    """The temperature at which thermal noise is as strong as that of mini-batches, α (p/4)·excess on a random configuration.

    One step moves x by α times the gradient, whose mini-batch part has the variance excess·p/2 in each component, with
    excess = M/B − 1 for batches drawn without replacement and M/B with; `strength` is Σ p a_p², p for a pure model.
    """
    return time_step * strength / 4 * excess
