"""Linear response of Langevin dynamics without a field: the correlation of x with the thermal noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import (
    Clock,
    Context,
    Draw,
    Dynamics,
    Grid,
    Manifold,
    Observable,
    ObservableOptions,
    Reference,
    Refusal,
    Schedule,
    Snapshot,
    State,
    System,
    Variable,
)
from glassyrun_observables.pieces import pieces
from glassyrun_observables.twins import Room


class NoiseResponseOptions(ObservableOptions):
    """Integrated response from the noise that has moved x since t_w, χ = ⟨x(t_w+t)·W⟩ / (2T dof) with W = ∫ξ; Langevin at T > 0.

    Novikov's theorem: the response to a field at a time is the correlation with the noise at that time (Cugliandolo, Kurchan and Parisi,
    J. Phys. I 4, 1641 (1994)). W is the sum of the very numbers that moved x, W/(2T) of each step at the T of that step. NAME_start is the
    same with x(t_w), whose mean is 0: NAME − c NAME_start is an estimate of χ too for any number c, and c near C(t_w, t_w+t) has the
    least error. Costs the drawing of the noise once more, and its error grows with t: √(t/(2T dof)) a trajectory.
    """

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = False

    kind: Literal["noise_response"] = "noise_response"

    def build(self, context: Context, system: System) -> NoiseResponse:
        room = Room.of(self.label, context, system, "x and sums of noise")
        return NoiseResponse(room, torch.float64.itemsize // context.dtype.itemsize)


class NoiseResponse(Observable):
    """x(t_w+t)·V/dof and x(t_w)·V/dof, [replica], with V = Σ √variance noise dt/(2T dt) over the steps since t_w.

    The noise of a step is all that its Draw holds. In the Strang splitting that is half of it on each side of the gradient step in which
    dt·h would enter, which is symmetric in time and thus right to dt²; in the two-step scheme all of it comes after.
    The sum since the first t_w is in `memory`; what is remembered at t_w is that sum, and x.
    """

    grid: ClassVar[Grid] = "pairs"

    def __init__(self, room: Room, double: int) -> None:
        """
        Args:
            room: what is free for what it keeps.
            double: how many vectors of the run's type take as much as one in float64, of which sums are.
        """
        label = room.label
        self.label, self.room, self.double = label, room, double
        about = {"estimate": "correlation with the thermal noise since the waiting time"}
        self.variables = {
            label: Variable("integrated response per degree of freedom, from the noise", attributes=about),
            f"{label}_start": Variable("the same with x at the waiting time, of mean 0", attributes=about),
        }
        self._silent: list[tuple[int, int]] = []

    def suits(self, stages: Sequence[Dynamics], schedule: Schedule) -> None:
        begins = [0, *schedule.clock.boundaries]
        ends = [*schedule.clock.boundaries, schedule.horizon]
        silent = [not _noisy(stage, begin, end) for stage, begin, end in zip(stages, begins, ends, strict=True)]
        if all(silent):
            raise Refusal(
                f"observables.{self.label}: no step has thermal noise whose correlation with x could be read; take langevin at a "
                'temperature above 0, or the observable "response"'
            )
        self._silent = [(begin, end) for begin, end, quiet in zip(begins, ends, silent, strict=True) if quiet]
        self.room.refuse(self.vectors(len(schedule.t_w)), len(schedule.t_w))

    def vectors(self, waiting: int) -> int:
        """Vectors as large as x that are kept for so many waiting times: x and a sum of each, the sum so far, and a step's noise."""
        return waiting * (1 + self.double) + 2 * self.double

    def wants(self, clock: Clock, since: int, step: int) -> bool:
        """Whether all steps between have noise."""
        return not any(since < end and step > begin for begin, end in self._silent)

    def remember(self, now: Snapshot) -> State:
        if not self.memory:
            self.memory["sum"] = torch.zeros_like(now.state.x, dtype=torch.float64)
        self.memory["step"] = torch.tensor(now.state.step)  # behind only where no reference needs what was between
        return State(self.memory["sum"].clone(), now.state.step, {"x": now.state.x.clone()})

    def follow(self, now: Snapshot, then: Reference) -> None:
        self._catch_up(now)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        since, start = then.state.x, then.state.system["x"]
        here, there = torch.zeros(2, len(start), dtype=torch.float64, device=start.device)
        for piece in pieces(start):
            noise = self.memory["sum"][:, piece] - since[:, piece]
            here += (now.state.x[:, piece] * noise).sum(1)
            there += (start[:, piece] * noise).sum(1)
        return {self.label: here / start.shape[1], f"{self.label}_start": there / start.shape[1]}

    def _catch_up(self, now: Snapshot) -> None:
        """Adds the noise of the steps since it was last looked at."""
        step, until = int(self.memory["step"]), now.state.step
        for k in range(step, until):
            draw = now.dynamics.draw(k, now.state)
            if draw.noise:
                self.memory["sum"] += _weighed(draw, now.dynamics.flow_step, now.system.manifold)
        self.memory["step"] = torch.tensor(until)


def _weighed(draw: Draw, dt: float, manifold: Manifold) -> Float[Tensor, "replica dof"]:
    """The noise of a step over 2T: all entries together have the variance 2T dt."""
    assert draw.variance is not None
    total = torch.stack([manifold.isotropic(normals) for normals in draw.noise]).sum(0, dtype=torch.float64)
    return total * (dt / (len(draw.noise) * draw.variance.sqrt()))


def _noisy(stage: Dynamics, begin: int, end: int) -> bool:
    """Whether the first and the last step of a stage have noise of a finite strength."""
    like = State(torch.zeros(1, 1))
    for step in (begin, max(begin, end - 1)):
        draw = stage.draw(step, like)
        if not draw.noise or draw.variance is None or not float(draw.variance) > 0:
            return False
    return True
