"""Systems with two blocks, and short ways to read one observable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import torch
from tests.models import context, dynamics

from glassyrun import (
    Dynamics,
    Evaluation,
    Flat,
    Manifold,
    Observable,
    ObservableOptions,
    Reference,
    Snapshot,
    State,
    Stream,
    System,
    replica_normals,
)

MLP: dict[str, Any] = {
    "kind": "mlp",
    "widths": [5],
    "data": {"kind": "gaussian_mixture", "dimension": 6, "train": 40, "test": 100, "clusters": 3, "separation": 3.0},
}
"""A small network as a table of a spec."""


@attrs.define(slots=False)
class Parts(System):
    """E = ½|x|², with blocks of whatever sizes; in flat space unless another manifold is given."""

    sizes: Sequence[int]
    manifold: Manifold = attrs.field(factory=Flat)

    def __attrs_post_init__(self) -> None:
        self.dof, self.terms = sum(self.sizes), 1
        ends = np.cumsum(self.sizes).tolist()
        self.blocks = {f"layer{k}": slice(end - size, end) for k, (size, end) in enumerate(zip(self.sizes, ends, strict=True))}

    def initial(self, streams: Sequence[Stream]) -> State:
        return State(replica_normals(streams, self.dof, torch.zeros(1, dtype=torch.float64)))

    def energy(self, state: State, terms: torch.Tensor | None = None) -> torch.Tensor:
        return 0.5 * state.x.square().sum(1)

    def gradient(self, state: State, batch: torch.Tensor | None = None) -> Evaluation:
        return Evaluation(self.energy(state), state.x.clone(), state.system)


def built(options: ObservableOptions, system: System, sample: int = 0, dtype: torch.dtype = torch.float64) -> Observable:
    return options.build(context(f"observables/{options.label}", sample=sample, dtype=dtype), system)


def read(
    options: ObservableOptions | Observable,
    system: System,
    now: State,
    then: State | None = None,
    moves: Dynamics | None = None,
) -> dict[str, Any]:
    """What an observable gives, as NumPy arrays; shapes and names are held to what it announced."""
    observable = options if isinstance(options, Observable) else built(options, system)
    given = None if then is None else Reference(then.step, then)
    values = observable.read(Snapshot(system, moves or dynamics("quench", system), now), given)
    assert values.keys() == observable.variables.keys()
    for name, variable in observable.variables.items():
        sizes = {"replica": now.replicas, **{dim: len(places) for dim, places in variable.coords.items()}}
        assert values[name].shape == tuple(sizes[dim] for dim in variable.dims)
        assert not values[name].is_complex()
    return {name: value.numpy() for name, value in values.items()}


def normal(seed: int, *shape: int, scale: float = 1.0) -> torch.Tensor:
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).normal(0, scale, size=shape))
