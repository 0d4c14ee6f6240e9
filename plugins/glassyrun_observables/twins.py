"""Copies of a State that live on beside the run, with the same noise and mini-batches: twins."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import psutil
import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import Context, Dynamics, Refusal, State, Stream, System, Tilted, replica_normals

SIGNS = ("plus", "minus")
"""What belongs to the twin in the field, and to the one in the opposite field."""


def random_vector(system: System, stream: Stream, index: int, like: Float[Tensor, "replica dof"]) -> Float[Tensor, "replica dof"]:
    """A vector a replica of independent standard normal components, in the coordinates that x has.

    A pure function of stream and index, as long as the coordinates of x are components.
    """
    streams = [stream.child(replica) for replica in range(like.shape[0])]
    return system.manifold.isotropic(replica_normals(streams, like.shape[1], like, index))


@attrs.define(eq=False)
class Twins:
    """One State that lives on in a field, or two in opposite ones."""

    states: tuple[State, ...]
    field: Float[Tensor, "replica dof"]

    @classmethod
    def begin(cls, state: State, field: Float[Tensor, "replica dof"], opposite: bool) -> Twins:
        """Copies of a State, in no field yet: `tilt` adds one."""
        return cls(tuple(state.copy() for _ in SIGNS[: 1 + opposite]), field)

    @property
    def step(self) -> int:
        return self.states[0].step

    def tilt(self, system: System, dynamics: Dynamics, field: Float[Tensor, "replica dof"]) -> None:
        """What the Dynamics remembers of gradients becomes that of a field which is switched on, or added, now."""
        for sign, state in zip((1, -1), self.states, strict=False):
            dynamics.tilt(system, state, sign * field)

    def advance(self, system: System, dynamics: Dynamics, until: int) -> None:
        """On to a step under H ∓ field·x, by the draws of the run's own steps."""
        for sign, state in zip((1, -1), self.states, strict=False):
            dynamics.advance(Tilted(system, sign * self.field), state, until - state.step)

    def enter(self, system: System, dynamics: Dynamics) -> None:
        """Hands all over to another stage of a protocol."""
        for state in self.states:
            dynamics.enter(system, state)

    def apart(self, x: Float[Tensor, "replica dof"]) -> tuple[Float[Tensor, "replica dof"], Float[Tensor, "replica dof"], int]:
        """Two configurations whose difference is what the field has done, and how many times the field is between them."""
        if len(self.states) == 1:
            return self.states[0].x, x, 1
        return self.states[0].x, self.states[1].x, 2

    def packed(self) -> State:
        """All of it in one State, as a reference that lives on: rows of the twins one below the other.

        The System's memory lies under `plus/` and `minus/`. Memory of the Dynamics keeps its name where it has a row a replica, so
        that the engine can hand the State to the next stage of a protocol.
        """
        system: dict[str, Tensor] = {"field": self.field}
        dynamics: dict[str, Tensor] = {}
        replicas = self.states[0].replicas
        for sign, state in zip(SIGNS, self.states, strict=False):
            system |= {f"{sign}/{name}": value for name, value in state.system.items()}
            dynamics |= {f"{sign}/{name}": value for name, value in state.dynamics.items() if not _by_rows(value, replicas)}
        for name, value in self.states[0].dynamics.items():
            if _by_rows(value, replicas):
                dynamics[name] = _below(*(state.dynamics[name] for state in self.states))
        return State(_below(*(state.x for state in self.states)), self.step, system, dynamics)

    @classmethod
    def unpacked(cls, state: State) -> Twins:
        """What `packed` put together."""
        field = state.system["field"]
        count = state.replicas // field.shape[0]
        states = []
        for k, sign in enumerate(SIGNS[:count]):
            rows = slice(k * len(field), (k + 1) * len(field))
            together = {name: value for name, value in state.dynamics.items() if not name.startswith(("plus/", "minus/"))}
            own = {name: value[rows] if _by_rows(value, state.replicas) else value.clone() for name, value in together.items()}
            own |= _named(state.dynamics, f"{sign}/")
            states.append(State(state.x[rows], state.step, _named(state.system, f"{sign}/"), own))
        return cls(tuple(states), field)

    def repack(self, into: State) -> None:
        """Writes what has become of `unpacked(into)` back into that State."""
        now = self.packed()
        into.x, into.step, into.system, into.dynamics = now.x, now.step, now.system, now.dynamics


def _by_rows(value: Tensor, replicas: int) -> bool:
    return value.shape[:1] == (replicas,)


def _below(*parts: Tensor) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def natural_field(system: System, seed: int) -> float:
    """A tenth of a typical component of ∇H, the same for all observables of a sample.

    Where energies are extensive (`energy_scale` = dof) the forces on a spin are of order one, and so it is 0.1, without a look. Else it
    is measured: 0.1 times the root mean square component of the gradient at a start.
    """
    if system.energy_scale == system.dof:
        return 0.1
    slope = system.gradient(system.initial([Stream("observables/natural field", seed, -1)])).gradient.double()
    size = float(slope.square().mean().sqrt())
    return 0.1 * size if size > 0 else 0.1


@attrs.frozen
class Room:
    """What an observable keeps of waiting times beside the run."""

    label: str
    device: torch.device
    vector: int
    """Bytes of one vector a replica, as large as x."""
    kept: str = "copies that live on"

    @classmethod
    def of(cls, label: str, context: Context, system: System, kept: str = "copies that live on") -> Room:
        return cls(label, context.device, context.journey.replicas * system.dof * context.dtype.itemsize, kept)

    def refuse(self, vectors: int, waiting: int) -> None:
        """Refuses so many vectors for so many waiting times where they don't fit.

        Raises:
            Refusal: with the numbers and the remedy.
        """
        on_gpu, needed = self.device.type == "cuda", vectors * self.vector
        free = torch.cuda.mem_get_info(self.device)[0] if on_gpu else psutil.virtual_memory().available
        if needed > free:
            raise Refusal(
                f"observables.{self.label}: {self.kept} from {waiting} waiting times need {needed / 1e9:.3g} GB, but "
                f"{free / 1e9:.3g} GB are free on {self.device}; take fewer waiting times or replicas"
            )
