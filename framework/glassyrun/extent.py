"""How large the variables of a result will be, known before a step is made."""

from __future__ import annotations

import math
from collections.abc import Mapping

import psutil

from glassyrun.errors import Refusal
from glassyrun.observable import Observable
from glassyrun.recorder import DTYPES


def check_extent(observables: Mapping[str, Observable], points: Mapping[str, int], samples: int, replicas: int) -> None:
    """Refuses a variable that this machine could never hold: its result can't be built, and its readings would fill a disk.

    Args:
        observables: by label.
        points: readings that each grid asks for.
        samples: of the run.
        replicas: of each sample.

    Raises:
        Refusal: naming the observable, with the numbers and the remedy.
    """
    most = psutil.virtual_memory().total
    for label, observable in observables.items():
        for name, variable in observable.variables.items():
            sides = [replicas if dim == "replica" else len(variable.coords[dim]) for dim in variable.dims]
            size = samples * points[observable.grid] * math.prod(sides) * DTYPES[variable.dtype].itemsize
            if size > most:
                shape = " × ".join(map(str, (samples, points[observable.grid], *sides)))
                raise Refusal(
                    f"observables.{label}: '{name}' would have {shape} numbers, {size / 1e9:.3g} GB, and this machine has "
                    f"{most / 1e9:.3g} GB of memory; take fewer points, replicas or samples"
                )
