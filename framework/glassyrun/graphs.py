"""Steps on a GPU as CUDA graphs.

A step is tens to hundreds of small kernels, and most of them run for less time than the host takes to launch one. A step that was
captured is launched whole, by replaying its graph on tensors that stay where they are: a State is copied in, moved by any number of steps,
and copied out. What is drawn for a step is drawn as ever and copied in before it.

The same kernels run on the same numbers, so no bit may differ. Before a graph is used, two steps of it are compared with the same two
launched kernel by kernel: to the bit where a run promises its bits (`run.deterministic`), else by how far they went.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
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

BLOCK = 2**16
"""Energies, over all replicas, that are kept before the watch sees them."""
TRIED = 2
"""Steps that are compared: one alone would not tell that something changes from step to step."""
NEAR = 1e-2
"""How far replayed and launched steps may end from each other, relative to the way they went, where bits are not promised."""


class Replayed(Protocol):
    """What was captured."""

    def replay(self) -> None: ...


class NotCapturable(Exception):
    """Why a step can't be replayed."""


@attrs.define
class Scope:
    """Whether steps may be captured, and which pairings of types have failed to be: they are not tried again."""

    wanted: bool
    failed: set[tuple[type, type]] = attrs.field(factory=set)


_scopes = [Scope(wanted=False)]


@contextlib.contextmanager
def cuda_graphs(wanted: bool) -> Iterator[None]:
    """Whether steps may be captured meanwhile; outside of any such scope they are not."""
    _scopes.append(Scope(wanted))
    try:
        yield
    finally:
        _scopes.pop()


def on_gpu(x: Tensor) -> bool:
    """Whether steps can be captured where `x` lies."""
    return x.is_cuda


def says_capturable(owner: object, method: str) -> bool:
    """Whether the class that wrote the method says `capturable`, or one below it: who overrides a method answers for it anew."""
    if not getattr(owner, "capturable", False):
        return False
    lines = [cls for cls in type(owner).__mro__ if method in vars(cls) or "capturable" in vars(cls)]
    return "capturable" in vars(lines[0])


def graph_of(dynamics: Dynamics, system: System, state: State) -> StepGraph | None:
    """The captured step of a pairing, for states of this shape; None where steps are launched kernel by kernel.

    So they are on a CPU, and where `capturable` of the Dynamics or the System says that a step is more than its kernels.
    """
    scope, pairing = _scopes[-1], (type(dynamics), type(system))
    if not (on_gpu(state.x) and scope.wanted) or pairing in scope.failed:
        return None
    if not (says_capturable(dynamics, "update") and says_capturable(system, "gradient")):
        return None
    shape = tuple((name, value.shape, value.dtype) for name, value in _named(state).items())
    key = (id(system), state.x.device, shape)
    known = _known(dynamics)
    if key not in known:
        try:
            known[key] = _captured(dynamics, system, state)
        except NotCapturable as why:
            scope.failed.add(pairing)
            logging.getLogger("glassyrun").info("steps of %s are not captured in a CUDA graph: %s", type(dynamics).__name__, why)
            return None
    return known[key]


def forget(dynamics: Dynamics) -> None:
    """Gives back the memory of what was captured of a Dynamics that takes no more steps."""
    _known(dynamics).clear()


def _known(dynamics: Dynamics) -> dict[object, StepGraph | None]:
    """What was captured of this Dynamics; a shallow copy of it has its own."""
    owner, known = dynamics.step_graphs or (None, {})
    if owner is None or owner() is not dynamics:
        known = {}
        dynamics.step_graphs = (weakref.ref(dynamics), known)
    return known


@attrs.define(eq=False)
class StepGraph:
    """One step, its State and its draw at fixed places on the device."""

    system: System
    """Kept alive: the graph reads its tensors, and its id is the key."""
    state: State
    drawn: Draw
    energy: Float[Tensor, " replica"]
    graph: Replayed

    def advance(self, dynamics: Dynamics, state: State, n: int, watch: Watch | None) -> int:
        """Up to `n` steps of `state`, in place, and how many they are: fewer where a draw has another form than the one captured."""
        self.load(state)
        taken, most = 0, max(1, BLOCK // len(self.energy))
        while taken < n:
            begin, block = taken, min(n - taken, most)
            energies = self.energy.new_empty(block, len(self.energy)) if watch else None
            for k in range(block):
                if not self.step(dynamics, state.step + taken):
                    break
                taken += 1
                if energies is not None:
                    energies[k].copy_(self.energy)
            if watch is not None and energies is not None and taken > begin:
                watch.looks(energies[: taken - begin], state.step + begin)
            if taken < begin + block:
                break
        self.store(state, taken)
        return taken

    def step(self, dynamics: Dynamics, number: int) -> bool:
        """Replays step `number`; False if its draw has another form."""
        draw = dynamics.draw(number, self.state)
        own, new = _parts(self.drawn), _parts(draw)
        if type(draw) is not type(self.drawn) or [_form(part) for part in own] != [_form(part) for part in new]:
            return False
        for mine, given in zip(own, new, strict=True):
            if mine is not None and given is not None:
                mine.copy_(given)
        self.graph.replay()
        return True

    def load(self, state: State) -> None:
        for own, other in zip(_named(self.state).values(), _named(state).values(), strict=True):
            own.copy_(other)

    def store(self, state: State, steps: int) -> None:
        state.x.copy_(self.state.x)
        state.system = {name: value.clone() for name, value in self.state.system.items()}
        state.dynamics = {name: value.clone() for name, value in self.state.dynamics.items()}
        state.step += steps


def _captured(dynamics: Dynamics, system: System, state: State) -> StepGraph | None:
    """Captures a step and tries it; None where this one step makes new memory, and a later one may be captured.

    The State stays as it is.

    Raises:
        NotCapturable: with the reason.
    """
    ends, energies = [state.copy()], list[Tensor]()
    for _ in range(TRIED):
        ends.append(ends[-1].copy())
        evaluation = dynamics.update(system, ends[-1], dynamics.draw(ends[-1].step, ends[-1]))
        evaluation.check(state)
        energies.append(evaluation.energy)
        ends[-1].step += 1
        if _forms(ends[-1]) != _forms(state):
            if _named(ends[-1]).keys() == _named(state).keys():
                raise NotCapturable("its memory changes its shape or type")
            return None
    try:
        found = _capture(dynamics, system, state.copy(), energies[0])
    except RuntimeError as error:  # of torch; the step itself was taken just now
        torch.cuda.synchronize(state.x.device)
        raise NotCapturable(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    found.load(state)
    for end, energy in zip(ends[1:], energies, strict=True):
        if not found.step(dynamics, end.step - 1):
            raise NotCapturable("its draws have another form from step to step")
        if not _agrees(found, end, energy, ends[0]):
            raise NotCapturable("replayed steps are not the launched ones")
    return found


def _capture(dynamics: Dynamics, system: System, fixed: State, like: Tensor) -> StepGraph:
    from glassyrun.dynamics import Draw

    drawn = dynamics.draw(fixed.step, fixed)
    if type(drawn) is not Draw:
        raise NotCapturable(f"{type(drawn).__name__} may hold more than a Draw")
    noise = tuple(part.clone() for part in drawn.noise)  # batches are views of a block of them
    batch, variance = (None if part is None else part.clone() for part in (drawn.batch, drawn.variance))
    drawn, energy = attrs.evolve(drawn, batch=batch, noise=noise, variance=variance), like.clone()

    def step() -> None:
        moved = State(fixed.x, fixed.step, dict(fixed.system), dict(fixed.dynamics))
        energy.copy_(dynamics.update(system, moved, drawn).energy)
        own, new = list(_named(fixed).values()), list(_named(moved).values())
        held = {tensor.untyped_storage().data_ptr() for tensor in own}
        # what is handed on within the memory must be read before it is written over
        new = [n.clone() if n is not o and n.untyped_storage().data_ptr() in held else n for o, n in zip(own, new, strict=True)]
        for mine, given in zip(own, new, strict=True):
            if given is not mine:
                mine.copy_(given)

    return StepGraph(system, fixed, drawn, energy, recorded(step, fixed.x.device))


def recorded(step: Callable[[], object], device: torch.device) -> Replayed:
    """The kernels of a function that always reads and writes at the same places, after a call that warms it up."""
    with torch.cuda.device(device):
        side, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        side.wait_stream(current)
        try:
            with torch.cuda.stream(side):  # before: libraries choose their kernels and take their workspace
                step()
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                step()
        finally:
            torch.cuda.set_stream(current)  # a capture that fails leaves its own
    return graph


def _agrees(found: StepGraph, end: State, energy: Tensor, start: State) -> bool:
    """Whether a replayed step ended where the launched one did, and saw the same energy."""
    pairs = [*zip(_named(found.state).values(), _named(end).values(), strict=True), (found.energy, energy)]
    if torch.are_deterministic_algorithms_enabled():
        return all(torch.equal(own, other) for own, other in pairs)
    way, size = ((end.x - start.x).double().norm(), start.x.double().norm())
    return bool((found.state.x - end.x).double().norm() <= NEAR * way + 1e-6 * size)


def _named(state: State) -> dict[str, Tensor]:
    """The tensors of a State, in an order of their names."""
    memories = (("system", state.system), ("dynamics", state.dynamics))
    return {"x": state.x} | {f"{of}/{name}": memory[name] for of, memory in memories for name in sorted(memory)}


def _forms(state: State) -> dict[str, object]:
    return {name: _form(value) for name, value in _named(state).items()}


def _form(part: Tensor | None) -> object:
    return None if part is None else (part.shape, part.dtype)


def _parts(draw: Draw) -> list[Tensor | None]:
    return [draw.batch, draw.variance, *draw.noise]
