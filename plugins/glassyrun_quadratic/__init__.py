"""A quadratic energy (linear regression) as a plugin of glassyrun: the exactly solvable null model."""

import glassyrun
from glassyrun_quadratic.quadratic import QuadraticOptions


@glassyrun.hookimpl
def glassyrun_systems() -> list[type[glassyrun.SystemOptions]]:
    return [QuadraticOptions]
