"""The fit of one two-time function to F(t/t_w^μ), and whether its curves collapse at all."""

from __future__ import annotations

import attrs
import numpy as np

from glassyrun.analysis.master import Curves, Master, is_straight, misfit_by_errors, one_hot, refine, search
from glassyrun.analysis.trajectories import Array, Estimate, NotEnough, Units, interval

CANDIDATES = np.linspace(-0.5, 2.5, 16)
CURVES, LAGS = 3, 4
"""Waiting times, and lags of each, without which there is nothing to fit."""
TIMES, TOLERATED = 2.0, 0.1
"""Curves do not collapse if the misfit is so many times what their errors explain, and more than this; a tenth of Δ is tolerated."""


@attrs.frozen
class Pairs:
    """Which points of a [t_w, t] array are fitted, and log t and log t_w of each."""

    mask: np.ndarray
    curves: Curves

    @classmethod
    def of(
        cls, values: Array, t_w: Array, t: Array, lags: tuple[float, float], waiting: tuple[float, float], free: bool
    ) -> Pairs:
        """Positive times within the windows where the values are positive.

        Raises:
            NotEnough: if fewer than three waiting times have four such lags.
        """
        inside = ((t_w > 0) & (t_w >= waiting[0]) & (t_w <= waiting[1]))[:, None] & ((t > 0) & (t >= lags[0]) & (t <= lags[1]))
        mask = inside & (values > 0)
        mask &= (mask.sum(axis=1) >= LAGS)[:, None]
        if mask.any(axis=1).sum() < CURVES:
            raise NotEnough(f"{mask.any(axis=1).sum()} waiting times have {LAGS} lags or more, and a fit needs {CURVES}")
        rows, columns = np.nonzero(mask)
        waited = np.log(t_w[rows])
        offsets = one_hot(waited) if free else np.zeros((len(waited), 0))
        return cls(mask, Curves(np.log(t[columns]), waited[:, None], offsets))


@attrs.frozen
class Misfit:
    """The rms of log Δ about the master curve, and what errors explain of it."""

    found: float = np.nan
    expected: float = np.nan

    @property
    def collapses(self) -> bool:
        return not self.found > max(TIMES * self.expected, TOLERATED)


@attrs.frozen
class Fit:
    """The fit of one two-time function to F(t/t_w^μ)."""

    variable: str
    t_w: Array
    t: Array
    lags: tuple[float, float]
    waiting: tuple[float, float]
    pieces: int
    free: bool = False
    """Whether each waiting time has an amplitude of its own."""

    def master(self, values: Array) -> tuple[Pairs, Master]:
        pairs = Pairs.of(values, self.t_w, self.t, self.lags, self.waiting, self.free)
        y = np.log(values[pairs.mask])
        if np.ptp(y) < 1e-9:
            raise NotEnough("the function is constant within the windows, so nothing tells how it is shifted")
        best = search(y, pairs.curves, CANDIDATES, self.pieces)
        if best.spread**2 > 0.5 * y.var():
            raise NotEnough("no master curve explains half of the variance of log Δ, so that there is nothing to collapse")
        return pairs, best

    def mu(self, units: Units, strict: bool = True) -> tuple[Estimate, Misfit]:
        """The exponent; with `strict` only where the curves collapse."""
        pairs, best = self.master(units.means()[self.variable])
        misfit = self.misfit(units, pairs, best)
        return self.jackknife(units, pairs, best, misfit if strict else Misfit()), misfit

    def misfit(self, units: Units, pairs: Pairs, best: Master) -> Misfit:
        """What the fit leaves.

        Raises:
            NotEnough: if amplitudes are free and the curves so straight that nothing tells how they are shifted.
        """
        y, left = self._logs(units, pairs)
        there = np.asarray(np.isfinite(left).all(axis=0))
        curves = pairs.curves.part(there)
        if not there.any():
            raise NotEnough("Δ is not positive without one or another of the trajectories, so that its errors are not known")
        y, left = y[there], left[:, there]
        if self.free and is_straight(y, left, curves):
            raise NotEnough('Δ is a power law of t within its errors, and amplitude="free" can\'t tell how far that is shifted')
        return Misfit(best.spread, misfit_by_errors(y, left, curves, best))

    def jackknife(self, units: Units, pairs: Pairs, best: Master, misfit: Misfit) -> Estimate:
        """The exponent with its interval, near the best one."""
        if not misfit.collapses:
            remedy = "" if self.free else ", or free the amplitude"
            raise NotEnough(
                f"the curves do not collapse: about the best master curve log Δ has an rms of {misfit.found:.2g}, and its errors "
                f"explain {misfit.expected:.2g}; narrow the windows of t_w and t{remedy}"
            )
        left = np.array([self._again(y, pairs, best) for y in self._logs(units, pairs)[1]])
        if not CANDIDATES[0] < best.exponent < CANDIDATES[-1] or np.ptp(left) > 2:
            raise NotEnough("the data leave μ undetermined between −0.5 and 2.5; more waiting times, lags or replicas are needed")
        return interval(np.asarray(best.exponent), left, about=units.about())

    def _logs(self, units: Units, pairs: Pairs) -> tuple[Array, Array]:
        """log Δ [point], and without each of the units [unit, point]."""
        with np.errstate(invalid="ignore", divide="ignore"):
            left = np.log([units.without(unit)[self.variable][pairs.mask] for unit in range(units.count)])
            return np.log(units.means()[self.variable][pairs.mask]), left

    def _again(self, y: Array, pairs: Pairs, best: Master) -> float:
        there = np.isfinite(y)
        return float(refine(y[there], pairs.curves.part(there), best.shift, best.knots)[0])
