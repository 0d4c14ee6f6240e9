"""The spherical p-spin as a plugin of glassyrun."""

from glassyrun_pspin.options import glassyrun_systems

__all__ = ["glassyrun_systems"]
