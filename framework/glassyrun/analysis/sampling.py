"""How a run drew its mini-batches, and how far their noise alone would move it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import attrs
import numpy as np
import xarray as xr
from jaxtyping import Float

from glassyrun.analysis.labels import sweep_dims
from glassyrun.analysis.of_spec import spec_of
from glassyrun.errors import Refusal

Law: TypeAlias = Literal["with_replacement", "without_replacement"]
FORGOTTEN = 1e-9
"""Weight of a gradient in the momentum that counts for nothing."""
SWEPT = ("learning_rate", "weight_decay", "temperature", "seed")
"""What may differ along a sweep without that batches or momentum do."""


@attrs.frozen
class Sampling:
    """Mini-batches and momentum of a run of one stage."""

    law: Law
    batch: int
    epoch: int
    """Batches in an epoch."""
    momentum: float = 0.0
    nesterov: bool = False

    def white_steps(self, t_w: Float[np.ndarray, " t_w"], t: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t_w t"]:
        """Independent steps of size α/(1−β) that diffuse as far as t steps after t_w, [t_w, t], on a constant gradient.

        With replacement and without momentum t. Without replacement, m of the K batches of one epoch make m (K − m)/(K − 1), and
        a whole epoch none, because the variance of a sum of m draws from K without replacement has that factor (Cochran,
        Sampling Techniques, § 2.6). With momentum a gradient counts as 1 − β^j where j steps have followed from it, and β^a (1 −
        β^t) if it is a steps older than t_w; with replacement and long after the start that makes t − 2β(1 − β^t)/(1 − β²).
        """
        start, end = np.add.outer(t_w, np.zeros_like(t)), np.add.outer(t_w, t)
        if self.law == "with_replacement":
            return self._carried(start, end - start)
        if self.epoch < 2:
            return np.zeros_like(end)
        if self.momentum:
            return np.array([[self._carried_in_epochs(round(w), round(lag)) for lag in t] for w in t_w]).reshape(end.shape)
        size = float(self.epoch)
        first = np.minimum(end, (np.floor(start / size) + 1) * size) - start
        rest = np.where(np.floor(start / size) == np.floor(end / size), 0.0, end % size)
        return (first * (size - first) + rest * (size - rest)) / (size - 1)

    def _carried(self, t_w: Float[np.ndarray, "t_w t"], t: Float[np.ndarray, "t_w t"]) -> Float[np.ndarray, "t_w t"]:
        """Sum of the squares of the weights: of gradients since t_w, and of those before."""
        beta, late = self.momentum, self.momentum ** (1 + self.nesterov)
        since = t - 2 * late * (1 - beta**t) / (1 - beta) + late**2 * (1 - beta ** (2 * t)) / (1 - beta**2)
        return since + (late * (1 - beta**t)) ** 2 * (1 - beta ** (2 * t_w)) / (1 - beta**2)

    def _carried_in_epochs(self, t_w: int, t: int) -> float:
        """The same without replacement: of each epoch the sum of squares less its mean, times K/(K − 1)."""
        if not t:
            return 0.0
        beta, late = self.momentum, self.momentum ** (1 + self.nesterov)
        since = max(t_w - int(np.log(FORGOTTEN) / np.log(beta)), 0)
        step = np.arange(since, t_w + t)
        before = late * beta ** np.maximum(t_w - 1.0 - step, 0) * (1 - beta**t)
        weight = np.where(step < t_w, before, 1 - late * beta ** (t_w + t - 1.0 - step))
        begins = np.unique(np.maximum(np.arange(since // self.epoch, (t_w + t - 1) // self.epoch + 1) * self.epoch - since, 0))
        squares, sums = np.add.reduceat(weight**2, begins), np.add.reduceat(weight, begins)
        return float((self.epoch * squares - sums**2).sum() / (self.epoch - 1))


@attrs.frozen
class Stage:
    """A stage of a protocol."""

    since: float
    """The time at which it begins."""
    flow_step: float | None
    """α/(1−β), or dt; None if the spec does not say."""
    sampling: Sampling | None


def stages_of(ds: xr.Dataset) -> list[Stage]:
    """What the spec says, which the result carries; none where there is none."""
    moves = spec_of(ds).get("dynamics", [])
    found: list[Stage] = []
    since = 0.0
    for table in moves if isinstance(moves, list) else [moves]:
        dt, rate, beta = float(table.get("dt", 1.0)), table.get("learning_rate"), float(table.get("momentum", 0.0))
        found.append(Stage(since, rate / (1 - beta) if rate else table.get("dt"), _sampling(table, ds.attrs.get("terms"))))
        since += round((table.get("until", since) - since) / dt) * dt
    return found


def _sampling(table: dict[str, Any], terms: Any) -> Sampling | None:
    size = table.get("batch_size")
    if size is None or terms is None:
        return None
    batch = size if isinstance(size, int) else max(round(size * int(terms)), 1)
    law, beta = table.get("sampling", "without_replacement"), float(table.get("momentum", 0.0))
    return Sampling(law, batch, int(terms) // batch, beta, bool(table.get("nesterov", False)))


def sampling_of(ds: xr.Dataset) -> Sampling | None:
    """Mini-batches of a run of one stage; None where the spec has no mini-batch, or several stages, or there is none."""
    stages = stages_of(ds)
    return stages[0].sampling if len(stages) == 1 else None


def laws_of(ds: xr.Dataset, given: Sampling | xr.DataArray | None, who: str) -> xr.DataArray:
    """The mini-batches, or None, at each point of a sweep, or one for all.

    Raises:
        Refusal: if they may differ along the sweep, or among the waiting times of the run.
    """
    if given is not None:
        return given if isinstance(given, xr.DataArray) else _holding(given)
    stages = stages_of(ds)
    differ = [str(dim) for dim in sweep_dims(ds) if str(dim).rpartition(".")[2] not in SWEPT]
    if stages and differ:
        raise Refusal(
            f"{who}: mini-batches or momentum may differ along {differ[0]}, and the result carries the spec of one point alone; give "
            f"sampling=, one Sampling or a DataArray of them along {differ[0]}, or analyse its points one by one"
        )
    if len({(stage.flow_step, stage.sampling) for stage in stages}) > 1 and bool((ds["t_w"] < stages[-1].since).any()):
        raise Refusal(
            f"{who}: α/(1−β) or the mini-batches change from stage to stage of this run; take waiting times of the last one, "
            f"ds.sel(t_w=slice({stages[-1].since:g}, None))"
        )
    return _holding(stages[-1].sampling if stages else None)


def _holding(law: Sampling | None) -> xr.DataArray:
    held = np.empty((), dtype=object)
    held[()] = law
    return xr.DataArray(held)
