"""Collects readings on the device until they are committed."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from glassyrun.errors import PluginError
from glassyrun.observable import Observable

Index = tuple[int, ...]


CAPACITY = 256
"""Readings of a variable that wait on the device; a small tensor kept for each would leave a hole behind every large one."""


@attrs.define(eq=False)
class Buffer:
    """Readings of one variable since the last commit."""

    waiting: Tensor
    index: list[Index] = attrs.field(factory=list)
    moved: list[Tensor] = attrs.field(factory=list)
    """Full buffers, on the host."""

    def append(self, index: Index, value: Tensor) -> None:
        place = len(self.index) % CAPACITY
        self.waiting[place].copy_(value)
        self.index.append(index)
        if place == CAPACITY - 1:
            self.moved.append(self.waiting.cpu().clone())

    def values(self) -> Tensor:
        rest = self.waiting[: len(self.index) % CAPACITY].cpu()
        return torch.cat([*self.moved, rest])


@attrs.define(eq=False)
class Recorder:
    """Readings of one sample since the last commit."""

    observables: Mapping[str, Observable]
    replicas: int
    _buffers: dict[str, Buffer] = attrs.field(factory=dict)
    _shapes: dict[str, dict[str, tuple[int, ...]]] = attrs.field(factory=dict)

    def record(self, label: str, index: Index, values: Mapping[str, Tensor]) -> None:
        """Takes one reading of one observable.

        Raises:
            PluginError: if a plugin gave back something else than it announced.
        """
        shapes = self._shapes.get(label) or self._shapes.setdefault(label, self._announced(label))
        if not isinstance(values, Mapping) or values.keys() != shapes.keys():
            found = sorted(values) if isinstance(values, Mapping) else type(values).__name__
            raise PluginError(
                f"observables.{label}: its plugin gave back {found}, but announced {sorted(shapes)}; mend the plugin"
            )
        for name, value in values.items():
            if not isinstance(value, Tensor) or value.shape != shapes[name] or value.is_complex():
                found = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise PluginError(
                    f"observables.{label}: {name} came as {found}, expected a real tensor of shape {shapes[name]}; mend the plugin"
                )
            if name not in self._buffers:
                self._buffers[name] = Buffer(torch.empty((CAPACITY, *shapes[name]), dtype=torch.float64, device=value.device))
            self._buffers[name].append(index, value)

    def _announced(self, label: str) -> dict[str, tuple[int, ...]]:
        """Shape of each variable of an observable."""
        return {
            name: tuple(self.replicas if dim == "replica" else len(variable.coords[dim]) for dim in variable.dims)
            for name, variable in self.observables[label].variables.items()
        }

    def drain(self) -> dict[str, Tensor]:
        """Tensors for a shard: `value/NAME` [reading, …] in float64 and `index/NAME` [reading, grid dimension]."""
        tensors: dict[str, Tensor] = {}
        for name, buffer in self._buffers.items():
            tensors[f"value/{name}"] = buffer.values()
            tensors[f"index/{name}"] = torch.tensor(buffer.index, dtype=torch.int64)
        self._buffers = {}
        return tensors


def described_variables(observables: Mapping[str, Observable]) -> dict[str, dict[str, object]]:
    """What the manifest and the result say of each variable."""
    grids = {"time": ["time"], "t_w": ["t_w"], "pairs": ["t_w", "t"]}
    return {
        name: {
            "grid": grids[observable.grid],
            "dims": list(variable.dims),
            "coords": {dim: [v.item() if hasattr(v, "item") else v for v in values] for dim, values in variable.coords.items()},
            "attributes": {"long_name": variable.long_name, "units": variable.units, **variable.attributes},
        }
        for observable in observables.values()
        for name, variable in observable.variables.items()
    }
