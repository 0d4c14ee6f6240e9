"""A Dynamics: how a State moves. Gradient estimate × noise × memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from weakref import ReferenceType

import attrs
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun.batches import Batches
from glassyrun.graphs import StepGraph, graph_of
from glassyrun.state import Evaluation, State
from glassyrun.system import System
from glassyrun.watch import Watch


@attrs.frozen
class Draw:
    """The chance in one step, drawn on the host side before it: which terms are looked at, and the thermal noise."""

    batch: Int[Tensor, "replica term"] | None = None
    noise: tuple[Float[Tensor, "replica dof"], ...] = ()
    variance: Float[Tensor, ""] | None = None
    """Variance of one component of the noise that each entry of `noise` stands for."""


class Dynamics(ABC):
    """Evolves a State in place, step by step.

    A step is a `draw`, a pure function of the step number, and an `update`, which has no randomness and no
    host synchronisation in it, so that a chunk of steps runs on the device without a pause.
    """

    dt: float = 1.0
    """Time per step; 1 for SGD, whose time is counted in steps."""
    batches: Batches | None = None
    """The mini-batches that steps look at; None where each looks at all terms."""
    step_graphs: tuple[ReferenceType[Dynamics], dict[object, StepGraph | None]] | None = None
    """What was captured of this very object; see `glassyrun.graphs`."""
    descends: bool = False
    """Whether the energy can never rise if the step is small enough (T = 0, all terms, no inertia)."""
    step_name: str = "dynamics.dt"
    """The field of the spec that a user makes smaller when the dynamics diverges."""
    capturable: bool = False
    """Whether `update` is its kernels and nothing else: no branch on the step, the time or a number on the device, nothing kept outside
    the State, no attribute that changes. Its kernels are then captured once on a GPU and replayed (a CUDA graph), several times faster
    for small systems. Of the class in which `update` is written, or one below it."""
    provenance: Mapping[str, str] = {}
    """What the result must say of how steps were taken (terms left out of an epoch, …)."""

    @property
    def flow_step(self) -> float:
        """Time along the gradient flow per step: dt, or α/(1−β) for SGD with momentum; the clock of D(t_w) and of plots."""
        return self.dt

    def start(self, system: System, state: State) -> None:
        """Adds the memory of this Dynamics to a State; x and the System's memory stay as they are."""

    def enter(self, system: System, state: State) -> None:
        """Takes a State over from whatever moved it before.

        Memory that has the name, shape and dtype of this Dynamics' own is kept, so that momentum survives a change of the
        learning rate; all other memory begins anew. Entering twice is entering once.
        """
        before, state.dynamics = state.dynamics, dict[str, Tensor]()
        self.start(system, state)
        for name, fresh in state.dynamics.items():
            kept = before.get(name)
            if kept is not None and (kept.shape, kept.dtype) == (fresh.shape, fresh.dtype):
                state.dynamics[name] = kept

    def tilt(self, system: System, state: State, field: Float[Tensor, "#replica dof"]) -> None:
        """Makes memory of gradients that of H − field·x, in which the State, a twin of the run's, goes on from here.

        A twin in a weak field must not differ by more than what the field does. Memory that has the field only from now on, such
        as momentum, stays as it is.
        """

    @abstractmethod
    def draw(self, step: int, like: State) -> Draw:
        """The chance in step `step`, the same however often it is asked for; shapes and device as in `like`."""

    @abstractmethod
    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        """Moves `state` by one step in place and commits the System's memory.

        Gives back the look it took at the start of the step, which the run watches for a rising or infinite energy.
        """

    def advance(self, system: System, state: State, n: int, watch: Watch | None = None) -> None:
        """`n` steps; each look at the energy is shown to `watch`."""
        begin, end = state.step, state.step + n
        while state.step < end:
            graph = graph_of(self, system, state)
            if graph is not None and graph.advance(self, state, end - state.step, watch):
                continue
            evaluation = self.update(system, state, self.draw(state.step, state))
            if state.step == begin:
                evaluation.check(state)
            if watch is not None:
                watch.look(evaluation.energy, state.step)
            state.step += 1
