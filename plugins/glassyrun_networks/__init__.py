"""Neural networks and data sets as a plugin of glassyrun."""

from glassyrun import hookimpl
from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.observables import ReadTestOptions, ReadTrainOptions
from glassyrun_networks.options import NetworkOptions as NetworkOptions


@hookimpl
def glassyrun_systems():
    return [CnnOptions]


@hookimpl
def glassyrun_datasets():
    return [Cifar10Options]


@hookimpl
def glassyrun_observables():
    return [ReadTestOptions, ReadTrainOptions]
