"""What is measured on any System, as a plugin of glassyrun."""

import glassyrun
from glassyrun_observables.angular import AngularOptions
from glassyrun_observables.clone import CloneOptions
from glassyrun_observables.configurations import ConfigurationsOptions
from glassyrun_observables.constraint import ConstraintOptions
from glassyrun_observables.displacement import DisplacementOptions, MsdOptions
from glassyrun_observables.energy import EnergyOptions
from glassyrun_observables.epsilon import EpsilonOverlapOptions
from glassyrun_observables.gradient import GradientOptions
from glassyrun_observables.gradient_noise import GradientNoiseOptions
from glassyrun_observables.inherent import InherentOptions
from glassyrun_observables.multiplier import MultiplierOptions
from glassyrun_observables.noise_response import NoiseResponseOptions
from glassyrun_observables.norm import WeightNormOptions
from glassyrun_observables.overlap import OverlapOptions
from glassyrun_observables.participation import ParticipationOptions
from glassyrun_observables.replica_overlap import ReplicaOverlapOptions
from glassyrun_observables.response import ResponseOptions
from glassyrun_observables.segment import SegmentOptions
from glassyrun_observables.van_hove import VanHoveOptions


@glassyrun.hookimpl
def glassyrun_observables() -> list[type[glassyrun.ObservableOptions]]:
    return [
        EnergyOptions,
        MsdOptions,
        OverlapOptions,
        AngularOptions,
        DisplacementOptions,
        VanHoveOptions,
        EpsilonOverlapOptions,
        GradientOptions,
        GradientNoiseOptions,
        WeightNormOptions,
        InherentOptions,
        SegmentOptions,
        ResponseOptions,
        NoiseResponseOptions,
        CloneOptions,
        ReplicaOverlapOptions,
        MultiplierOptions,
        ConfigurationsOptions,
        ConstraintOptions,
        ParticipationOptions,
    ]
