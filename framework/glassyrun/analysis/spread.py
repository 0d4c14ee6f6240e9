"""How far curves are from each other, and what factors can do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from glassyrun.analysis.trajectories import CONFIDENCE, Array, Estimate, Means, Units


def squares(
    y: Float[np.ndarray, "curve point"], mask: Bool[np.ndarray, "curve point"], scale: Float[np.ndarray, " curve"] | None
) -> float:
    """Mean square distance of logarithms [curve, point] from their mean over curves at each point, after taking `scale` off each.

    Args:
        scale: logarithm of a factor for each curve; None for the best one, that of least squares.
    """
    y = np.where(mask, y, np.nan)
    y = y - (best_factors(y) if scale is None else scale)[:, None]
    return float(np.nanmean((y - _mean(y, 0)) ** 2))


def best_factors(y: Float[np.ndarray, "curve point"]) -> Float[np.ndarray, " curve"]:
    """a_c of the best fit y_ct = m_t + a_c, with mean zero, by its normal equations; NaN are points that are not there."""
    there = np.isfinite(y).astype(float)
    each = np.maximum(there.sum(axis=0), 1)
    normal = np.diag(there.sum(axis=1)) - (there / each) @ there.T
    off = np.where(there > 0, y - _mean(y, 0), 0.0)
    factors = np.linalg.lstsq(normal, off.sum(axis=1), rcond=None)[0]
    return factors - factors.mean()


def _mean(y: Array, axis: int) -> Array:
    there = np.isfinite(y)
    count = there.sum(axis=axis)
    return np.divide(np.where(there, y, 0.0).sum(axis=axis), count, out=np.full(count.shape, np.nan), where=count > 0)


def unbiased(units: Units, statistic: Callable[[Means], Array]) -> Float[np.ndarray, "unit *value"]:
    """Pseudo-values [unit, ...], whose mean lacks the bias that noise gives to squares (Quenouille, Biometrika 43, 353 (1956))."""
    count = units.count
    whole = np.asarray(statistic(units.means()))
    left = np.stack([np.asarray(statistic(units.without(unit))) for unit in range(count)])
    return count * whole - (count - 1) * left


def of_squares(value: Array, error: Array | float, freedom: float) -> Estimate:
    """The root of a mean square that noise may have made negative: 0 then, and an interval that begins at 0.

    Where the true spread is 0 the interval holds it at least at the stated rate.
    """
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.asarray(error)
    low, high = np.sqrt(np.maximum(value - reach, 0)), np.sqrt(np.maximum(value + reach, 0))
    root = np.sqrt(np.maximum(value, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate(root, np.where(root > 0, error / (2 * root), np.nan), low, high, freedom=freedom)


def of_pseudo(pseudo: Float[np.ndarray, "unit *value"]) -> Estimate:
    """The same from pseudo-values [unit, ...]."""
    count = len(pseudo)
    if count == 1:  # theory has no error
        return of_squares(pseudo[0], np.zeros_like(pseudo[0]), np.inf)
    return of_squares(np.asarray(pseudo.mean(axis=0)), pseudo.std(axis=0, ddof=1) / count**0.5, float(count - 1))


def between(curves: Sequence[Float[np.ndarray, "unit point"]]) -> Estimate:
    """The rms distance of the logarithms of mean curves, one an array [unit, point], from their mean; units of different runs
    are independent.

    Units are left out of one run at a time; the variances add, and degrees of freedom are those of Welch.
    """
    means = [curve.mean(axis=0) for curve in curves]

    def square(parts: Sequence[Array]) -> float:
        logs = np.log(np.stack(parts))
        return float(((logs - logs.mean(axis=0)) ** 2).mean())

    whole = square(means)
    bias = 0.0
    variances: list[float] = []
    freedoms: list[int] = []
    for number, curve in enumerate(curves):
        count = len(curve)
        if count == 1:  # theory has no error
            continue
        fewer = (means[number] * count - curve) / (count - 1)
        left = np.array([square([*means[:number], one, *means[number + 1 :]]) for one in fewer])
        bias += (count - 1) * (left.mean() - whole)
        variances.append(float((count - 1) * left.var()))
        freedoms.append(count - 1)
    variance = sum(variances)
    parts = sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    found = of_squares(np.asarray(whole - bias), variance**0.5, variance**2 / parts if parts else np.inf)
    return attrs.evolve(
        found, about="jackknife over the trajectories of one run at a time, variances added, Student's t by Welch"
    )
