"""Quench, Langevin dynamics and SGD as a plugin of glassyrun."""

import glassyrun
from glassyrun_dynamics.langevin import LangevinOptions
from glassyrun_dynamics.quench import QuenchOptions
from glassyrun_dynamics.sgd import SGDOptions


@glassyrun.hookimpl
def glassyrun_dynamics() -> list[type[glassyrun.DynamicsOptions]]:
    return [QuenchOptions, LangevinOptions, SGDOptions]
