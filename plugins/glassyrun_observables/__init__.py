"""What is measured on any System, as a plugin of glassyrun."""

import glassyrun
from glassyrun_observables.constraint import ConstraintOptions
from glassyrun_observables.displacement import DisplacementOptions, MsdOptions
from glassyrun_observables.energy import EnergyOptions
from glassyrun_observables.gradient import GradientOptions
from glassyrun_observables.overlap import OverlapOptions
from glassyrun_observables.participation import ParticipationOptions


@glassyrun.hookimpl
def glassyrun_observables() -> list[type[glassyrun.ObservableOptions]]:
    return [
        EnergyOptions,
        MsdOptions,
        OverlapOptions,
        DisplacementOptions,
        GradientOptions,
        ConstraintOptions,
        ParticipationOptions,
    ]
