"""What the two-time equations are solved for: f(q), the temperature and the start."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import numpy as np
from jaxtyping import Float

from glassyrun import Refusal
from glassyrun_pspin.theory import correlator, static_temperature


@attrs.frozen(eq=False)
class Equations:
    """The equations of Cugliandolo and Kurchan, PRL 71, 173 (1993), for f(q) = ½ Σ a_p² q^p and a planted start.

    With Σ(t,s) = f″(C(t,s)) R(t,s), D(t,s) = f′(C(t,s)) and β_i = 1/T_i (0 for a random start), for t > t′:

        ∂C(t,t′)/∂t = −μ(t) C(t,t′) + ∫₀^t Σ(t,s) C(s,t′) ds + ∫₀^t′ D(t,s) R(t′,s) ds + β_i f′(C(t,0)) C(t′,0)
        ∂R(t,t′)/∂t = −μ(t) R(t,t′) + ∫_t′^t Σ(t,s) R(s,t′) ds,   R(t,t) = 1
        μ(t) = T + ∫₀^t [D R + Σ C] ds + β_i f′(C(t,0)) C(t,0)
        E(t) = −∫₀^t D R ds − β_i f(C(t,0))
    """

    mixture: Mapping[int, float]
    temperature: float
    initial_temperature: float = math.inf
    """T_i; inf is a random start."""

    def __attrs_post_init__(self) -> None:
        """Refuses what has no meaning.

        Raises:
            Refusal: for T < 0, NaN, or a planted start below the static temperature, where it is none of equilibrium.
        """
        if not self.mixture or any(p < 2 or not math.isfinite(a) or a == 0 for p, a in self.mixture.items()):
            raise Refusal(f"mixture: found {dict(self.mixture)}, expected degrees p ≥ 2 with finite a_p other than 0")
        if not (0 <= self.temperature < math.inf):
            raise Refusal(f"temperature = {self.temperature}: expected T ≥ 0; T = 0 is a quench down the gradient")
        lowest = static_temperature(self.mixture)
        if not self.initial_temperature >= lowest * (1 - 1e-9):
            raise Refusal(
                f"initial_temperature = {self.initial_temperature}: expected at least T_s = {lowest:.4g}, below which a planted "
                "start is not in equilibrium; raise it, or leave it out for a random start"
            )

    @property
    def beta(self) -> float:
        """β_i, the strength of the terms that remember the start."""
        return 1 / self.initial_temperature

    @property
    def coefficients(self) -> Float[np.ndarray, " power"]:
        """Those of f: entry p is ½ a_p²."""
        table = np.zeros(max(self.mixture) + 1)
        for p, a in self.mixture.items():
            table[p] = 0.5 * a * a
        return table

    @property
    def kernels(self) -> Float[np.ndarray, "derivative power"]:
        """The coefficients of f, f′, f″ and f‴, ascending, each as long as those of f."""
        table = [self.coefficients]
        for _ in range(3):
            table.append(np.append(table[-1][1:] * np.arange(1, len(table[-1])), 0.0))
        return np.array(table)

    @property
    def rate(self) -> float:
        """T + √f″(1): about half of the fastest rate in the dynamics, 1.73 for p = 3 at T = 0."""
        return self.temperature + math.sqrt(sum(p * (p - 1) * 0.5 * a * a for p, a in self.mixture.items()))

    @property
    def initial_energy(self) -> float:
        """E(0) = −β_i f(1)."""
        return -self.beta * correlator(self.mixture)
