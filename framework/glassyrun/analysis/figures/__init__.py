"""One figure a function: axes in, or none, and axes out; what is drawn are results of the analysis, with their intervals.

Colours are those of Okabe and Ito for kinds and viridis without its yellow end for waiting times: both are told apart by readers with
any colour vision. `with figures.style():` or `plt.style.use("glassyrun.paper")` sets fonts and sizes for print; nothing needs TeX.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import matplotlib as mpl

from glassyrun.analysis.figures.descent import fixed_ratio, regimes, side_by_side
from glassyrun.analysis.figures.fluctuations import alpha2, chi4
from glassyrun.analysis.figures.noise import collapse, diffusion, sgd_temperature
from glassyrun.analysis.figures.response import effective_temperature, fdt
from glassyrun.analysis.figures.scaling import finite_size, superposition
from glassyrun.analysis.figures.waiting import aging, relaxation
from glassyrun.look import DASHES, KINDS, STYLE

__all__ = [
    "DASHES",
    "KINDS",
    "aging",
    "alpha2",
    "chi4",
    "collapse",
    "diffusion",
    "effective_temperature",
    "fdt",
    "finite_size",
    "fixed_ratio",
    "regimes",
    "relaxation",
    "sgd_temperature",
    "side_by_side",
    "style",
    "superposition",
]


def style() -> AbstractContextManager[None]:
    """The look of printed figures, that of the style file "glassyrun.paper"."""
    return mpl.rc_context(STYLE)
