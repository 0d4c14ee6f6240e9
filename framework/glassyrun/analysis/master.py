"""Fits of many curves to one unknown master curve, shifted along the logarithm of its argument."""

from __future__ import annotations

import attrs
import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline
from scipy.linalg import solve_triangular

from glassyrun.analysis.trajectories import Array, NotEnough

DEGREE = 3
RIDGE = 1e-8


@attrs.frozen
class Curves:
    """Points (x_i, y_i) of many curves in one list; the argument of the master curve is x_i − Σ_k z_ik s_k."""

    x: Float[np.ndarray, " point"]
    z: Float[np.ndarray, "point shift"]
    """[point, shift]: log t_w of the curve for an exponent, 0 and 1 for a shift of each curve."""
    offsets: Float[np.ndarray, "point offset"]
    """[point, offset]: what may be added to y besides; no columns if nothing may."""

    def part(self, mask: np.ndarray) -> Curves:
        return Curves(self.x[mask], self.z[mask], self.offsets[mask])


def one_hot(labels: Float[np.ndarray, " point"]) -> Float[np.ndarray, "point column"]:
    """A column for each curve but the first, [point, curve − 1]."""
    return (np.asarray(labels)[:, None] == np.unique(labels)[None, 1:]).astype(float)


@attrs.frozen
class Master:
    """y_i = F(x_i − Σ_k z_ik s_k): F a cubic spline on fixed knots."""

    shift: Float[np.ndarray, " shift"]
    knots: Float[np.ndarray, " knot"]
    spread: float
    """Root mean square of the residuals."""

    @property
    def exponent(self) -> float:
        return float(self.shift[0])


def knots_of(x: Array, pieces: int) -> Array:
    inner = np.linspace(x.min(), x.max(), pieces + 1)
    return np.concatenate([np.full(DEGREE, inner[0]), inner, np.full(DEGREE, inner[-1])])


def residuals(
    y: Float[np.ndarray, " point"],
    curves: Curves,
    shift: Float[np.ndarray, " shift"],
    knots: Float[np.ndarray, " knot"],
    slopes: bool = True,
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "point shift"]]:
    """What the best spline leaves, and the derivatives of the model by the shifts made orthogonal to all splines."""
    spline = BSpline(knots, np.eye(len(knots) - DEGREE - 1), DEGREE, extrapolate=True)
    x = curves.x - curves.z @ shift
    values = spline(x)
    count = values.shape[1]
    model = np.hstack([values, curves.offsets])
    # a weak ridge on second differences holds a piece without points
    stiff = np.zeros((count - 2, model.shape[1]))
    stiff[:, :count] = RIDGE * len(y) * np.diff(np.eye(count), n=2, axis=0)
    q, r = np.linalg.qr(np.vstack([model, stiff]))
    q = q[: len(y)]
    part = q.T @ y
    left = y - q @ part
    if not slopes:
        return left, left[:, None]
    best = solve_triangular(r, part)
    moved = -(spline(x, nu=1) @ best[:count])[:, None] * curves.z
    return left, moved - q @ (q.T @ moved)


def search(y: Array, curves: Curves, candidates: Array, pieces: int) -> Master:
    """The one exponent among candidates whose curves collapse best, then refined."""
    spreads = [
        float(np.sum(residuals(y, curves, s, _knots(curves, s, pieces), slopes=False)[0] ** 2)) for s in candidates[:, None]
    ]
    return settle(y, curves, candidates[[int(np.argmin(spreads))]], pieces)


def settle(y: Array, curves: Curves, shift: Array, pieces: int) -> Master:
    """The best shifts near a guess; the knots follow the range of the shifted argument."""
    for _ in range(3):
        shift = refine(y, curves, shift, _knots(curves, shift, pieces))
    knots = _knots(curves, shift, pieces)
    left = residuals(y, curves, shift, knots, slopes=False)[0]
    return Master(shift, knots, float(np.sqrt(np.mean(left**2))))


def _knots(curves: Curves, shift: Array, pieces: int) -> Array:
    return knots_of(curves.x - curves.z @ shift, pieces)


def refine(y: Array, curves: Curves, shift: Array, knots: Array, rounds: int = 6) -> Array:
    """Steps of Gauss and Newton, the spline always the best for the shifts (Golub and Pereyra, SIAM J. Numer. Anal. 10, 413 (1973))."""
    for _ in range(rounds):
        left, along = residuals(y, curves, shift, knots)
        normal = along.T @ along
        if np.linalg.eigvalsh(normal)[0] <= 1e-10 * len(y):
            raise NotEnough("the curves are too flat, or too alike a power law, to tell how they are shifted")
        step = np.clip(np.linalg.solve(normal, along.T @ left), -0.2, 0.2)
        shift = shift + step
        if np.abs(step).max() < 1e-5:
            break
    return shift


def misfit_by_errors(y: Array, left: Float[np.ndarray, "unit point"], curves: Curves, best: Master) -> float:
    """The spread that the errors of the points alone would leave, from the points without one unit each, by the jackknife."""
    _, along = residuals(y, curves, best.shift, best.knots)
    q = np.linalg.qr(along)[0]
    lost = [residuals(moved, curves, best.shift, best.knots, slopes=False)[0] for moved in left - left.mean(axis=0)]
    return _spread_of([one - q @ (q.T @ one) for one in lost])


def is_straight(y: Array, left: Float[np.ndarray, "unit point"], curves: Curves) -> bool:
    """Whether lines of one slope, each of a height of its own, are as near to the points as twice their errors."""
    model = np.column_stack([np.ones_like(curves.x), curves.x, curves.offsets])
    q = np.linalg.qr(model)[0]
    bent = y - q @ (q.T @ y)
    return float(np.sqrt(np.mean(bent**2))) < 2 * _spread_of([one - q @ (q.T @ one) for one in left - left.mean(axis=0)])


def _spread_of(lost: list[Array]) -> float:
    return float(np.sqrt((len(lost) - 1) * np.mean(np.square(lost))))
