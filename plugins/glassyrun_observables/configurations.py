"""The configurations themselves, for whatever one thinks of afterwards, and to start other runs from."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
import torch
from torch import Tensor

from glassyrun import Context, Grid, Observable, ObservableOptions, Reference, Snapshot, System, Variable


class ConfigurationsOptions(ObservableOptions):
    """Keeps x at each t_w in the result, [sample, replica, t_w, dof], in the precision of the run.

    Takes samples × replicas × waiting times × dof × 4 bytes in float32 (twice that in float64) on disk, and as much memory
    when the result is put together: 10 waiting times of a network of 10⁷ weights are 0.4 GB a replica. Another run can start
    from what is kept here: `--from DIR@T_W`.
    """

    looks: ClassVar[bool] = False
    kind: Literal["configurations"] = "configurations"

    def build(self, context: Context, system: System) -> Configurations:
        return Configurations(self.label, system.dof, "float64" if context.dtype == torch.float64 else "float32")


@attrs.define(slots=False)
class Configurations(Observable):
    """x(t_w), bit for bit."""

    label: str
    dof: int
    dtype: Literal["float64", "float32"]
    grid: ClassVar[Grid] = "t_w"

    def __attrs_post_init__(self) -> None:
        self.variables = {
            self.label: Variable("configuration", dims=("replica", "dof"), coords={"dof": range(self.dof)}, dtype=self.dtype)
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        return {self.label: now.state.x}
