"""When a falling curve passes a level, and how well its readings tell."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression, root_scalar

from glassyrun.analysis.common import doubted
from glassyrun.analysis.trajectories import Array, Estimate, Means, NotEnough, Units, jackknife

WINDOW, MANY = 0.45, 6
"""Readings this near to a passage, in the logarithm of time, are fitted by a cubic if there are so many."""


@attrs.frozen
class Passage:
    """A time of passage, and how much of its logarithm is a guess between two readings."""

    time: float
    doubt: float
    """By how much the curve between two readings may move the logarithm of the time."""
    second: float
    """The curve, made monotone, at its second reading."""


def passage(time: Float[np.ndarray, " point"], curve: Float[np.ndarray, " point"], level: float) -> Passage:
    """When a curve passes a level; it begins at 1 and tends to 0 or somewhere above.

    It is made monotone (isotonic regression), and followed between readings by the monotone cubic of Fritsch and Carlson (SIAM
    J. Numer. Anal. 17, 238 (1980)) in x = log(1 + t/t_first) and y = asinh(c/l) − asinh((1−c)/(1−l)), where exponentials, power
    laws and what is linear at first are nearly straight for any level l. How far the
    cubic bends away from the straight line between the two readings is taken for what it may be wrong by.

    Raises:
        NotEnough: if there are too few readings, or none is below the level.
    """
    there = np.isfinite(curve)
    time, curve = time[there], curve[there]
    if len(time) < 4:
        raise NotEnough(f"{len(time)} times have been measured, and a passage needs four")
    falling = isotonic_regression(curve, increasing=False).x
    if falling[-1] > level:
        raise NotEnough(f"not reached: at {time[-1]:g} {falling[-1]:.3g} is left, and {level:g} is asked for")
    first = time[time > 0][0]
    x = np.log1p(time / first)
    at, doubt = _between(x, _stretched(falling, level), _stretched(curve, level))
    return Passage(float(first * np.expm1(at)), float(doubt * np.exp(at) / np.expm1(at)), float(falling[1]))


def _stretched(curve: Array, level: float) -> Array:
    """0 at the level; logarithmic in the distances to both ends, down to those at the level, and linear beyond."""
    return np.arcsinh(curve / level) - np.arcsinh((1 - curve) / (1 - level))


def _between(x: Array, y: Array, raw: Array) -> tuple[float, float]:
    """Where a falling y passes 0, and by how much that may be wrong for want of readings; `raw` is y before it was made monotone."""
    below = int(np.argmax(y <= 0))
    slope = (y[below - 1] - y[below]) / (x[below] - x[below - 1])
    straight = x[below - 1] + y[below - 1] / slope
    near = np.abs(x - straight) < WINDOW
    if near.sum() >= MANY:
        off = x[near] - straight
        weights = (1 - np.abs(off / WINDOW) ** 3) ** 1.5  # the root of the tricube, as polyfit squares it
        cubic = np.polynomial.Polynomial(np.polynomial.polynomial.polyfit(off, raw[near], 3, w=weights))
        roots = np.asarray(cubic.roots(), dtype=complex)
        roots = roots.real[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < WINDOW)]
        return float(straight + (roots[np.abs(roots).argmin()] if len(roots) else 0.0)), 0.0
    close = slice(max(below - 3, 0), below + 3)
    line = PchipInterpolator(x[close], y[close])
    within = np.linspace(x[below - 1], x[below], 9)
    bend = np.abs(line(within) - np.interp(within, x, y)).max()
    return float(root_scalar(line, bracket=(x[below - 1], x[below])).root), bend / slope


def estimated(units: Units, read: Callable[[Means], Passage]) -> Estimate:
    """The passage of the mean curve: error and interval of the trajectories by the jackknife, and of what lies between readings."""
    found = jackknife(units, lambda means: read(means).time, log=True)
    return found if found.reason else doubted(found, np.asarray(read(units.means()).doubt), log=True)
