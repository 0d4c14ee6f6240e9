"""What went wrong first is what is named: the first bad step of the replica that went wrong first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import PrivateAttr
from tests.engine.test_resume import attempt
from tests.engine_tools import Crash, load, tables

import glassyrun
from glassyrun import Evaluation, Footprint, State, Stream, System, SystemOptions, api
from glassyrun.spec.model import Spec
from glassyrun.watch import Watch


def watched(looks: Sequence[Sequence[float]], descends: bool = True) -> tuple[int, int, float] | None:
    """The verdict after one look a step at the energies of all replicas."""
    watch = Watch.over(torch.zeros(len(looks[0]), 2), descends)
    for step, energies in enumerate(looks):
        watch.look(torch.tensor(energies, dtype=torch.float64), step)
    return watch.verdict()


def test_the_first_rise_is_named_not_the_last() -> None:
    assert watched([[-1.0], [-3.0], [-2.0], [-4.0], [-3.5], [-3.0]]) == (0, 2, -2.0)


def test_the_replica_that_went_wrong_first_is_named() -> None:
    """Whatever its number, and however much worse another became later."""
    falling = [-float(step) for step in range(8)]
    early, late = falling.copy(), falling.copy()
    early[2:] = [-0.9] * 6
    late[5:] = [50.0] * 3
    assert watched(list(zip(falling, late, early, strict=True))) == (2, 2, -0.9)
    assert watched(list(zip(early, late, falling, strict=True))) == (0, 2, -0.9)
    assert watched(list(zip(late, early, early, strict=True))) == (1, 2, -0.9)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("descends", [True, False])
def test_what_is_not_finite_is_bad_everywhere(wrong: float, descends: bool) -> None:
    found = watched([[1.0, 1.0], [0.5, 0.5], [0.4, wrong], [wrong, wrong]], descends)
    assert found is not None
    assert found[:2] == (1, 2)


def test_only_what_descends_is_stopped_by_a_rise() -> None:
    assert watched([[1.0], [2.0], [0.5], [100.0]], descends=False) is None


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_rounding_is_no_rise_and_a_hundredth_is_one(scale: float) -> None:
    """Relative to the largest energy seen: an energy that passes through zero still carries the rounding of its terms."""
    fallen = [-1.0, -2.0, -2.0]
    assert watched([[scale * e] for e in [*fallen, -2.0 * (1 - 2e-6), -2.0]]) is None
    assert watched([[scale * e] for e in [1.0, 1e-7, 2e-7]]) is None
    rise = watched([[scale * e] for e in [*fallen, -1.98]])
    assert rise is not None
    assert rise[:2] == (0, 3)


@pytest.mark.parametrize("moves", [{"kind": "quench", "dt": 0.2}, {"kind": "langevin", "dt": 0.1, "temperature": 0.0}])
def test_a_quench_that_has_arrived_is_left_in_peace(moves: dict[str, Any]) -> None:
    """In float32 at its minimum the energy goes up and down by rounding, thousands of times."""
    schedule = {"horizon": 400.0, "time": {"from": 0.0, "to": 400.0, "n": 5}, "t_w": [0.0], "t": [1.0]}
    table = tables("pspin", str(moves["kind"]), dynamics=moves, schedule=schedule, run={"dtype": "float32"})
    assert glassyrun.run(table, quiet=True).attrs["complete"] == 1


class Slide(System):
    """x grows by dt each step; the energy falls with it, and rises where it is told to."""

    def __init__(self, rises: dict[int, tuple[int, float]]) -> None:
        self.dof, self.terms, self.blocks, self.rises = 1, 1, {"x": slice(0, 1)}, rises

    def initial(self, streams: Sequence[Stream]) -> State:
        return State(torch.zeros(len(streams), 1))

    def energy(self, state: State, terms: torch.Tensor | None = None) -> torch.Tensor:
        energy = -state.x[:, 0].clone()
        for replica, (step, rise) in self.rises.items():
            if replica < len(energy):
                energy[replica] += rise * (state.x[replica, 0] > step - 0.5)
        return energy

    def gradient(self, state: State, batch: torch.Tensor | None = None) -> Evaluation:
        return Evaluation(self.energy(state), -torch.ones_like(state.x))


class SlideOptions(SystemOptions):
    """A slide with a step up."""

    kind: str = "slide"
    _rises: Any = PrivateAttr(None)

    def footprint(self, context: Any) -> Footprint:
        return Footprint(1, 1, 0)

    def build(self, context: Any) -> Slide:
        return Slide(self._rises)


def sliding(rises: dict[int, tuple[int, float]], grid: list[float], **changes: Any) -> Spec:
    schedule = {"horizon": 60.0, "time": grid, "t_w": [0.0], "t": [0.0]}
    plain = load(tables("quadratic", "quench", dynamics={"kind": "quench", "dt": 1.0}, schedule=schedule, **changes))
    energy = [options for options in plain.observables if options.kind == "energy"]
    system = SlideOptions()
    system._rises = rises
    return plain.model_copy(update={"system": system, "observables": energy})


@pytest.mark.parametrize(
    "rises", [{0: (37, 1000.0), 1: (29, 3.0)}, {0: (29, 3.0), 1: (29, 1000.0)}, {1: (29, 3.0), 2: (30, 9.0)}]
)
def test_a_run_names_step_and_replica_from_the_middle_of_a_chunk(rises: dict[int, tuple[int, float]]) -> None:
    spec = sliding(rises, [0.0, 60.0], ensemble={"replicas": 3})
    first = min(replica for replica, (step, _) in rises.items() if step == 29)
    energy = -29 + rises[first][1]
    with pytest.raises(glassyrun.Diverged, match=rf"replica {first}, at step 29 .*rose to {energy:g};"):
        glassyrun.run(spec, quiet=True)


@pytest.mark.parametrize("gently", [True, False])
def test_a_rise_across_an_interruption_is_seen(gently: bool, tmp_path: Path) -> None:
    """Every process does a step or two: what it must compare with was seen by the one before it."""
    spec = sliding({0: (9, 3.0)}, [float(t) for t in range(61)], run={"checkpoint_seconds": 1e-9})

    def to_its_end() -> None:
        for _ in range(80):
            attempt(spec, tmp_path / "run", Crash(after=1 if gently else 2, gently=gently))

    with pytest.raises(glassyrun.Diverged, match=r"replica 0, at step 9 .*rose to"):
        to_its_end()
    with pytest.raises(glassyrun.Diverged, match=r"ended before.*at step 9 "):
        api.execute(spec, tmp_path / "run", quiet=True)


def test_the_largest_energy_is_remembered_across_an_interruption(tmp_path: Path) -> None:
    """A rise of rounding size, compared with an energy that only an earlier process saw."""

    class Falling(Slide):
        def energy(self, state: State, terms: torch.Tensor | None = None) -> torch.Tensor:
            far = torch.where(state.x[:, 0] < 0.5, 1e6, 0.1)
            return far + 0.05 * (state.x[:, 0] > 8.5)

    class FallingOptions(SlideOptions):
        def build(self, context: Any) -> Slide:
            return Falling({})

    spec = sliding({}, [float(t) for t in range(13)], run={"checkpoint_seconds": 1e-9})
    spec = spec.model_copy(update={"system": FallingOptions()})
    rounds = 0
    while not attempt(spec, tmp_path / "run", Crash(after=2, gently=True)):
        rounds += 1
        assert rounds < 80
    assert rounds > 5
