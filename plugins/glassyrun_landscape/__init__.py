"""The energy landscape around x(t_w): spectra of the Hessian and of the noise of mini-batches, as a plugin of glassyrun."""

import glassyrun
from glassyrun_landscape.curvature import Curvature, Curved
from glassyrun_landscape.density import HessianLanczosOptions, spectral_density
from glassyrun_landscape.lanczos import Tridiagonal, lanczos
from glassyrun_landscape.noise import NoiseSpectrumOptions
from glassyrun_landscape.semicircle import semicircle_density, semicircle_share
from glassyrun_landscape.spectrum import HessianSpectrumOptions

__all__ = [
    "Curvature",
    "Curved",
    "HessianLanczosOptions",
    "HessianSpectrumOptions",
    "NoiseSpectrumOptions",
    "Tridiagonal",
    "lanczos",
    "semicircle_density",
    "semicircle_share",
    "spectral_density",
]


@glassyrun.hookimpl
def glassyrun_observables() -> list[type[glassyrun.ObservableOptions]]:
    return [HessianSpectrumOptions, HessianLanczosOptions, NoiseSpectrumOptions]
