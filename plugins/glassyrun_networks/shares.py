"""Replicas of a network shared out over threads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import attrs

from glassyrun import State, thread_count, together

if TYPE_CHECKING:
    from glassyrun_networks.forward import Forward
    from glassyrun_networks.network import Network

Found = TypeVar("Found")


@attrs.define(eq=False)
class Shares:
    """Looks at replicas on several threads at once, each thread at its own replicas with one thread of torch.

    On a CPU that is faster than to give all threads to one replica after another: no operation waits for another thread. Which
    replicas belong together depends on their number and that of the threads alone.
    """

    apart: bool
    """Whether replicas are looked at one after another, and so may be looked at side by side."""
    _forwards: list[Forward] = attrs.field(factory=list)
    """A module for each thread but the first: a call puts its parameters into the module."""

    def out(self, network: Network, state: State, look: Callable[[Network, State, slice], Found]) -> list[Found]:
        """What `look` gives for each share of the replicas, in their order, by `network` or a twin of it."""
        parts = min(thread_count(), state.replicas) if self.apart else 1
        if parts == 1:
            return [look(network, state, slice(None))]
        found: dict[int, Found] = {}
        networks = [network, *self._twins(network, parts - 1)]
        bounds = [state.replicas * part // parts for part in range(parts + 1)]

        def share(part: int) -> None:
            rows = slice(bounds[part], bounds[part + 1])
            found[part] = look(networks[part], _some(state, rows), rows)

        together(share, parts)
        return [found[part] for part in range(parts)]

    def _twins(self, network: Network, count: int) -> Iterator[Network]:
        """Twins of a network, which share its data. None is kept: it would keep the data until the next collection."""
        self._forwards.extend(copy.deepcopy(network._forward) for _ in range(count - len(self._forwards)))
        for forward in self._forwards[:count]:
            twin = copy.copy(network)
            twin._forward = forward
            yield twin


def _some(state: State, rows: slice) -> State:
    return State(state.x[rows], state.step, {name: value[rows] for name, value in state.system.items()})
