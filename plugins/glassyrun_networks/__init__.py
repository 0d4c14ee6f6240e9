"""Neural networks and data sets as a plugin of glassyrun."""

from glassyrun import hookimpl
from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.data.cifar100 import Cifar100Options
from glassyrun_networks.data.gaussian_mixture import GaussianMixtureOptions
from glassyrun_networks.data.mnist import FashionMnistOptions, MnistOptions
from glassyrun_networks.data.prepare import PreparedOptions as PreparedOptions
from glassyrun_networks.data.teacher_student import TeacherStudentOptions
from glassyrun_networks.mlp import MlpOptions
from glassyrun_networks.observables import ReadTestOptions, ReadTrainOptions, TimeToAccuracyOptions
from glassyrun_networks.options import NetworkOptions as NetworkOptions
from glassyrun_networks.resnet18 import ResNet18Options


@hookimpl
def glassyrun_systems():
    return [CnnOptions, MlpOptions, ResNet18Options]


@hookimpl
def glassyrun_datasets():
    return [
        Cifar10Options,
        Cifar100Options,
        FashionMnistOptions,
        GaussianMixtureOptions,
        MnistOptions,
        TeacherStudentOptions,
    ]


@hookimpl
def glassyrun_observables():
    return [ReadTestOptions, ReadTrainOptions, TimeToAccuracyOptions]
