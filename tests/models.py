"""Small Systems with known answers, and short ways to build and evolve things, shared by the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from glassyrun import Context, Draw, Dynamics, Evaluation, Sphere, State, Stream, System, replica_normals
from glassyrun_dynamics.langevin import LangevinOptions
from glassyrun_dynamics.quench import QuenchOptions
from glassyrun_dynamics.sgd import SGDOptions


def context(owner: str = "test", sample: int = 0, seed: int = 1, dtype: torch.dtype = torch.float64) -> Context:
    return Context(owner, seed, sample, torch.device("cpu"), dtype)


def streams(replicas: int, seed: int = 1, sample: int = 0) -> list[Stream]:
    return [Stream(f"start/{replica}", seed, sample) for replica in range(replicas)]


def dynamics(kind: str, system: System, seed: int = 1, **options: Any) -> Dynamics:
    options_of = {"langevin": LangevinOptions, "quench": QuenchOptions, "sgd": SGDOptions}
    return options_of[kind](**options).build(context("dynamics", seed=seed), system)


def begin(system: System, moves: Dynamics, replicas: int, seed: int = 1) -> State:
    state = system.initial(streams(replicas, seed))
    moves.start(system, state)
    return state


@attrs.define(slots=False)
class FreeSpins(System):
    """Spherical spins without couplings (J = 0)."""

    dof: int
    terms: int = 1

    def __attrs_post_init__(self) -> None:
        self.blocks = {"spins": slice(0, self.dof)}
        self.energy_scale = float(self.dof)
        self.manifold = Sphere(self.dof**0.5)

    def initial(self, streams: Sequence[Stream]) -> State:
        like = torch.zeros(len(streams), self.dof, dtype=torch.float64)
        return State(self.manifold.retract(replica_normals(streams, self.dof, like)))

    def energy(self, state: State, terms: Tensor | None = None) -> Tensor:
        return state.x.new_zeros(state.replicas)

    def gradient(self, state: State, batch: Tensor | None = None) -> Evaluation:
        return Evaluation(state.x.new_zeros(state.replicas), torch.zeros_like(state.x), state.system)


def evolve_many(system: System, moves: Dynamics, state: State, steps: int, *, seed: int = 0, batch: int | None = None) -> None:
    """Many replicas fast: the same `update`, with the chance of all replicas drawn from one generator a step.

    The product draws each replica from a stream of its own, which has the same law and costs 10 µs a replica and step.
    """
    stream, (replicas, dof) = Stream("many", seed, 0), state.x.shape
    for _ in range(steps):
        draw = moves.draw(state.step, State(state.x[:1]))
        index = state.step
        noise = stream.normal((replicas, 2 * dof), dtype=state.x.dtype, device=state.x.device, index=index).chunk(2, dim=1)
        terms = (
            None
            if batch is None
            else torch.from_numpy(stream.child("b").numpy(index).integers(system.terms, size=(replicas, batch)))
        )
        moves.update(system, state, Draw(terms, noise if draw.variance is not None else (), draw.variance))
        state.step += 1
