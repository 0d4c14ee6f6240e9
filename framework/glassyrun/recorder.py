"""Collects readings on the device until they are committed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from glassyrun.errors import PluginError
from glassyrun.observable import TIME, Observable

Index = tuple[int, ...]


CAPACITY = 256
"""Readings of a variable that wait on the device; a small tensor kept for each would leave a hole behind every large one."""
BYTES = 64_000_000
"""Of the readings of a variable that wait; whole configurations go to the host one by one."""
DTYPES = {"float64": torch.float64, "float32": torch.float32}


@attrs.define(eq=False)
class Buffer:
    """Readings of one variable since the last commit."""

    waiting: Tensor
    """As many as fit, [reading, …]."""
    room: int
    index: list[Index] = attrs.field(factory=list)
    moved: list[Tensor] = attrs.field(factory=list)
    """Full buffers, on the host."""

    @classmethod
    def sized(cls, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, most: int) -> Buffer:
        """Room for as many readings of a shape as `CAPACITY` and `BYTES` allow, at least one and at most `most`."""
        room = min(CAPACITY, most, BYTES // max(1, math.prod(shape) * dtype.itemsize))
        room = max(1, room)
        return cls(torch.empty((room, *shape), dtype=dtype, device=device), room)

    def append(self, index: Index, value: Tensor) -> None:
        place = len(self.index) % self.room
        self.waiting[place].copy_(value)
        self.index.append(index)
        if place == self.room - 1:
            self.moved.append(self.waiting.cpu().clone())

    def values(self) -> Tensor:
        rest = self.waiting[: len(self.index) % self.room].cpu()
        return torch.cat([*self.moved, rest])


@attrs.define(eq=False)
class Recorder:
    """Readings of one sample since the last commit."""

    observables: Mapping[str, Observable]
    replicas: int
    points: Mapping[str, int] = attrs.field(factory=dict)
    """Readings that each grid asks for at most."""
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
                self._buffers[name] = self._buffer(label, name, shapes[name], value.device)
            self._buffers[name].append(index, value)

    def _buffer(self, label: str, name: str, shape: tuple[int, ...], device: torch.device) -> Buffer:
        observable = self.observables[label]
        dtype = DTYPES[observable.variables[name].dtype]
        return Buffer.sized(shape, dtype, device, self.points.get(observable.grid, CAPACITY))

    def _announced(self, label: str) -> dict[str, tuple[int, ...]]:
        """Shape of each variable of an observable."""
        return {
            name: tuple(self.replicas if dim == "replica" else len(variable.coords[dim]) for dim in variable.dims)
            for name, variable in self.observables[label].variables.items()
        }

    def drain(self) -> dict[str, Tensor]:
        """Tensors for a shard: `value/NAME` [reading, …] in the variable's dtype and `index/NAME` [reading, grid dimension]."""
        tensors: dict[str, Tensor] = {}
        for name, buffer in self._buffers.items():
            tensors[f"value/{name}"] = buffer.values()
            tensors[f"index/{name}"] = torch.tensor(buffer.index, dtype=torch.int64)
        self._buffers = {}
        return tensors


def described_variables(observables: Mapping[str, Observable], time_unit: str = "1") -> dict[str, dict[str, object]]:
    """What the manifest and the result say of each variable; what is a time has the unit of the run's."""
    grids = {"time": ["time"], "t_w": ["t_w"], "pairs": ["t_w", "t"]}
    return {
        name: {
            "grid": grids[observable.grid],
            "dims": list(variable.dims),
            "coords": {dim: _plain(values) for dim, values in variable.coords.items()},
            "dtype": variable.dtype,
            "attributes": {"long_name": variable.long_name, "units": units, **variable.attributes},
        }
        for observable in observables.values()
        for name, variable in observable.variables.items()
        for units in (time_unit if variable.units == TIME else variable.units,)
    }


def _plain(values: Any) -> list[Any] | dict[str, list[int]]:
    """Coordinates as JSON has them; a range by its ends, since one as long as x would fill the manifest."""
    if isinstance(values, range):
        return {"range": [values.start, values.stop, values.step]}
    return [value.item() if hasattr(value, "item") else value for value in values]


def coordinate(plain: Any) -> list[Any] | range:
    """The coordinates that `described_variables` wrote down."""
    return range(*plain["range"]) if isinstance(plain, dict) else plain
