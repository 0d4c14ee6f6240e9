"""The fixed-step scheme: third order in the step, with Richardson's error; for short times, and to check the other scheme by."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import numpy as np
from jaxtyping import Float

from glassyrun import Refusal
from glassyrun_pspin.meanfield.equations import Equations
from glassyrun_pspin.meanfield.fixed_loops import march

ORDER = 3
MOST_STEPS = 8000
"""Beyond it C and R take more than a gigabyte."""
AT_ONCE = 16
"""Rows between two times at which whoever waits may stop it."""


@attrs.frozen(eq=False)
class Square:
    """C and R on a square grid of times; values above the diagonal are 0."""

    step: float
    C: Float[np.ndarray, "t t_w"]
    R: Float[np.ndarray, "t t_w"]
    mu: Float[np.ndarray, " t"]
    energy: Float[np.ndarray, " t"]

    def at(self, time: float) -> int:
        """The index of the grid point nearest to a time."""
        return round(time / self.step)

    @property
    def drift(self) -> Float[np.ndarray, " t"]:
        """C(t, t) − 1, which nothing but the equations keeps small."""
        return np.diag(self.C) - 1

    @property
    def decay(self) -> Float[np.ndarray, " t"]:
        """−∂R(t,t′)/∂t at t = t′ by one-sided differences of third order along t: μ(t′), if the solution is one."""
        n = len(self.mu) - 3
        value = sum(w * np.diag(self.R, -k)[:n] for k, w in enumerate((-11 / 6, 3.0, -1.5, 1 / 3)))
        return -np.asarray(value) / self.step


def solve_fixed(equations: Equations, horizon: float, step: float, heed: Callable[[], None] = lambda: None) -> Square:
    """The solution up to a time by a predictor-corrector method of third order; the cost grows like (horizon/step)³.

    Integrals over the memory are Gregory's rule of third order on each side of t′; time goes on by an Adams-Moulton corrector
    after an Adams-Bashforth predictor, and C(t,t) along t′. Neither C(t,t) = 1 nor μ = T − pE is imposed. `heed` is called every few rows,
    and may raise.

    Raises:
        Refusal: if the grid has more than 8000 steps, or the step is not stable.
    """
    count = math.ceil(horizon / step - 1e-9)
    if count > MOST_STEPS:
        raise Refusal(
            f"{count} steps of {step:g} to time {horizon:g}: the fixed-step scheme takes at most {MOST_STEPS}; "
            "take a longer step, or the long-time scheme"
        )
    n = count + 1
    C, R, mu, energy = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n), np.zeros(n)
    slopes, e = np.zeros((2, 2, n)), equations
    for begin in range(0, n, AT_ONCE):
        heed()
        march(C, R, mu, energy, step, e.kernels, e.temperature, e.beta, slopes, begin, min(begin + AT_ONCE, n))
    if not np.isfinite(energy[-1]):
        raise Refusal(f"the step {step:g} is too long for these equations; take at most {0.35 / equations.rate:.2g}")
    return Square(step, C, R, mu, energy)


def extrapolated(
    equations: Equations, horizon: float, step: float, heed: Callable[[], None] = lambda: None
) -> tuple[Square, Square]:
    """Two steps, `step` and half of it, combined to fourth order on the coarser grid; and the error of the finer one.

    The error is what the extrapolation has taken away, and so is larger than that of the result.
    """
    coarse, fine = (
        solve_fixed(equations, horizon, step, heed),
        solve_fixed(equations, math.ceil(horizon / step - 1e-9) * step, step / 2, heed),
    )
    factor = 2**ORDER
    best: list[np.ndarray] = []
    error: list[np.ndarray] = []
    for name in ("C", "R", "mu", "energy"):
        b = getattr(coarse, name)
        a = getattr(fine, name)[(slice(None, None, 2),) * b.ndim]
        best.append((factor * a - b) / (factor - 1))
        error.append(np.abs(best[-1] - a))
    return Square(step, *best), Square(step, *error)
