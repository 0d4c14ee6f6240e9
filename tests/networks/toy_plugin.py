"""The made-up data sets as a plugin, for specs of tests: `--plugin tests/networks/toy_plugin.py`."""

from glassyrun import hookimpl
from tests.networks.toy import ToyImages, ToyVectors


@hookimpl
def glassyrun_datasets():
    return [ToyImages, ToyVectors]
