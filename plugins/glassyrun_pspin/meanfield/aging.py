"""What aging tends to, read off a solution: plateau, fluctuation-dissipation ratio, decay of the energy; raw and extrapolated."""

from __future__ import annotations

import math

import attrs
import numpy as np
from jaxtyping import Float

from glassyrun import Refusal
from glassyrun_pspin.meanfield.solution import Solution

Curve = Float[np.ndarray, " point"]
WINDOW = (0.3, 0.7)
"""Overlaps between which the aging slope is fitted, in units of a first guess of the plateau."""


@attrs.frozen
class Aging:
    """Plateau and slope of χ(C) at one time, or their limit."""

    overlap: float
    """q_EA, where the straight lines of equilibrium and of aging meet."""
    ratio: float
    """X = −T ∂χ/∂C below the plateau."""
    effective_temperature: float
    """T/X."""


def fluctuation_dissipation(found: Solution, time: float, points: int = 400) -> tuple[Curve, Curve]:
    """C(t, t_w) and χ(t_w, t) at a fixed time t, for t_w from t down to 0."""
    lag = time * np.geomspace(1e-7, 1, points)
    since = np.maximum(time - lag, 0.0)
    return found.correlation(since, time - since), found.susceptibility(since, time - since)


def fitted(found: Solution, time: float, window: tuple[float, float] = WINDOW) -> Aging:
    """q_EA, X and T_eff at a time, from a straight line through χ(C) in a window below the plateau; T > 0.

    Aging is χ = (1−q)/T + X (q−C)/T for C < q (Cugliandolo and Kurchan 1993), equilibrium χ = (1−C)/T above. The window is given in
    units of q, which is found by iteration, and the fit has equal weight in C.

    Raises:
        Refusal: at T = 0, where q_EA = 1, or where nothing ages.
    """
    temperature = found.equations.temperature
    if temperature == 0:
        raise Refusal("temperature = 0: the plateau is q_EA = 1 and X = 0 there; take T > 0")
    C, chi = fluctuation_dissipation(found, time)
    order = np.argsort(C)
    q = 0.9
    for _ in range(30):
        at = np.linspace(window[0] * q, window[1] * q, 60)
        if at[0] < C.min():
            raise Refusal(f"time {time:g}: C falls only to {C.min():.3g}, above the window of the fit; take a later time")
        slope, height = np.polyfit(at, np.interp(at, C[order], chi[order]), 1)
        before, q = q, float((1 / temperature - height) / (1 / temperature + slope))
        if not 0 < q < 1:
            raise Refusal(f"T = {temperature:g}: nothing ages there, χ(C) has no second slope")
        if abs(q - before) < 1e-9:
            break
    ratio = float(-slope * temperature)
    return Aging(q, ratio, temperature / ratio)


def extrapolated(found: Solution, last: float, octaves: int = 4, window: tuple[float, float] = WINDOW) -> tuple[Aging, Aging]:
    """The limit t → ∞ of `fitted` at last/2^octaves, …, last/2, last; and its error.

    Approach by a power of t is a geometric sequence here, whose limit Aitken's rule gives. At the times that can be reached it is no
    power yet, and the change of the limit with the last octave alone is four to six times too small for X; the error is that
    change and a quarter of the way from the last value to the limit, which holds the known limits at T = 0.3 and 0.5.
    """
    if octaves < 3:
        raise Refusal(f"octaves = {octaves}: expected at least 3, which an error takes")
    rows = [fitted(found, last / 2**k, window) for k in range(octaves, -1, -1)]
    values = np.array([[row.overlap, row.ratio] for row in rows])
    limits = [_aitken(values[: len(values) - k]) for k in (0, 1)]
    temperature = found.equations.temperature
    best, before = (Aging(float(q), float(x), temperature / float(x)) for q, x in limits)
    error = (
        abs(limit - earlier) + abs(limit - last) / 4
        for limit, earlier, last in zip(attrs.astuple(best), attrs.astuple(before), attrs.astuple(rows[-1]), strict=True)
    )
    return best, Aging(*error)


def _aitken(values: Float[np.ndarray, "octave 2"]) -> Float[np.ndarray, "2"]:
    """The limit of a geometric approach: the ratio of successive steps by least squares over all octaves."""
    steps = np.diff(values, axis=0)
    ratio = (steps[1:] * steps[:-1]).sum(axis=0) / (steps[:-1] ** 2).sum(axis=0)
    last = (steps[-1] / steps[-2]) if len(steps) < 3 else ratio
    return values[-1] + steps[-1] * last / (1 - last)


def decay(found: Solution, limit: float, time: float) -> tuple[float, float, float]:
    """Local slope d ln(E − E_∞)/d ln t, amplitude A = (E − E_∞) t^{2/3}, and the error of A; at a time, from half to twice of it."""
    times = np.array([0.5, 1.0, 2.0]) * time
    above = found.energy(times) - limit
    if not (above > 0).all():
        raise Refusal(f"time {time:g}: the energy lies below {limit:.6g}, so that it can't tend to it from above")
    slope = math.log(above[2] / above[0]) / math.log(4)
    return slope, float(above[1] * time ** (2 / 3)), float(found.energy_error(time) * time ** (2 / 3))
