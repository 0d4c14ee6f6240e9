"""The exact dynamics of the spherical p-spin for N → ∞: two independent schemes for the equations of Cugliandolo and Kurchan."""

from glassyrun_pspin.meanfield.equations import Equations
from glassyrun_pspin.meanfield.fixed import Square, extrapolated, solve_fixed
from glassyrun_pspin.meanfield.graded import Graded, Resolution, solve_graded
from glassyrun_pspin.meanfield.solution import Solution, solve

__all__ = ["Equations", "Graded", "Resolution", "Solution", "Square", "extrapolated", "solve", "solve_fixed", "solve_graded"]
