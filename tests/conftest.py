"""One thread a test process: pytest-xdist runs as many processes as there are cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

from jaxtyping import install_import_hook

# every shape written in a type is checked at every call while the tests run
install_import_hook(
    [
        "glassyrun.manifold",
        "glassyrun.system",
        "glassyrun.dynamics",
        "glassyrun.watch",
        "glassyrun.state",
        "glassyrun_pspin.diluted",
        "glassyrun_pspin.full",
        # of lazy disorder what isn't called a million times
        "glassyrun_pspin.lazy.build",
        "glassyrun_pspin.lazy.noise",
        "glassyrun_pspin.lazy.size",
        "glassyrun_pspin.lazy.system",
        "glassyrun_pspin.system",
        "glassyrun_quadratic",
        "glassyrun_networks",
        "glassyrun_dynamics",
        "glassyrun_observables",
        "glassyrun_landscape",
    ],
    "beartype.beartype",
)

import matplotlib as mpl  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
mpl.use("Agg")
