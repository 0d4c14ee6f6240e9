"""Replicas of a network, and the examples of one, shared out over threads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import attrs
from jaxtyping import Int
from torch import Tensor

from glassyrun import State, thread_count, together

if TYPE_CHECKING:
    from glassyrun_networks.forward import Forward
    from glassyrun_networks.network import Network

Found = TypeVar("Found")
Cut = Sequence[Int[Tensor, "#replica _"]]
"""Terms in parts that are looked at together; a part of one row is the same for all replicas."""
LEAST = 16
"""Fewest examples that are worth a thread."""


@attrs.define(eq=False)
class Shares:
    """Looks on several threads at once, each thread at its own replicas, or its own examples of one, with one thread of torch.

    On a CPU that is faster than to give all threads to one look after another: no operation waits for another thread. What
    belongs together depends on the numbers of replicas, examples and threads alone.
    """

    replicas: bool
    """Whether replicas are looked at one after another, and so may be looked at side by side."""
    examples: bool
    """Whether the examples of one replica may be looked at side by side too: no layer mixes them."""
    _forwards: list[Forward] = attrs.field(factory=list)
    """A module for each thread but the first: a call puts its parameters into the module."""

    def out(
        self, network: Network, state: State, cut: Cut, look: Callable[[Network, State, Cut], Found]
    ) -> list[tuple[list[Found], list[int]]]:
        """What `look` gives, by `network` or a twin of it.

        For each share of the replicas, in their order: what it gives for each part of the terms, and how many terms that has.
        """
        threads = thread_count()
        bounds = _bounds(state.replicas, min(threads, state.replicas) if self.replicas else 1)
        spare = threads // state.replicas if self.examples and not state.system else 1
        parts = _parts(cut, spare) if spare > 1 else [cut]
        tasks = [(slice(*rows), part) for rows in bounds for part in parts]
        networks = [network, *self._twins(network, len(tasks) - 1)]
        found: dict[int, Found] = {}

        def share(task: int) -> None:
            rows, part = tasks[task]
            alone = len(bounds) == 1
            own = part if alone else [terms if len(terms) == 1 else terms[rows] for terms in part]
            found[task] = look(networks[task], state if alone else _some(state, rows), own)

        together(share, len(tasks))
        sizes = [sum(terms.shape[1] for terms in part) for part in parts]
        return [([found[first + k] for k in range(len(parts))], sizes) for first in range(0, len(tasks), len(parts))]

    def _twins(self, network: Network, count: int) -> Iterator[Network]:
        """Twins of a network, which share its data. None is kept: it would keep the data until the next collection."""
        self._forwards.extend(copy.deepcopy(network._forward) for _ in range(count - len(self._forwards)))
        for forward in self._forwards[:count]:
            twin = copy.copy(network)
            twin._forward = forward
            yield twin


def _bounds(count: int, parts: int) -> list[tuple[int, int]]:
    """Of nearly equal ranges."""
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def _parts(cut: Cut, most: int) -> list[Cut]:
    """A cut in at most so many parts of nearly equal size, each of at least `LEAST` terms."""
    count = min(most, max(1, sum(terms.shape[1] for terms in cut) // LEAST))
    finer = [piece for terms in cut for piece in terms.tensor_split(-(-count // len(cut)), dim=1)]
    return [finer[begin:end] for begin, end in _bounds(len(finer), count)]


def _some(state: State, rows: slice) -> State:
    return State(state.x[rows], state.step, {name: value[rows] for name, value in state.system.items()})
