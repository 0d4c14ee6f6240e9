"""Descent in steps as long as a tolerance allows."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Diverged, Evaluation, State, System

LENGTH = "part"
"""Name of what is remembered of a State: the length of the next part of a step, in units of time."""
SAFETY, LEAST_CHANGE, MOST_CHANGE, SHORTEST = 0.9, 0.2, 5.0, 1e-9
Vectors = Float[Tensor, "replica dof"]
Terms = Int[Tensor, "replica term"] | None


def adaptive(system: System, state: State, batch: Terms, dt: float, tolerance: float) -> Evaluation:
    """A step of dt in as many parts as it takes, by the pair of orders 3 and 2 of Bogacki and Shampine (Appl. Math. Lett. 2, 321 (1989)).

    A part is accepted if the two orders differ by at most `tolerance`, root mean square component, in the replica where they differ
    most. On a manifold the flow is that of z ↦ −P∇H(R(z)), with the retraction R, which stays on it; so the orders are those of flat space.

    Raises:
        Diverged: if no part is short enough.
    """
    evaluation, slope = _field(system, state, state.x, batch)
    left, length = dt, float(state.dynamics[LENGTH]) if LENGTH in state.dynamics else dt
    while left > SHORTEST * dt:
        part = min(length, left)
        to, end, error = _part(system, state, batch, part, slope)
        change = SAFETY * (tolerance / error) ** (1 / 3) if error > 0 else MOST_CHANGE
        if error <= tolerance:
            state.x.copy_(to)
            left, slope = left - part, end
        elif part < SHORTEST * dt:
            raise Diverged(f"dynamics.tolerance = {tolerance:g}: no step is short enough for it; take a larger one")
        if error > tolerance or part == length or part * change < length:
            length = part * min(MOST_CHANGE, max(LEAST_CHANGE, change))
    state.dynamics[LENGTH] = torch.tensor(length, dtype=torch.float64)
    return evaluation


def _field(system: System, state: State, x: Vectors, batch: Terms) -> tuple[Evaluation, Vectors]:
    """−P∇H at a point of the manifold; the System's memory is committed."""
    evaluation = system.gradient(State(x, state.step, state.system, state.dynamics), batch)
    state.system = evaluation.memory
    return evaluation, -system.manifold.project(x, evaluation.gradient)


def _part(system: System, state: State, batch: Terms, h: float, first: Vectors) -> tuple[Vectors, Vectors, float]:
    """Where a part of length h leads, the field there, and the error estimate; NaN counts as infinite."""
    x, back = state.x, system.manifold.retract
    second = _field(system, state, back(x + 0.5 * h * first), batch)[1]
    third = _field(system, state, back(x + 0.75 * h * second), batch)[1]
    to = back(x + h * (2 / 9 * first + 1 / 3 * second + 4 / 9 * third))
    end = _field(system, state, to, batch)[1]
    apart = h * (-5 / 72 * first + 1 / 12 * second + 1 / 9 * third - 1 / 8 * end)
    error = float(apart.double().square().mean(1).max().sqrt())
    return to, end, error if error == error else float("inf")
