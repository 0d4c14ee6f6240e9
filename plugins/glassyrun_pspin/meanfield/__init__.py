"""The exact dynamics of the spherical p-spin for N → ∞: two independent schemes for the equations of Cugliandolo and Kurchan."""

from glassyrun_pspin.meanfield.equations import Equations
from glassyrun_pspin.meanfield.fixed import Square, extrapolated, solve_fixed

__all__ = ["Equations", "Square", "extrapolated", "solve_fixed"]
