"""Constants of the spherical p-spin for N → ∞, in the convention Cov[H(σ), H(σ′)] = N f(q) with f(q) = ½ Σ a_p² q^p.

Energies are per spin, temperatures in the same unit. Sources: Crisanti and Sommers, Z. Phys. B 87, 341 (1992) (statics);
Cugliandolo and Kurchan, PRL 71, 173 (1993) (aging, marginal states); Talagrand, PTRF 134, 339 (2006) (when the paramagnet is
the equilibrium state). Papers with f(q) = q^p (Kim-Latz, DYNAMITE) have temperatures and energies √2 times these. Derivations in
docs/theory.md.
"""

from glassyrun_pspin.theory.correlator import (
    Model,
    correlator,
    derivative,
    minibatch_temperature,
    planted_energy,
    stable_step,
    static_temperature,
)
from glassyrun_pspin.theory.ground import GroundState, ground_state, lowest_energy
from glassyrun_pspin.theory.states import (
    MarginalState,
    asymptotic_energy,
    dynamical_temperature,
    equilibrium_overlap,
    marginal_state,
    threshold_energy,
)

__all__ = [
    "GroundState",
    "MarginalState",
    "Model",
    "asymptotic_energy",
    "correlator",
    "derivative",
    "dynamical_temperature",
    "equilibrium_overlap",
    "ground_state",
    "lowest_energy",
    "marginal_state",
    "minibatch_temperature",
    "planted_energy",
    "stable_step",
    "static_temperature",
    "threshold_energy",
]
