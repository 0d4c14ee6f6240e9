"""The N → ∞ equations of the spherical p-spin in fifty lines: an oracle for the tests, independent of the program.

Cugliandolo and Kurchan, PRL 71, 173 (1993), with f(q) = ½ q^p:

    ∂C(t,t′)/∂t = −μ(t) C + ∫₀^t f″(C(t,s)) R(t,s) C(s,t′) ds + ∫₀^t′ f′(C(t,s)) R(t′,s) ds
    ∂R(t,t′)/∂t = −μ(t) R + ∫_t′^t f″(C(t,s)) R(t,s) R(s,t′) ds,   R(t,t⁻) = 1
    μ(t) = T + ∫₀^t [f′(C) R + f″(C) R C] ds,   E(t) = −∫₀^t f′(C(t,s)) R(t,s) ds
"""

from __future__ import annotations

import attrs
import numpy as np


@attrs.frozen
class MeanField:
    """C and R on a square grid of spacing dt, energy along it."""

    dt: float
    C: np.ndarray
    R: np.ndarray
    energy: np.ndarray

    def at(self, time: float) -> int:
        return round(time / self.dt)


def solve(p: int, temperature: float, horizon: float, dt: float) -> MeanField:
    """Euler forward in t with trapezoidal memory integrals: first order, so callers extrapolate two dt."""
    n = round(horizon / dt) + 1
    C, R, energy = np.eye(n), np.zeros((n, n)), np.zeros(n)
    np.fill_diagonal(R, 1.0)
    for i in range(n - 1):
        past = slice(0, i + 1)
        weight = np.full(i + 1, dt)
        weight[[0, -1]] = dt / 2 if i else 0.0
        D = p / 2 * C[i, past] ** (p - 1)
        S = p * (p - 1) / 2 * C[i, past] ** (p - 2) * R[i, past]
        energy[i] = -(weight * D * R[i, past]).sum()
        mu = temperature + (weight * (D * R[i, past] + S * C[i, past])).sum()
        sigma_c = (weight * S) @ C[past, past]
        d_r = R[past, past] @ (weight * D)  # R(t′, s) vanishes beyond t′; the end point s = t′ counts half below
        d_r -= 0.5 * dt * D * np.diag(R[past, past]) * (np.arange(i + 1) < i) * (np.arange(i + 1) > 0)
        sigma_r = (weight * S) @ R[past, past]
        sigma_r -= 0.5 * dt * S * (np.arange(i + 1) < i) * (np.arange(i + 1) > 0)
        C[i + 1, past] = C[i, past] + dt * (-mu * C[i, past] + sigma_c + d_r)
        C[past, i + 1] = C[i + 1, past]
        R[i + 1, past] = R[i, past] + dt * (-mu * R[i, past] + sigma_r)
    past = slice(0, n)
    weight = np.full(n, dt)
    weight[[0, -1]] = dt / 2
    energy[-1] = -(weight * p / 2 * C[-1] ** (p - 1) * R[-1]).sum()
    return MeanField(dt, C, R, energy)


def extrapolated(p: int, temperature: float, horizon: float, dt: float) -> MeanField:
    """Two spacings combined to second order, on the coarser grid."""
    coarse, fine = solve(p, temperature, horizon, dt), solve(p, temperature, horizon, dt / 2)
    return MeanField(
        dt,
        *(
            2 * getattr(fine, name)[(slice(None, None, 2),) * getattr(fine, name).ndim] - getattr(coarse, name)
            for name in ("C", "R", "energy")
        ),
    )
