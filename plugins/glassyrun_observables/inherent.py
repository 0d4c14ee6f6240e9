"""The inherent structure below x(t_w): where a short quench from there ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import attrs
from jaxtyping import Int
from torch import Tensor

from glassyrun import Context, Grid, Observable, Reference, Snapshot, State, System, Variable, described
from glassyrun_observables.energy import Look, ReadEnergyOptions
from glassyrun_observables.pair_sums import sums_of


class InherentOptions(ReadEnergyOptions):
    """Energy and distance after a short quench from x(t_w): the inherent structure below it (Stillinger and Weber 1982).

    `steps` of gradient descent x ← R(x − dt P∇H(x)), with R the retraction and P the tangent projection of a sphere, taken on
    a copy; the run does not see it. Energy as in `energy`, distance as in `msd`: (1/dof) Σ (x_quenched − x)². Each waiting
    time costs as much as `steps` steps over all terms (or over `terms` of them, whose energy is then the one that falls).
    """

    kind: Literal["inherent"] = "inherent"
    steps: Annotated[int, described("steps of the quench", ge=1, le=10_000_000)] = 100
    dt: Annotated[float, described("time per step of the quench, in units of Langevin time (a learning rate)", gt=0)]

    def companions(self, since: Sequence[int], until: Sequence[int]) -> tuple[int, int]:
        return len(since), self.steps * len(since)

    def build(self, context: Context, system: System) -> Inherent:
        look = self.look(context, system)
        quench = f"{self.steps} steps of gradient descent of {self.dt:.12g}"
        about = {"quench": quench, **self.about(look, system)}
        variables = {
            f"{self.label}_energy": Variable(f"{system.energy_name} after a quench", attributes=about),
            f"{self.label}_distance": Variable("mean-square displacement by a quench, per degree of freedom", attributes=about),
        }
        return Inherent(self.label, look, self.steps, self.dt, variables)


@attrs.define(slots=False)
class Inherent(Observable):
    """H / energy_scale where the quench ends, and how far that is, [replica] each."""

    label: str
    look: Look
    steps: int
    dt: float
    variables: dict[str, Variable]
    grid: ClassVar[Grid] = "t_w"

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        end = quenched(now.system, now.state, self.steps, self.dt, self.look.subset)
        moved = sums_of(end.x, now.state.x).second / end.x.shape[1]
        return {
            f"{self.label}_energy": self.look.at(now.system, end),
            f"{self.label}_distance": moved,
        }


def quenched(system: System, start: State, steps: int, dt: float, subset: Int[Tensor, " term"] | None) -> State:
    """Where gradient descent from `start` ends, memory included; `start` is left alone."""
    batch = None if subset is None else subset.expand(start.replicas, -1)
    state = State(start.x, start.step, start.system)
    for _ in range(steps):
        look = system.gradient(state, batch)
        slope = system.manifold.project(state.x, look.gradient)
        state = State(system.manifold.retract(state.x - dt * slope), start.step, look.memory)
    return state
