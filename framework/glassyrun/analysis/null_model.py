"""What a landscape without barriers already shows: gradient descent in a quadratic energy with a power-law spectrum."""

from __future__ import annotations

import attrs
import numpy as np
from jaxtyping import Float
from scipy.special import hyp1f1

from glassyrun.analysis.arguments import number

NODES, PANELS = 16, 40


@attrs.frozen
class NullModel:
    """The descent of H = ½ Σ λ_i δ_i² at T = 0 from equal amplitudes, with eigenvalue density ρ(λ) ∝ λ^a on [0, cutoff].

    With ⟨λ^0 e^{−λs}⟩ = L(s) = ₁F₁(a+1; a+2; −s·cutoff), Δ(t_w, t_w+t) = s₀² [L(2t_w) − 2L(2t_w+t) + L(2t_w+2t)] per degree of
    freedom and E(t) − E_min = ½ s₀² ⟨λ e^{−2λt}⟩. For t_w ≫ 1/cutoff Δ is t_w^{−(a+1)} times a function of t/t_w: each
    direction relaxes at its own pace and the steep ones are done first. Nothing in it is glassy. (The same sums describe the p
    = 2 spherical model: Cugliandolo and Dean, J. Phys. A 28, 4213 (1995), where a = ½.)
    """

    exponent: float = 0.5
    cutoff: float = 1.0
    """The largest eigenvalue, an inverse time along the gradient flow."""
    amplitude: float = 1.0
    """Mean square distance from the minimum at the start, per degree of freedom."""

    def __attrs_post_init__(self) -> None:
        for name, low in (("exponent", -1.0), ("cutoff", 0.0), ("amplitude", 0.0)):
            number("analysis.NullModel", name, getattr(self, name), low)

    def energy(self, time: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        """E(t) − E_min per degree of freedom."""
        a = self.exponent
        mean = self.cutoff * (a + 1) / (a + 2)
        return 0.5 * self.amplitude * mean * hyp1f1(a + 2, a + 3, -2 * self.cutoff * np.asarray(time, dtype=float))

    def msd(self, t_w: Float[np.ndarray, " t_w"], t: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t_w t"]:
        """Δ(t_w, t_w+t) [t_w, t], by quadrature of λ^a e^{−2λ t_w}(1 − e^{−λt})², which loses no digits where t ≪ t_w."""
        eigenvalues, weights = self._density()
        waited = np.exp(-2 * np.multiply.outer(np.asarray(t_w, dtype=float), eigenvalues))
        moved = np.expm1(-np.multiply.outer(np.asarray(t, dtype=float), eigenvalues)) ** 2
        return self.amplitude * np.einsum("wl,tl,l->wt", waited, moved, weights, optimize=True)

    def overlap(self, t_w: Float[np.ndarray, " t_w"], t: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t_w t"]:
        """(1/dof) Σ δ_i(t_w+t) δ_i(t_w) [t_w, t], the minimum taken as the origin."""
        sums = np.add.outer(2 * np.asarray(t_w, dtype=float), np.asarray(t, dtype=float))
        return self.amplitude * hyp1f1(self.exponent + 1, self.exponent + 2, -self.cutoff * sums)

    def _density(self) -> tuple[Float[np.ndarray, " mode"], Float[np.ndarray, " mode"]]:
        """Nodes and weights of ρ(λ)dλ: Gauss-Legendre panels in y, λ = cutoff·e^{−y}."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        depth = 40 / (self.exponent + 1)
        width = depth / PANELS
        y = (np.arange(PANELS)[:, None] + 0.5 * (nodes + 1)) * width
        weight = 0.5 * width * np.broadcast_to(weights, y.shape)
        eigenvalues = np.exp(-y)
        return self.cutoff * eigenvalues.ravel(), ((self.exponent + 1) * eigenvalues ** (self.exponent + 1) * weight).ravel()
