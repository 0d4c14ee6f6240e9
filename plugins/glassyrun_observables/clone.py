"""A copy of the run made at t_w, which goes on with other noise, or from a place nearby."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from glassyrun import (
    Context,
    Draw,
    Dynamics,
    Grid,
    Observable,
    ObservableOptions,
    Reference,
    Refusal,
    Schedule,
    Snapshot,
    State,
    Stream,
    System,
    Variable,
    described,
)
from glassyrun_observables.pair_sums import sums_of
from glassyrun_observables.twins import Room, random_vector


class CloneOptions(ObservableOptions):
    """Overlap and squared distance at t_w + t of the run and a copy made at t_w: Q(t_w, t_w+t) = (1/dof) Σ x_i x_i^copy, and |x − x^copy|²/dof.

    With `chance = "other"` the copy goes on with other noise and other mini-batches: whether the two ever part for good tells two
    kinds of aging from each other (Barrat, Burioni and Mézard, J. Phys. A 29, L81 (1996)). It takes those of the next replica, so at least two
    are needed. With `chance = "same"` it goes on with those of the run from another place: `kick` away in a random direction, or, with
    `start = "other"`, from a start of its own: damage spreading. Each waiting time costs a run of its own for as long as it has lags.
    """

    components: ClassVar[bool] = False
    looks: ClassVar[bool] = True

    kind: Literal["clone"] = "clone"
    chance: Annotated[
        Literal["other", "same"], described("noise and mini-batches of the copy: those of the next replica, or those of the run")
    ] = "other"
    start: Annotated[
        Literal["run", "other"],
        described("where the copy begins at t_w: where the run is, or at another random start, by the law of the run's own"),
    ] = "run"
    kick: Annotated[
        float | None,
        described(
            "root mean square component of a random displacement of the copy at t_w, in units of x; default: none with other chance, "
            'or with start = "other", 0.001 of the root mean square component of x with the same',
            ge=0,
        ),
    ] = None

    def companions(self, since: Sequence[int], until: Sequence[int]) -> tuple[int, int]:
        return len(since), sum(until) - sum(since)

    def build(self, context: Context, system: System) -> Clone:
        if self.chance == "other" and context.journey.replicas < 2:
            raise Refusal(
                f"observables.{self.label}: a copy takes the noise of the next replica, and there is but one; set ensemble.replicas to 2 "
                'or more, or chance = "same"'
            )
        if self.start == "other" and system.provenance.get("start", "").startswith("planted"):
            raise Refusal(
                f'observables.{self.label}.start: found "other", but the start is planted, and there is no other one; leave it out, or '
                "give kick a size"
            )
        if self.chance == "same" and self.kick == 0 and self.start == "run":
            raise Refusal(f"observables.{self.label}.kick: found 0, with which the copy is the run itself; raise it")
        room, apart = Room.of(self.label, context, system), context.stream("start") if self.start == "other" else None
        return Clone(room, self.chance == "other", self.kick, context.stream("kick"), apart)


class Clone(Observable):
    """Q and the distance of the copy, [replica] each, in float64; the distance by difference."""

    grid: ClassVar[Grid] = "pairs"

    def __init__(self, room: Room, other: bool, kick: float | None, stream: Stream, start: Stream | None = None) -> None:
        label = room.label
        self.label, self.room, self.other, self.kick, self.stream, self.start = label, room, other, kick, stream, start
        about = {
            "copy": "with the noise and mini-batches of the next replica"
            if other
            else "with the noise and mini-batches of the run"
        }
        self.variables = {
            label: Variable("overlap of two copies since they parted", attributes=about),
            f"{label}_distance": Variable("squared distance of two copies per degree of freedom", attributes=about),
        }

    def suits(self, stages: Sequence[Dynamics], schedule: Schedule) -> None:
        self.room.refuse(len(schedule.t_w), len(schedule.t_w))

    def remember(self, now: Snapshot) -> State:
        copy = now.state.copy() if self.start is None else self._elsewhere(now, self.start)
        if self.kick is None and not self.other and self.start is None:
            size = 1e-3 * copy.x.double().square().mean(1, keepdim=True).sqrt().to(copy.x.dtype)
        else:
            size = self.kick or 0.0
        if not isinstance(size, float) or size > 0:
            moved = copy.x + size * random_vector(now.system, self.stream, now.state.step, copy.x)
            copy.x.copy_(now.system.manifold.retract(moved))
        return copy

    def _elsewhere(self, now: Snapshot, start: Stream) -> State:
        """A State that begins now, where the System may begin."""
        begun = now.system.initial([start.child(replica) for replica in range(now.state.replicas)])
        begun.step = now.state.step
        now.dynamics.start(now.system, begun)
        return begun

    def follow(self, now: Snapshot, then: Reference) -> None:
        steps = now.state.step - then.state.step
        if self.other:
            advance_otherwise(now.dynamics, now.system, then.state, steps)
        else:
            now.dynamics.advance(now.system, then.state, steps)

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, Tensor]:
        assert then is not None
        sums, dof = sums_of(now.state.x, then.state.x, slice(None)), now.state.x.shape[1]
        return {self.label: sums.product / dof, f"{self.label}_distance": sums.second / dof}


def advance_otherwise(dynamics: Dynamics, system: System, state: State, steps: int) -> None:
    """Steps in which each replica is moved by the chance of the next one."""
    for _ in range(steps):
        drawn = dynamics.draw(state.step, state)
        batch = None if drawn.batch is None else drawn.batch.roll(-1, 0)
        dynamics.update(system, state, Draw(batch, tuple(_rolled(noise) for noise in drawn.noise), drawn.variance))
        state.step += 1


def _rolled(noise: Float[Tensor, "replica dof"]) -> Float[Tensor, "replica dof"]:
    return noise.roll(-1, 0)
