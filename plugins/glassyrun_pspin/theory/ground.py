"""The ground state, where one step of replica symmetry breaking gives it."""

from __future__ import annotations

import math

import attrs
import numpy as np

from glassyrun import Refusal
from glassyrun_pspin.theory.correlator import Model, derivative, mixture_of, pure

SLACK = 1e-9
"""Rounding that the condition of optimality may be short by."""


@attrs.frozen
class GroundState:
    """The lowest energy for N → ∞, with what describes the Gibbs measure for T → 0."""

    energy: float
    """E_0 per spin."""
    stiffness: float
    """χ = lim (1−q)/T."""
    breaking: float
    """y = lim X/T: the slope of the complexity at the ground state; 0 for p = 2."""


def ground_state(model: Model) -> GroundState:
    """E_0 = −min over χ, y of ½ [f′(1) χ + f(1) y] + ln(1 + y/χ)/(2y): −1.1717 for p = 3, −1 for p = 2.

    It is the limit T → 0 of the free energy with one step of symmetry breaking (Crisanti and Sommers 1992). The minimum over all
    orders of breaking is a convex problem (Chen and Sen, Commun. Math. Phys. 350, 129 (2017)), and whether one step solves it is
    checked: always for pure p.

    Raises:
        Refusal: for a mixture with a lower free energy at more steps, whose ground state is not given here.
    """
    mixture = mixture_of(model)
    f, f1 = derivative(mixture, 0), derivative(mixture, 1)
    if set(mixture) == {2}:
        return GroundState(-math.sqrt(f1), 1 / math.sqrt(f1), 0.0)  # y → 0: the minimum of ½ [f′(1) χ + 1/χ]
    low, high = math.log(1e-8), math.log(1e12)  # of z = y/χ
    for _ in range(200):
        z = math.exp(0.5 * (low + high))
        larger = ((1 + z) * math.log1p(z) - z) / z**2 > f / f1
        low, high = (math.log(z), high) if larger else (low, math.log(z))
    chi = 1 / math.sqrt(f1 * (1 + z))
    found = GroundState(-0.5 * (f1 * chi + f * z * chi) - math.log1p(z) / (2 * z * chi), chi, z * chi)
    if _shortfall(model, found) < -SLACK * f:
        raise Refusal(
            f"mixture {dict(mixture)}: its ground state needs more than one step of symmetry breaking, and is not given here; "
            f"it lies above {found.energy:.5g}"
        )
    return found


def lowest_energy(model: Model) -> float | None:
    """E_0 per spin, or None where it is not known."""
    try:
        return ground_state(model).energy
    except Refusal:
        return None


def refuse_more_steps(model: Model) -> None:
    """
    Raises:
        Refusal: for a mixture whose ground state has more than one step of symmetry breaking.
    """
    if not pure(model):
        ground_state(model)


def _shortfall(model: Model, state: GroundState) -> float:
    """The smallest slope of the functional towards another step at u, ∫_u^1 [f′(s) − ∫_0^s dq (χ + y(1−q))^{−2}] ds; 0 if one step is best."""
    mixture, chi, y = mixture_of(model), state.stiffness, state.breaking
    u = np.linspace(0, 1, 2001)
    # ∫_u^1 f′ = f(1) − f(u); ∫_0^s dq (…)^{−2} = [1/(χ + y(1−s)) − 1/(χ+y)]/y
    force = np.array([derivative(mixture, 0) - derivative(mixture, 0, float(at)) for at in u])
    entropy = (np.log1p(y * (1 - u) / chi) / y - (1 - u) / (chi + y)) / y
    return float((force - entropy).min())
