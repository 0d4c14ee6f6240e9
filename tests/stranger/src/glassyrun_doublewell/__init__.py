"""Double wells in random fields, Nesterov's gradient descent and the magnetisation, as a plugin of glassyrun."""

import glassyrun

from .magnetisation import MagnetisationOptions
from .nesterov import NesterovOptions
from .wells import DoubleWellOptions


@glassyrun.hookimpl
def glassyrun_systems():
    return [DoubleWellOptions]


@glassyrun.hookimpl
def glassyrun_dynamics():
    return [NesterovOptions]


@glassyrun.hookimpl
def glassyrun_observables():
    return [MagnetisationOptions]
