"""The spherical p-spin as a plugin of glassyrun."""

from glassyrun_pspin.hessian_edge import glassyrun_observables
from glassyrun_pspin.options import glassyrun_systems

__all__ = ["glassyrun_observables", "glassyrun_systems"]
