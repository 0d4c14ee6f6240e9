"""Replicas of a network shared out over threads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from glassyrun import State, thread_count, together

if TYPE_CHECKING:
    from glassyrun_networks.network import Network

Found = TypeVar("Found")


@attrs.define(eq=False)
class Shares:
    """Looks at replicas on several threads at once, each thread at its own replicas with one thread of torch.

    On a CPU that is faster than to give all threads to one replica after another: no operation waits for another thread. Which
    replicas belong together depends on their number and that of the threads alone.
    """

    network: Network
    apart: bool
    """Whether replicas are looked at one after another, and so may be looked at side by side."""
    _twins: list[Network] = attrs.field(factory=list)

    def out(self, state: State, look: Callable[[Network, State, slice], Found]) -> list[Found]:
        """What `look` gives for each share of the replicas, in their order."""
        parts = min(thread_count(), state.replicas) if self.apart else 1
        if parts == 1:
            return [look(self.network, state, slice(None))]
        found: dict[int, Found] = {}
        networks = self._networks(parts)
        bounds = [state.replicas * part // parts for part in range(parts + 1)]

        def share(part: int) -> None:
            rows = slice(bounds[part], bounds[part + 1])
            found[part] = look(networks[part], _some(state, rows), rows)

        together(share, parts)
        return [found[part] for part in range(parts)]

    def _networks(self, count: int) -> list[Network]:
        """The network itself and twins of it with modules of their own: a call puts its parameters into the module."""
        for _ in range(count - 1 - len(self._twins)):
            twin = copy.copy(self.network)
            twin._forward = copy.deepcopy(self.network._forward)
            self._twins.append(twin)
        return [self.network, *self._twins[: count - 1]]


def _some(state: State, rows: slice) -> State:
    return State(state.x[rows], state.step, {name: value[rows] for name, value in state.system.items()})
