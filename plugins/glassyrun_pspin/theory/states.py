"""The states that aging tends to, and those that hold a planted start: overlaps, effective temperatures, energies."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import numpy as np

from glassyrun import Refusal
from glassyrun_pspin.theory.correlator import Model, correlator, derivative, mixture_of, pure, static_temperature
from glassyrun_pspin.theory.ground import refuse_more_steps


def dynamical_temperature(model: Model) -> float:
    """T_d, below which the overlap with an equilibrium start does not decay to 0: T_d² = max_q f′(q)(1−q)/q.

    Pure p: √(p (p−2)^{p−2} / (2 (p−1)^{p−1})); √(3/8) for p = 3. Where the maximum is at q = 0 (p = 2) it is where q grows from 0.
    """
    mixture = mixture_of(model)
    if pure(mixture):
        ((p, a),) = mixture.items()
        return abs(a) * math.sqrt(p * (p - 2.0) ** (p - 2) / (2 * (p - 1.0) ** (p - 1)))
    q = _largest(lambda q: derivative(mixture, 1, q) * (1 - q) / q, 1e-9)
    return math.sqrt(max(derivative(mixture, 2, 0.0), derivative(mixture, 1, q) * (1 - q) / q))


def threshold_energy(model: Model) -> float:
    """E_th, that of the marginal state at T = 0: −√(2(p−1)/p) for pure p; −1.1547 for p = 3, and −1 for p = 2.

    E_th = −[f′(1) + f(1) (f″(1)/f′(1) − 1)] / √f″(1). In a pure model saddles become minima there, and a quench tends to it. In a
    mixture it is the energy that a quench would tend to if it forgot its start, which it does not: see `asymptotic_energy`. Where
    1/√f″(q) is not convex even that is a conjecture.

    Raises:
        Refusal: for a mixture whose low energies need more than one step of symmetry breaking.
    """
    mixture = mixture_of(model)
    if isinstance(model, int):
        return -math.sqrt(2 * (model - 1) / model)
    refuse_more_steps(mixture)
    f, f1, f2 = (derivative(mixture, k) for k in range(3))
    return -(f1 + f * (f2 / f1 - 1)) / math.sqrt(f2)


@attrs.frozen
class MarginalState:
    """The states that aging from a random start tends to, for N → ∞ and then t → ∞."""

    overlap: float
    """q: self-overlap, the plateau of C (Edwards-Anderson parameter)."""
    ratio: float
    """X: violation of the fluctuation-dissipation theorem beyond the plateau, T/T_eff."""
    energy: float
    """E_∞ = −[f(1) − (1−X) f(q)]/T; the threshold energy at T = 0."""
    effective_temperature: float = math.nan
    """T_eff = T/X; finite at T = 0, infinite for p = 2, where X = 0."""

    @property
    def plateau(self) -> float:
        """2(1−q), the plateau of the mean-square displacement."""
        return 2 * (1 - self.overlap)


def marginal_state(model: Model, temperature: float) -> MarginalState:
    """The marginal state of Cugliandolo and Kurchan at 0 ≤ T ≤ T_d.

    q is the largest root of f″(q)(1−q)² = T², where the Hessian of the state has its edge at zero, and
    X = (1−q)(q f″(q)/f′(q) − 1)/q; for pure p, X = (p−2)(1−q)/q. Derivation in docs/theory.md.

    A mixture tends to this state only if it forgets its start; simulations and solutions show that it does not (Folena, Franz and
    Ricci-Tersenghi 2020), so that for mixtures these are the numbers of the threshold, not of the asymptote.

    Raises:
        Refusal: if T is outside [0, T_d], or for a mixture that needs more than one step of symmetry breaking.
    """
    mixture = mixture_of(model)
    if not 0 <= temperature <= (limit := dynamical_temperature(model)) * (1 + 1e-12):
        raise Refusal(f"marginal_state: found T = {temperature:g}, and marginal states exist for 0 ≤ T ≤ T_d = {limit:.5g}")
    refuse_more_steps(mixture)
    f1, f2 = derivative(mixture, 1), derivative(mixture, 2)
    if temperature == 0:
        excess = (f2 - f1) / (f1 * math.sqrt(f2))  # X/T for T → 0
        return MarginalState(1.0, 0.0, threshold_energy(model), 1 / excess if excess else math.inf)
    low, high = _largest(lambda q: derivative(mixture, 2, q) * (1 - q) ** 2, 0.0), 1.0
    for _ in range(200):
        q = 0.5 * (low + high)
        hotter = derivative(mixture, 2, q) * (1 - q) ** 2 > temperature**2
        low, high = (q, high) if hotter else (low, q)
    steepness = q * derivative(mixture, 2, q) / derivative(mixture, 1, q) if q else max(min(mixture) - 1.0, 1.0)
    ratio = (1 - q) * (steepness - 1) / q if q else 1.0
    if set(mixture) == {2}:
        ratio = 0.0
    energy = -(correlator(mixture) - (1 - ratio) * correlator(mixture, q)) / temperature
    return MarginalState(q, ratio, energy, temperature / ratio if ratio else math.inf)


def asymptotic_energy(model: Model, temperature: float) -> float:
    """The energy that a random start tends to at a temperature T, for N → ∞ and then t → ∞; per spin.

    Above T_d that of equilibrium, −f(1)/T; below, for pure p, that of the marginal state.

    Raises:
        Refusal: if T < 0, and for a mixture below T_d, where no formula is known: it goes below the threshold and keeps a memory
            of its start.
    """
    mixture = mixture_of(model)
    if temperature < 0:
        raise Refusal(f"asymptotic_energy: found T = {temperature:g}, expected a temperature ≥ 0")
    if temperature >= dynamical_temperature(model):
        return -correlator(mixture) / temperature
    if not pure(mixture):
        raise Refusal(
            f"mixture {dict(mixture)}: the energy that it tends to below T_d is known from no formula; "
            "solve gives E(t), and threshold_energy what it would be if the start were forgotten"
        )
    ((p, a),) = mixture.items()
    return abs(a) * marginal_state(p, temperature / abs(a)).energy


def equilibrium_overlap(model: Model, temperature: float) -> float:
    """What the overlap with a planted start in equilibrium tends to: 0 above T_d, and below it the largest root of f′(q)(1−q) = T² q.

    Raises:
        Refusal: below T_s, where a planted start is not one of equilibrium.
    """
    mixture = mixture_of(model)
    if temperature < static_temperature(mixture) * (1 - 1e-9):
        raise Refusal(
            f"equilibrium_overlap: found T = {temperature:g}, and a planted start is one of equilibrium from T_s = "
            f"{static_temperature(mixture):.5g} on"
        )
    if temperature >= dynamical_temperature(model):
        return 0.0
    low, high = _largest(lambda q: derivative(mixture, 1, q) * (1 - q) / q, 1e-9), 1.0
    for _ in range(200):
        q = 0.5 * (low + high)
        inside = derivative(mixture, 1, q) * (1 - q) > temperature**2 * q
        low, high = (q, high) if inside else (low, q)
    return q


def _largest(function: Callable[[float], float], low: float) -> float:
    """Where a function of the overlap is largest on [low, 1]: a grid, then golden sections."""
    grid = np.linspace(low, 1, 2001)
    best = int(np.argmax([function(float(q)) for q in grid]))
    a, b = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, 2000)])
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(80):
        c, d = b - golden * (b - a), a + golden * (b - a)
        a, b = (a, d) if function(c) > function(d) else (c, b)
    return 0.5 * (a + b)
