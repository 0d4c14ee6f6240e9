"""Wigner's semicircle, which the Hessian of a p-spin follows: where it lies is told by the energy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = float | NDArray[np.float64]


def semicircle_density(value: Numbers, centre: Numbers, half_width: Numbers) -> Numbers:
    """The density of eigenvalues of a semicircle at `value`; its integral is 1."""
    u = (np.asarray(value, dtype=np.float64) - centre) / half_width
    return 2 / (np.pi * half_width) * np.sqrt(np.clip(1 - u**2, 0, None))


def semicircle_share(value: Numbers, centre: Numbers, half_width: Numbers) -> Numbers:
    """The share of the eigenvalues of a semicircle below `value`.

    With value 0, centre −pE and half-width √(2p(p−1)) it is the index of a pure p-spin of energy E per spin over N, for N → ∞; with half-width
    2√f″(1) that of a mixture, whose centre is −x·∇H/N.
    """
    u = np.clip((np.asarray(value, dtype=np.float64) - centre) / half_width, -1, 1)
    return 0.5 + (u * np.sqrt(1 - u**2) + np.arcsin(u)) / np.pi
