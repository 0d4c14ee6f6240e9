"""Linear response: what a weak random field, switched on at t_w, does to x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import (
    Context,
    Dynamics,
    Grid,
    Observable,
    Reference,
    Schedule,
    Snapshot,
    State,
    Stream,
    System,
    Variable,
    described,
)
from glassyrun_observables.pieces import BlockOptions, pieces, read_parts, size, with_blocks
from glassyrun_observables.twins import Room, Twins, natural_field, random_vector


class ResponseOptions(BlockOptions):
    """Integrated response χ(t_w, t_w+t) = (1/dof) Σ_i ∂⟨x_i(t_w+t)⟩/∂h_i to a field h that acts from t_w on, by twin trajectories.

    At t_w a copy of the State goes on under H − h·x, with the noise and the mini-batches of the run and a field of independent
    normal components of standard deviation `field`, another one for each replica and each t_w. The estimate is
    h·(x_twin − x) / (dof field²), whose mean is χ up to terms of order field². Each waiting time costs a run of its own for as long
    as it has lags. Not to be had of less by making the field weaker: in a chaotic dynamics the estimate of a single trajectory then
    varies the more.
    """

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = True

    kind: Literal["response"] = "response"
    field: Annotated[
        float | None,
        described(
            "standard deviation of a component of the field, in units of ∂H/∂x; default: 0.1 for spins, and else a tenth of the root "
            "mean square component of the gradient at a start",
            gt=0,
        ),
    ] = None
    opposite: Annotated[
        bool,
        described(
            "a second twin in the field −h, and half the difference between the two: no quadratic term and no distance of the run "
            "itself in it, at twice the cost"
        ),
    ] = False
    superposed: Annotated[
        bool,
        described(
            "one twin for all waiting times, to which their fields are added one after another: the cost of one waiting time, but "
            "each field is noise for the estimate of all others"
        ),
    ] = False

    def companions(self, since: Sequence[int], until: Sequence[int]) -> tuple[int, int]:
        twins = 1 + self.opposite
        if self.superposed:
            return twins, twins * (max(until) - min(since))
        return twins * len(since), twins * (sum(until) - sum(since))

    def build(self, context: Context, system: System) -> Response:
        strength, told = self.field, ""
        if strength is None:
            strength = natural_field(system, context.seed)
            told = " in the first sample" if system.energy_scale != system.dof else ""
        about = {
            "field": f"{strength:.12g}{told}",
            "estimate": "by half the difference between twins in opposite fields"
            if self.opposite
            else "by one twin in the field",
            **({"superposed": "the fields of all waiting times act on one twin"} if self.superposed else {}),
        }
        whole = {self.label: Variable("integrated response per degree of freedom", attributes=about)}
        blocks = self.blocks_of(system)
        kind = SuperposedResponse if self.superposed else Response
        room, variables = Room.of(self.label, context, system), with_blocks(whole, blocks, system)
        return kind(room, strength, self.opposite, context.stream("field"), blocks, variables)


class Response(Observable):
    """h·(x_twin − x) / (dof field²), [replica], by a twin for each waiting time; summed in float64."""

    grid: ClassVar[Grid] = "pairs"

    def __init__(
        self,
        room: Room,
        strength: float,
        opposite: bool,
        stream: Stream,
        blocks: Mapping[str, slice],
        variables: Mapping[str, Variable],
    ) -> None:
        self.label, self.room, self.strength, self.opposite, self.stream = room.label, room, strength, opposite, stream
        self.blocks, self.variables = blocks, variables

    def suits(self, stages: Sequence[Dynamics], schedule: Schedule) -> None:
        self.room.refuse(self.vectors(len(schedule.t_w)), len(schedule.t_w))

    def vectors(self, waiting: int) -> int:
        """Vectors as large as x that are kept for so many waiting times at once."""
        return waiting * (2 + self.opposite)

    def drawn_field(self, now: Snapshot) -> Float[Tensor, "replica dof"]:
        """The field that is switched on now."""
        return self.strength * random_vector(now.system, self.stream, now.state.step, now.state.x)

    def remember(self, now: Snapshot) -> State:
        field = self.drawn_field(now)
        twins = Twins.begin(now.state, field, self.opposite)
        twins.tilt(now.system, now.dynamics, field)
        return twins.packed()

    def follow(self, now: Snapshot, then: Reference) -> None:
        if then.state.step < now.state.step:
            twins = Twins.unpacked(then.state)
            twins.advance(now.system, now.dynamics, now.state.step)
            twins.repack(then.state)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        twins = Twins.unpacked(then.state)
        return self.estimates(twins, twins.field, now.state.x)

    def estimates(self, twins: Twins, field: Float[Tensor, "replica dof"], x: Float[Tensor, "replica dof"]) -> dict[str, Tensor]:
        """Of the response to `field`, of the whole and of each block."""
        one, other, times = twins.apart(x)

        def of(where: slice) -> dict[str, Tensor]:
            along = _along(one, other, field, where)
            return {self.label: along / (times * size(x, where) * self.strength**2)}

        return read_parts(of, self.blocks)


class SuperposedResponse(Response):
    """The same by one twin, which is kept in `memory` and follows the run as long as a waiting time has lags to come.

    A reference holds the field of its waiting time in the place of x. Where no lag was left to read, the twin begins anew.
    """

    def vectors(self, waiting: int) -> int:
        return waiting + 2 + self.opposite

    def remember(self, now: Snapshot) -> State:
        field, twins = self.drawn_field(now), self._twins()
        if twins is None or twins.step < now.state.step:
            twins = Twins.begin(now.state, torch.zeros_like(field), self.opposite)
        twins.field = twins.field + field
        twins.tilt(now.system, now.dynamics, field)
        self._keep(twins)
        return State(field, now.state.step)

    def follow(self, now: Snapshot, then: Reference) -> None:
        twins = self._twins()
        assert twins is not None
        if twins.step < now.state.step:
            if twins.step in now.clock.boundaries:
                twins.enter(now.system, now.dynamics)
            twins.advance(now.system, now.dynamics, now.state.step)
            self._keep(twins)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        twins = self._twins()
        assert twins is not None
        return self.estimates(twins, then.state.x, now.state.x)

    def _twins(self) -> Twins | None:
        """The twin in `memory`, which is the only place where it is: a run that resumes finds it there."""
        if not self.memory:
            return None
        under = {name: _under(self.memory, f"{name}/") for name in ("system", "dynamics")}
        return Twins.unpacked(State(self.memory["x"], int(self.memory["step"]), **under))

    def _keep(self, twins: Twins) -> None:
        state = twins.packed()
        self.memory.clear()
        self.memory.update({"x": state.x, "step": torch.tensor(state.step)})
        self.memory.update({f"system/{name}": value for name, value in state.system.items()})
        self.memory.update({f"dynamics/{name}": value for name, value in state.dynamics.items()})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _along(
    one: Float[Tensor, "replica dof"], other: Float[Tensor, "replica dof"], field: Float[Tensor, "replica dof"], where: slice
) -> Float[Tensor, " replica"]:
    """Σ h (x − x′) over the degrees of freedom of `where`, in float64; by difference, since the two are close together."""
    along = torch.zeros(len(one), dtype=torch.float64, device=one.device)
    for piece in pieces(one, where):
        moved = one[:, piece].double() - other[:, piece]
        along += (moved * field[:, piece]).sum(1)
    return along
