"""Steps down the gradient on a manifold, shared by quench and Langevin dynamics."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Evaluation, State, System


def move(system: System, state: State, to: Float[Tensor, "replica dof"]) -> None:
    """Puts the State on the point of the manifold next to `to`, in place."""
    state.x.copy_(system.manifold.retract(to))


def look(
    system: System, state: State, batch: Int[Tensor, "replica term"] | None
) -> tuple[Evaluation, Float[Tensor, "replica dof"]]:
    """Energy and tangent gradient; the System's memory is committed."""
    evaluation = system.gradient(state, batch)
    state.system = evaluation.memory
    slope = system.manifold.project(state.x, evaluation.gradient)
    # H = x²/2 may hand out x itself as its gradient, which would move under the second half of a step
    shared = slope.untyped_storage().data_ptr() == state.x.untyped_storage().data_ptr()
    return evaluation, slope.clone() if shared else slope


def euler(system: System, state: State, batch: Int[Tensor, "replica term"] | None, dt: float) -> Evaluation:
    """x ← R(x − dt P∇H(x)): gradient descent, first order in dt."""
    evaluation, slope = look(system, state, batch)
    move(system, state, state.x - dt * slope)
    return evaluation


def heun(system: System, state: State, batch: Int[Tensor, "replica term"] | None, dt: float) -> Evaluation:
    """Heun's predictor and corrector, second order in dt; both looks are at the same terms.

    y = R(x − dt P∇H(x)),  x ← R(x − dt/2 [P∇H(x) + P∇H(y)]), with R the retraction and P the tangent projection.
    """
    start = state.x.clone()
    evaluation, slope = look(system, state, batch)
    move(system, state, start - dt * slope)
    _, slope_ahead = look(system, state, batch)
    move(system, state, start - (0.5 * dt) * (slope + slope_ahead))
    return evaluation


SLOPE = "slope"
"""Name of what Adams' method remembers of a State: its last tangent gradient, [replica, dof], brought along to x."""


def adams(
    system: System, state: State, batch: Int[Tensor, "replica term"] | None, dt: float, kept: Float[Tensor, ""] | float = 1.0
) -> Evaluation:
    """Adams' and Bashforth's two-step method, second order in dt with one gradient a step.

    x ← R(x − dt [3/2 P∇H(x) − 1/2 g]), with g what is `kept` of the gradient of the step before; the first step is Euler's.
    What comes between two steps must bring g along: see `bring_along`.
    """
    evaluation, slope = look(system, state, batch)
    before, start = state.dynamics.get(SLOPE), state.x.clone()
    along = slope if before is None else 1.5 * slope - (0.5 * kept) * before
    move(system, state, start - dt * along)
    state.dynamics[SLOPE] = system.manifold.transport(start, state.x, slope)
    return evaluation


def bring_along(system: System, state: State, to: Float[Tensor, "replica dof"]) -> None:
    """Puts the State on `to`, in place, and what Adams' method remembers with it."""
    state.dynamics[SLOPE] = system.manifold.transport(state.x, to, state.dynamics[SLOPE])
    state.x.copy_(to)


def tilt_slope(system: System, state: State, field: Float[Tensor, "#replica dof"]) -> None:
    """Makes what Adams' method remembers that of H − field·x."""
    if SLOPE in state.dynamics:
        state.dynamics[SLOPE] = state.dynamics[SLOPE] - system.manifold.project(state.x, field.expand_as(state.x))
