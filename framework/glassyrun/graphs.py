"""Steps on a GPU as CUDA graphs.

A step is tens to hundreds of small kernels, and most of them run for less time than the host takes to launch one. A step that was
captured is launched whole, by replaying its graph on tensors that stay where they are: a State is copied in, moved by any number of steps,
and copied out. What is drawn for a step is drawn as ever and copied in before it.

The same kernels run on the same numbers, so no bit may differ. Where a run promises its bits (`run.deterministic`), the first replay is
compared with the step that it was captured from, and the graph is used only if every bit agrees.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun.state import State

if TYPE_CHECKING:
    from glassyrun.dynamics import Draw, Dynamics
    from glassyrun.system import System
    from glassyrun.watch import Watch

BLOCK = 1024
"""Steps whose energies are kept before the watch sees them."""
_wanted = [False]


class Replayed(Protocol):
    """What was captured."""

    def replay(self) -> None: ...


@contextlib.contextmanager
def cuda_graphs(wanted: bool) -> Iterator[None]:
    """Whether steps may be captured meanwhile; outside of any such scope they are not."""
    _wanted.append(wanted)
    try:
        yield
    finally:
        _wanted.pop()


def on_gpu(x: Tensor) -> bool:
    """Whether steps can be captured where `x` lies."""
    return x.is_cuda


def graph_of(dynamics: Dynamics, system: System, state: State) -> StepGraph | None:
    """The captured step of a pairing, for states of this shape; None where steps are launched kernel by kernel.

    So they are on a CPU, and where `capturable` of the Dynamics or the System says that a step is more than its kernels.
    """
    if not (on_gpu(state.x) and _wanted[-1] and _capturable(dynamics, "update") and _capturable(system, "gradient")):
        return None
    known: dict[object, StepGraph | None] = dynamics.__dict__.setdefault("_step_graphs", {})
    key = (id(system), state.x.shape, state.x.dtype, tuple(_named(state)))
    if key not in known:
        known[key] = _captured(dynamics, system, state)
    return known[key]


def _capturable(owner: Dynamics | System, method: str) -> bool:
    """Whether the class that wrote the method says so, or one below it: who overrides a method answers for it anew."""
    if not owner.capturable:
        return False
    lines = [cls for cls in type(owner).__mro__ if method in vars(cls) or "capturable" in vars(cls)]
    return "capturable" in vars(lines[0])


@attrs.define(eq=False)
class StepGraph:
    """One step, its State and its draw at fixed places on the device."""

    system: System
    """Kept alive: the graph reads its tensors, and its id is the key."""
    state: State
    drawn: Draw
    energy: Float[Tensor, " replica"]
    graph: Replayed

    def advance(self, dynamics: Dynamics, state: State, n: int, watch: Watch | None) -> None:
        """`n` steps of `state`, in place; see `Dynamics.advance`."""
        self._load(state)
        while n:
            block = min(n, BLOCK)
            energies = self.energy.new_empty(block, len(self.energy)) if watch else None
            for k in range(block):
                _copy_draw(self.drawn, dynamics.draw(state.step + k, self.state))
                self.graph.replay()
                if energies is not None:
                    energies[k].copy_(self.energy)
            if watch is not None and energies is not None:
                watch.looks(energies, state.step)
            state.step += block
            n -= block
        self._store(state)

    def _load(self, state: State) -> None:
        for own, other in zip(_named(self.state).values(), _named(state).values(), strict=True):
            own.copy_(other)

    def _store(self, state: State) -> None:
        state.x.copy_(self.state.x)
        state.system = {name: value.clone() for name, value in self.state.system.items()}
        state.dynamics = {name: value.clone() for name, value in self.state.dynamics.items()}


def _captured(dynamics: Dynamics, system: System, state: State) -> StepGraph | None:
    """Captures a step, or tells the log why it can't be; the State stays as it is."""
    try:
        found = _capture(dynamics, system, state)
    except RuntimeError as error:  # of torch; the step itself can still be taken, and an error of its own comes up there
        torch.cuda.synchronize(state.x.device)
        found, why = None, f"{type(error).__name__}: {' '.join(str(error).split())}"
    else:
        why = "its memory changes, or a replay would change bits"
    if found is None:
        logging.getLogger("glassyrun").info("steps of %s are not captured in a CUDA graph: %s", type(dynamics).__name__, why)
    return found


def _capture(dynamics: Dynamics, system: System, state: State) -> StepGraph | None:
    fixed, drawn, trial = state.copy(), _own_draw(dynamics.draw(state.step, state)), state.copy()
    evaluation = dynamics.update(system, trial, drawn)
    evaluation.check(state)
    energy = evaluation.energy.clone()
    if _named(trial).keys() != _named(state).keys():
        return None

    def step() -> None:
        moved = State(fixed.x, fixed.step, dict(fixed.system), dict(fixed.dynamics))
        energy.copy_(dynamics.update(system, moved, drawn).energy)
        for own, new in zip(_named(fixed).values(), _named(moved).values(), strict=True):
            if new is not own:
                own.copy_(new)

    found = StepGraph(system, fixed, drawn, energy, recorded(step, state.x.device))
    if torch.are_deterministic_algorithms_enabled():
        found._load(state)
        found.graph.replay()
        pairs = zip(_named(fixed).values(), _named(trial).values(), strict=True)
        if not all(torch.equal(own, other) for own, other in pairs):
            return None
    return found


def recorded(step: Callable[[], object], device: torch.device) -> Replayed:
    """The kernels of a function that always reads and writes at the same places, after a call that warms it up."""
    side, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):  # before: libraries choose their kernels and take their workspace
        step()
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    return graph


def _named(state: State) -> dict[str, Tensor]:
    """The tensors of a State, in an order of their names."""
    memories = (("system", state.system), ("dynamics", state.dynamics))
    return {"x": state.x} | {f"{of}/{name}": memory[name] for of, memory in memories for name in sorted(memory)}


def _own_draw(draw: Draw) -> Draw:
    """A draw in tensors of its own, those of a block of mini-batches being views."""
    batch, variance = (None if part is None else part.clone() for part in (draw.batch, draw.variance))
    return attrs.evolve(draw, batch=batch, noise=tuple(part.clone() for part in draw.noise), variance=variance)


def _copy_draw(into: Draw, draw: Draw) -> None:
    for own, new in ((into.batch, draw.batch), (into.variance, draw.variance), *zip(into.noise, draw.noise, strict=True)):
        if own is not None and new is not None:
            own.copy_(new)
