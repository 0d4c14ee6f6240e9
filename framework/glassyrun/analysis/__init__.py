"""From a result to numbers with errors, or to one sentence that says why there is none.
 **Labels.** In: a Dataset (or DataArray) as glassyrun writes it, dimensions `sample`, `replica`, `time` or (`t_w`, `t`). Any
other dimension is a sweep: the analysis is done for each point of it, which is loaded alone, so that data may be lazy. Out: a
Dataset. Each quantity `q` has `q_error` (one standard error) and `q_interval` with the dimension `bound` (low, high), 95 %.
 **Errors.** Readings along t and t_w are correlated. What is independent is a trajectory, so whole units are left out (samples
where there are three, otherwise replicas): jackknife and Student's t. See `trajectories`.
 **Refusal.** Where the data do not determine a number it is NaN and its attribute `reason` says in one sentence what is
lacking. What a caller can mend in the call raises `glassyrun.Refusal`.

`glassyrun.analysis.figures` draws what comes out; it is imported when it is first used.
"""

import importlib
from types import ModuleType

from glassyrun.analysis.aging import aging
from glassyrun.analysis.compare import compare
from glassyrun.analysis.diffusion import diffusion
from glassyrun.analysis.fdt import fdt
from glassyrun.analysis.finite_size import finite_size
from glassyrun.analysis.noise import rescale_by_noise
from glassyrun.analysis.null_model import NullModel
from glassyrun.analysis.regimes import regimes
from glassyrun.analysis.relaxation import relaxation_time
from glassyrun.analysis.sampling import Sampling
from glassyrun.analysis.sgd import fixed_ratio, sgd_temperature
from glassyrun.analysis.superposition import superposition
from glassyrun.analysis.susceptibility import alpha2, chi4

__all__ = [
    "NullModel",
    "Sampling",
    "aging",
    "alpha2",
    "chi4",
    "compare",
    "diffusion",
    "fdt",
    "finite_size",
    "fixed_ratio",
    "regimes",
    "relaxation_time",
    "rescale_by_noise",
    "sgd_temperature",
    "superposition",
]


def __getattr__(name: str) -> ModuleType:
    if name == "figures":  # matplotlib takes a while
        return importlib.import_module("glassyrun.analysis.figures")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
