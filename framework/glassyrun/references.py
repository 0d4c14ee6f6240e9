"""What is remembered of waiting times, until the last lag has been read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

from glassyrun.observable import Observable, Reference
from glassyrun.state import State
from glassyrun.store import Contents


@attrs.define(eq=False)
class References:
    """References by index of t_w and label of the observable.

    Two kinds: frozen ones, written once and shared by all observables that keep the same State, and ones that live on
    (twins), which change with every step and belong to each checkpoint.
    """

    observables: Mapping[str, Observable]
    last_use: Sequence[int]
    """For each waiting time, the last step at which it is read."""
    sample: int = 0
    lasting: bool = False
    """Whether each frozen one goes into a file, though it was read for the last time: the horizon may grow."""
    kept: dict[int, dict[str, Reference]] = attrs.field(factory=dict)
    _unsaved: set[int] = attrs.field(factory=set)
    _parting: dict[int, dict[str, Reference]] = attrs.field(factory=dict)
    """Those that are only kept until the next commit."""

    def add(self, t_w: int, of: dict[str, Reference]) -> None:
        self.kept[t_w] = of
        self._unsaved.add(t_w)

    def release(self, step: int) -> None:
        """Forgets what no later step reads."""
        for t_w in [t_w for t_w in self.kept if self.last_use[t_w] <= step]:
            of = self.kept.pop(t_w)
            if self.lasting and t_w in self._unsaved:
                self._parting[t_w] = of

    def living(self) -> Iterator[tuple[int, str, Reference]]:
        """Index of t_w, label and reference of those that change after t_w."""
        for t_w, of in self.kept.items():
            for label, then in of.items():
                if self._lives(label):
                    yield t_w, label, then

    def unsaved(self) -> list[Contents]:
        """Frozen references that no file holds yet."""
        there = {**self._parting, **{t_w: of for t_w, of in self.kept.items() if t_w in self._unsaved}}
        return [contents for t_w in sorted(there) for contents in self._frozen(t_w, there[t_w])]

    def saved(self) -> None:
        self._unsaved.clear()
        self._parting.clear()

    def remembers(self) -> dict[str, bool]:
        """Who remembers something at waiting times, and whether that lives on."""
        return {label: self._lives(label) for label, observable in self.observables.items() if observable.grid == "pairs"}

    def changing(self, prefix: str) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
        """Tensors of the references that live on, for a checkpoint, and what it must say of them."""
        tensors: dict[str, Tensor] = {}
        about: list[dict[str, Any]] = []
        for t_w, label, then in self.living():
            tensors |= pack(then.state, f"{prefix}{len(about)}/")
            about.append({"t_w": t_w, "since": then.since, "step": then.state.step, "labels": [label]})
        return tensors, about

    def restore(self, tensors: Mapping[str, Tensor], prefix: str, about: Mapping[str, Any]) -> None:
        """Takes up a reference from a file, for all observables that shared it."""
        state = unpack(tensors, prefix, about["step"])
        for label in [label for label in about["labels"] if label in self.observables]:
            self.kept.setdefault(about["t_w"], {})[label] = Reference(about["since"], state)

    def _frozen(self, t_w: int, of: Mapping[str, Reference]) -> Iterator[Contents]:
        shared: dict[int, tuple[Reference, list[str]]] = {}
        for label, then in of.items():
            if not self._lives(label):
                shared.setdefault(id(then.state), (then, []))[1].append(label)
        for then, labels in shared.values():
            about = {"sample": self.sample, "t_w": t_w, "since": then.since, "step": then.state.step, "labels": labels}
            yield pack(then.state), about

    def _lives(self, label: str) -> bool:
        return type(self.observables[label]).follow is not Observable.follow


def pack(state: State, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a State under names."""
    return {
        f"{prefix}x": state.x,
        **{f"{prefix}system/{name}": value for name, value in state.system.items()},
        **{f"{prefix}dynamics/{name}": value for name, value in state.dynamics.items()},
    }


def unpack(tensors: Mapping[str, Tensor], prefix: str, step: int) -> State:
    """A State from named tensors."""
    return State(tensors[f"{prefix}x"], step, below(tensors, f"{prefix}system/"), below(tensors, f"{prefix}dynamics/"))


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, under what follows."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
