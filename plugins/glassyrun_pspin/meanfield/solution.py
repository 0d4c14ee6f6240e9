"""A solution with its errors: what `solve` gives, and how it controls them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import attrs
import numpy as np
from jaxtyping import Float

from glassyrun import Refusal
from glassyrun_pspin.meanfield.equations import Equations
from glassyrun_pspin.meanfield.graded import Graded, Resolution, TooCoarse, solve_graded
from glassyrun_pspin.meanfield.queries import integrated, one_time, values

FINEST = 4
"""The finest grid that error control goes to; it takes about 16 times as long as the coarsest."""
LEAST_TOLERANCE = 1e-7
HALF = 0.5
"""An error that falls at least like the fourth power, from a grid to one finer by 4/3, is then below half of the difference.

So it is for the largest error over a grid; at a point where the difference of two grids crosses zero it is not.
"""
Times = float | Float[np.ndarray, "..."]
Values = Float[np.ndarray, "..."]


@attrs.frozen(eq=False)
class Solution:
    """C, R, χ, μ and E of the two-time equations up to a time, each with its error from two grids.

    Times are in the unit of the Langevin equation, energies per spin. Arguments are numbers or arrays, which broadcast.
    """

    equations: Equations
    horizon: float
    best: Graded
    check: Graded
    """The same on a grid coarser by 4/3. Errors of `best` are half of the difference."""

    def energy(self, times: Times) -> Values:
        """E(t) per spin."""
        return self._one_time(self.best, times)[..., 1]

    def energy_error(self, times: Times) -> Values:
        return HALF * np.abs(self.energy(times) - self._one_time(self.check, times)[..., 1])

    def mu(self, times: Times) -> Values:
        """The multiplier μ(t), by its integral; T − pE for pure p."""
        return self._one_time(self.best, times)[..., 0]

    def mu_error(self, times: Times) -> Values:
        return HALF * np.abs(self.mu(times) - self._one_time(self.check, times)[..., 0])

    def correlation(self, t_w: Times, t: Times) -> Values:
        """C(t_w + t, t_w)."""
        return self._two_time(self.best, t_w, t)[..., 0]

    def correlation_error(self, t_w: Times, t: Times) -> Values:
        return HALF * np.abs(self.correlation(t_w, t) - self._two_time(self.check, t_w, t)[..., 0])

    def response(self, t_w: Times, t: Times) -> Values:
        """R(t_w + t, t_w), the response at t_w + t to an impulse at t_w."""
        return self._two_time(self.best, t_w, t)[..., 1]

    def response_error(self, t_w: Times, t: Times) -> Values:
        return HALF * np.abs(self.response(t_w, t) - self._two_time(self.check, t_w, t)[..., 1])

    def susceptibility(self, t_w: Times, t: Times) -> Values:
        """χ(t_w, t_w + t) = ∫ R(t_w + t, s) ds over t_w < s < t_w + t: the response to a field switched on at t_w."""
        return self._integrated(self.best, t_w, t)

    def susceptibility_error(self, t_w: Times, t: Times) -> Values:
        return HALF * np.abs(self.susceptibility(t_w, t) - self._integrated(self.check, t_w, t))

    def largest_error(self) -> float:
        """Of E, C and χ, over a logarithmic grid of times up to the horizon."""
        times = np.geomspace(min(1.0, 0.1 * self.horizon), self.horizon, 24)
        since, lag = times[:, None], times[None, :]
        since, lag = (grid[since + lag <= self.horizon] for grid in np.broadcast_arrays(since, lag))
        errors = (self.energy_error(times), self.correlation_error(since, lag), self.susceptibility_error(since, lag))
        return float(max(error.max(initial=0.0) for error in errors))

    def _one_time(self, grid: Graded, times: Times) -> Values:
        e = self.equations
        (flat,), shape = self._flat(times)
        width = Resolution.level(0).panel
        found = one_time(grid.history, grid.last, flat, e.kernels, e.temperature, e.beta, width)
        return found.reshape(*shape, 2)

    def _two_time(self, grid: Graded, t_w: Times, t: Times) -> Values:
        (since, lag), shape = self._flat(t_w, t)
        return values(grid.history, grid.last, since, lag).reshape(*shape, 2)

    def _integrated(self, grid: Graded, t_w: Times, t: Times) -> Values:
        (since, lag), shape = self._flat(t_w, t)
        return integrated(grid.history, grid.last, since, lag, Resolution.level(0).panel).reshape(shape)

    def _flat(self, *times: Times) -> tuple[list[Float[np.ndarray, " query"]], tuple[int, ...]]:
        """Arguments as flat arrays of one length.

        Raises:
            Refusal: for times before 0 or beyond the horizon.
        """
        arrays = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in times))
        flat = [array.ravel() for array in arrays]
        if not all((array >= 0).all() for array in flat) or not (np.sum(flat, axis=0) <= self.horizon * (1 + 1e-9)).all():
            raise Refusal(
                f"times of a query lie outside [0, {self.horizon:g}], where the equations were solved; solve them for longer"
            )
        return flat, arrays[0].shape


def solve(
    mixture: Mapping[int, float],
    temperature: float,
    initial_temperature: float = math.inf,
    horizon: float = 100.0,
    tolerance: float = 1e-4,
    tell: Callable[[str], None] = lambda _: None,
    heed: Callable[[], None] = lambda: None,
) -> Solution:
    """The N → ∞ dynamics of a spherical p-spin, or a mixture of several, from a random or a planted start.

    `mixture` is p → a_p. Grids are refined until two of them give the same E, C and χ within `tolerance` up to the time
    `horizon`; `tell` hears of each, and `heed` is called all the while: either may raise. Solved by the graded scheme, see `solve_graded`.

    Raises:
        Refusal: for T < 0, T_i < T_s, or a time or tolerance that error control does not reach.
    """
    equations = Equations(dict(mixture), temperature, initial_temperature)
    if not (0 < horizon < math.inf):
        raise Refusal(f"horizon = {horizon}: expected a finite time larger than 0")
    if not tolerance >= LEAST_TOLERANCE:
        raise Refusal(f"tolerance = {tolerance:g}: expected at least {LEAST_TOLERANCE:g}, which the scheme can show")
    check, error, failed = None, math.inf, ""
    for level in range(FINEST + 1):
        try:
            best = solve_graded(equations, horizon, Resolution.level(level), heed)
        except TooCoarse as refusal:
            if failed:  # a third grid would take longer, and hardly reach further
                raise
            check, failed = None, str(refusal)
            tell(f"grid {level}: {failed}")
            continue
        failed = ""
        if check is not None:
            found = Solution(equations, horizon, best, check)
            error = found.largest_error()
            tell(f"grid {level}: error {error:.2g}")
            if error <= tolerance:
                return found
        check = best
    raise Refusal(
        f"the theory can't be had to {tolerance:g} up to time {horizon:g}: the finest grid has an error of {error:.2g}; "
        "take a shorter time or a larger tolerance"
    )
