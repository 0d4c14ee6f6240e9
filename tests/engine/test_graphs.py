"""Steps as CUDA graphs, on the CPU: a graph that runs the captured step stands in for CUDA's, and all the rest is what a GPU runs."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path

import attrs
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.test_resume import attempt, bytes_of
from tests.engine_tools import PAIRS, Crash, final_state, load, tables
from tests.models import begin, dynamics
from tests.networks.toy import ModuleOptions, any_module
from tests.observables.test_undisturbed import all_tables

import glassyrun
from glassyrun import Diverged, Draw, Dynamics, Evaluation, Footprint, State, System, api, graphs
from glassyrun.experiment import Setting, numerics
from glassyrun.watch import Watch
from glassyrun_dynamics.sgd import SGD
from glassyrun_networks import NetworkOptions
from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.mlp import MlpOptions
from glassyrun_networks.resnet18 import ResNet18Options
from glassyrun_quadratic.quadratic import Quadratic


@attrs.define
class Replays:
    """What stands for a CUDA graph, and how often it was replayed."""

    step: Callable[[], None]
    count: int = 0

    def replay(self) -> None:
        self.step()
        self.count += 1


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[Replays]:
    """All that is captured."""
    made: list[Replays] = []

    def record(step: Callable[[], None], device: torch.device) -> Replays:
        step()
        made.append(Replays(step))
        return made[-1]

    monkeypatch.setattr(graphs, "on_gpu", lambda x: True)
    monkeypatch.setattr(graphs, "recorded", record)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    return made


PAIRINGS = [*PAIRS, ("mlp", "sgd")]


@pytest.mark.parametrize(("system", "moves"), PAIRINGS)
def test_replayed_steps_are_the_steps(system: str, moves: str, captured: list[Replays], tmp_path: Path) -> None:
    """A run with graphs and one without: the same bits and the same readings, and the graph did take the steps."""
    spec = load(all_tables(system, moves, 6))
    plain = load(all_tables(system, moves, 6, run={"cuda_graphs": False}))
    assert torch.equal(final_state(plain, tmp_path / "plain").x, final_state(spec, tmp_path / "graphs").x)
    first = 1 if moves == "adams" else 0  # its first step has nothing to remember yet
    assert sum(graph.count for graph in captured) >= 6 - first
    assert len(captured) == 1


@pytest.mark.parametrize("gently", [True, False], ids=["stopped", "killed"])
def test_interrupted_runs_end_with_the_same_bytes(gently: bool, captured: list[Replays], tmp_path: Path) -> None:
    spec = load(tables("pspin", "adams", steps=6, run={"checkpoint_seconds": 1e-9}))
    assert attempt(spec, tmp_path / "whole", Crash())
    while not attempt(spec, tmp_path / "parts", Crash(after=3, gently=gently)):
        pass
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")
    assert captured


@settings(deadline=None)
@given(st.data())
def test_many_looks_are_looks_one_after_another(data: st.DataObject) -> None:
    """NaN, infinities, rises: the same verdict, whatever rows are seen together."""
    values = st.sampled_from([1.0, 0.5, 0.0, -0.5, -1.0, 2.0, float("nan"), float("inf"), -float("inf")])
    energies = torch.from_numpy(data.draw(arrays.arrays(np.float64, (7, 2), elements=values)))
    descends, cut = data.draw(st.booleans()), data.draw(st.integers(1, 6))
    one, many = (Watch.over(torch.zeros(2, 3), descends) for _ in range(2))
    for step, row in enumerate(energies):
        one.look(row, 10 + step)
    many.looks(energies[:cut], 10)
    many.looks(energies[cut:], 10 + cut)
    assert one.verdict() == pytest.approx(many.verdict(), nan_ok=True)
    assert torch.equal(one.first_bad, many.first_bad)
    for name in ("last", "largest", "energy", "shown"):
        torch.testing.assert_close(getattr(one, name), getattr(many, name), rtol=0, atol=0, equal_nan=True)


def test_what_can_not_be_captured_is_run_and_told(
    captured: list[Replays], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def refuse(step: Callable[[], None], device: torch.device) -> Replays:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "recorded", refuse)
    spec = load(tables("quadratic", "sgd"))
    with caplog.at_level(logging.INFO, "glassyrun"):
        found = final_state(spec, tmp_path / "run")
    assert "not captured in a CUDA graph: RuntimeError: operation not permitted" in caplog.text
    plain = final_state(load(tables("quadratic", "sgd", run={"cuda_graphs": False})), tmp_path / "plain")
    assert torch.equal(found.x, plain.x)


@pytest.mark.parametrize("part", ["x", "velocity", "energy"])
def test_a_replay_that_changes_bits_is_not_used(
    part: str, monkeypatch: pytest.MonkeyPatch, captured: list[Replays], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Where bits are promised; where they are not, it may."""
    capture = graphs._capture

    def sloppy(dynamics: Dynamics, system: System, fixed: State, like: torch.Tensor) -> graphs.StepGraph:
        found = capture(dynamics, system, fixed, like)
        step = captured[-1].step
        wrong = {"x": fixed.x, "velocity": fixed.dynamics["velocity"], "energy": found.energy}[part].view(-1)
        captured[-1].step = lambda: (step(), wrong[0].add_(1e-6))
        return found

    monkeypatch.setattr(graphs, "_capture", sloppy)
    ends = {}
    for name, run in {"promised": {}, "free": {"deterministic": False}, "plain": {"cuda_graphs": False}}.items():
        with caplog.at_level(logging.INFO, "glassyrun"):
            ends[name] = final_state(load(tables("quadratic", "sgd", run=run)), tmp_path / name).x
    assert "replayed steps are not the launched ones" in caplog.text
    assert torch.equal(ends["promised"], ends["plain"])
    assert [graph.count > graphs.TRIED for graph in captured] == [False, True]
    assert torch.equal(ends["free"], ends["plain"]) == (part == "energy")


def test_memory_of_a_captured_step_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look more, and the State and the noise at their fixed places."""
    monkeypatch.setattr("glassyrun.experiment.device_of", lambda name: torch.device(name))
    sizes = {}
    for device, wanted in (("cuda", True), ("cuda", False), ("cpu", True)):
        spec = load(tables("pspin", "langevin", run={"device": device, "cuda_graphs": wanted}))
        setting = Setting.of(spec)
        footprint = Footprint(1000, 10, 0, transient_bytes=10_000)
        sizes[device, wanted] = setting.memory(footprint)
    assert sizes["cuda", False] == sizes["cpu", True]
    assert sizes["cuda", True] >= sizes["cuda", False] + 10_000 + 4 * 2 * 1000 * 4


class Restless(Quadratic):
    """Another gradient, which says nothing about graphs."""

    def gradient(self, state: State, batch: torch.Tensor | None = None) -> Evaluation:
        return super().gradient(state, batch)


class Settled(Restless):
    capturable = True


class Annealed(SGD):
    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        self.learning_rate *= 0.5
        return super().update(system, state, draw)


@pytest.mark.parametrize(
    ("kind", "moves", "is_captured"),
    [(Quadratic, SGD, True), (Restless, SGD, False), (Settled, SGD, True), (Quadratic, Annealed, False)],
)
def test_who_overrides_a_step_answers_for_it_anew(
    kind: type[Quadratic], moves: type[SGD], is_captured: bool, captured: list[Replays]
) -> None:
    system = kind(torch.randn(7, 3), torch.randn(7))
    dynamics, state = moves(0.1, 0.5, 0.0), State(torch.randn(2, 3))
    dynamics.start(system, state)
    with graphs.cuda_graphs(True):
        dynamics.advance(system, state, 4)
    assert bool(captured) == is_captured


@pytest.mark.parametrize("scheme", ["euler", "heun", "adams", "adaptive"])
def test_adaptive_steps_are_not_captured(scheme: str, captured: list[Replays], tmp_path: Path) -> None:
    spec = load(tables("pspin", "quench", dynamics={"kind": "quench", "dt": 0.05, "scheme": scheme}))
    final_state(spec, tmp_path / "run")
    assert bool(captured) == (scheme != "adaptive")


def bowl() -> Quadratic:
    generator = torch.Generator().manual_seed(1)
    return Quadratic(torch.randn(7, 3, generator=generator), torch.randn(7, generator=generator))


def moved(
    dynamics: Dynamics,
    wanted: bool,
    watch: Watch | None = None,
    deterministic: bool = True,
    system: System | None = None,
    steps: int = 7,
) -> State:
    """`steps` steps from one start, in one call."""
    system, state = system or bowl(), State(torch.arange(6.0).view(2, 3))
    dynamics.start(system, state)
    spec = load(tables("quadratic", "sgd", run={"cuda_graphs": wanted, "deterministic": deterministic}))
    with numerics(spec):
        dynamics.advance(system, state, steps, watch)
    return state


class Slowing(SGD):
    """Says that it can be captured, and can't: its step falls with the step number."""

    capturable = True

    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        slower = SGD(self.learning_rate / (1 + state.step), self.momentum, self.weight_decay)
        return slower.update(system, state, draw)


@pytest.mark.parametrize("deterministic", [True, False])
def test_what_changes_from_step_to_step_is_found_out(
    deterministic: bool, captured: list[Replays], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real graph has the kernels of the step at which it was captured: so has this one, its State's step being that."""
    state, plain = (moved(Slowing(0.3, 0.0, 0.0), wanted, deterministic=deterministic) for wanted in (True, False))
    assert torch.equal(state.x, plain.x)
    assert captured[-1].count <= graphs.TRIED


class Echo(Dynamics):
    """Steps along the gradient before the last one, which its memory hands on from one to the next."""

    capturable = True

    def start(self, system: System, state: State) -> None:
        state.dynamics |= {"first": torch.zeros_like(state.x), "second": torch.ones_like(state.x)}

    def draw(self, step: int, like: State) -> Draw:
        return Draw()

    def update(self, system: System, state: State, draw: Draw) -> Evaluation:
        evaluation = system.gradient(state)
        state.x.add_(state.dynamics["second"], alpha=-0.01)
        state.dynamics["second"], state.dynamics["first"] = state.dynamics["first"], evaluation.gradient
        return evaluation


def test_memory_is_handed_on_before_it_is_written_over(captured: list[Replays]) -> None:
    state, plain = (moved(Echo(), wanted) for wanted in (True, False))
    assert captured[-1].count == 7 + graphs.TRIED
    assert torch.equal(state.x, plain.x)
    assert all(torch.equal(state.dynamics[name], value) for name, value in plain.dynamics.items())


class Now(SGD):
    """Looks at all terms but in every third step, where it looks at two."""

    def draw(self, step: int, like: State) -> Draw:
        return Draw(torch.tensor([[0, 1], [2, 3]])) if step % 3 == 2 else Draw()


def test_a_draw_of_another_form_is_launched(captured: list[Replays]) -> None:
    state, plain = (moved(Now(0.1, 0.5, 0.0), wanted) for wanted in (True, False))
    assert captured[-1].count == 5 + graphs.TRIED
    assert state.step == plain.step == 7
    assert torch.equal(state.x, plain.x)


def test_a_copy_of_a_dynamics_has_graphs_of_its_own(captured: list[Replays]) -> None:
    first, system = SGD(0.1, 0.0, 0.0), bowl()
    moved(first, True, system=system)
    second = copy.copy(first)
    second.learning_rate = 1e-3
    moved(second, True, system=system)
    assert len(captured) == 2


def test_each_system_is_captured_by_itself(captured: list[Replays]) -> None:
    dynamics, steep = SGD(0.1, 0.0, 0.0), bowl()
    steep.targets = steep.targets + 1
    for system in (bowl(), steep):
        assert torch.equal(moved(dynamics, True, system=system).x, moved(SGD(0.1, 0.0, 0.0), False, system=system).x)
    assert len(captured) == 2


def test_a_long_block_is_cut_and_watched_as_a_whole(captured: list[Replays], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rise of a step too long is found at the same step, with the same energy."""
    monkeypatch.setattr(graphs, "BLOCK", 4)  # two steps of two replicas
    verdicts, ends = [], []
    for wanted in (True, False):
        watch = Watch.over(torch.zeros(2, 3), descends=True)
        ends.append(moved(SGD(2.0, 0.0, 0.0), wanted, watch=watch))
        verdicts.append(watch.verdict())
    assert verdicts[0] == verdicts[1] is not None
    assert torch.equal(ends[0].x, ends[1].x)


def test_divergence_is_told_alike(captured: list[Replays], tmp_path: Path) -> None:
    told = []
    for wanted in (True, False):
        spec = load(
            tables("quadratic", "quench", steps=40, dynamics={"kind": "quench", "dt": 5.0}, run={"cuda_graphs": wanted})
            | {"schedule": {"horizon": 200.0}}
        )
        with pytest.raises(Diverged) as caught:
            final_state(spec, tmp_path / str(wanted))
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert captured[-1].count > graphs.TRIED


@pytest.mark.parametrize(
    "dynamics",
    [
        {"kind": "langevin", "dt": 0.05, "temperature": 0.1, "ramp": {"start": 1.0, "until": 0.4}},
        {"kind": "langevin", "dt": 0.05, "temperature": 0.1, "scheme": "adams", "batch_size": 4},
        {"kind": "quench", "dt": 0.05, "scheme": "adams"},
    ],
)
def test_ramps_and_first_steps(dynamics: dict[str, object], captured: list[Replays], monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve steps in one call, which is cut after every second one."""
    monkeypatch.setattr(graphs, "BLOCK", 4)
    ends = []
    for wanted in (True, False):
        spec = load(tables("pspin", "langevin", dynamics=dynamics, run={"cuda_graphs": wanted}))
        setting = Setting.of(spec)
        system = setting.system(0)
        moving = setting.stages(system, 0)[0]
        state = setting.start(system, moving, 0)
        with numerics(spec):
            moving.advance(system, state, 12)
        ends.append(state.x)
    assert captured[-1].count >= 11 + graphs.TRIED
    assert torch.equal(*ends)


def test_a_failed_capture_is_not_tried_again(
    captured: list[Replays], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(graphs, "recorded", lambda step, device: torch.zeros(2) @ torch.zeros(3))
    with caplog.at_level(logging.INFO, "glassyrun"):
        glassyrun.run(load(tables("quadratic", "sgd", ensemble={"samples": 3, "replicas": 2})), quiet=True)
    assert caplog.text.count("not captured") == 1


def test_a_stage_that_is_over_keeps_no_graph(captured: list[Replays], monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    forget = graphs.forget

    def counted(dynamics: Dynamics) -> None:
        kept.append(len(graphs._known(dynamics)))
        forget(dynamics)
        kept.append(len(graphs._known(dynamics)))

    monkeypatch.setattr("glassyrun.trajectories.forget", counted)
    stages = [{"kind": "sgd", "learning_rate": rate, "batch_size": 4, "until": until} for rate, until in ((0.1, 4), (0.01, 12))]
    del stages[1]["until"]
    glassyrun.run(load(tables("quadratic", "sgd", dynamics=stages)), quiet=True)
    assert kept == [1, 0]


def test_a_module_of_a_user_is_captured_only_if_it_says_so(captured: list[Replays], monkeypatch: pytest.MonkeyPatch) -> None:
    """It may keep a table for the last size of a batch, which a reading replaces."""
    for says in (False, True):
        captured.clear()
        if says:
            monkeypatch.setattr(ModuleOptions, "capturable", True)
        network = any_module("batch_norm", torch.float32)
        moving = dynamics("sgd", network, batch_size=6)
        state = begin(network, moving, replicas=2)
        with graphs.cuda_graphs(True):
            moving.advance(network, state, 3)
        assert bool(captured) == says
    assert [kind.capturable for kind in (MlpOptions, CnnOptions, ResNet18Options, NetworkOptions)] == [True, True, True, False]


def test_graphs_may_be_switched_off_under_a_run(tmp_path: Path) -> None:
    run = {"checkpoint_seconds": 1e-9}
    assert not attempt(load(tables("quadratic", "sgd", run=run)), tmp_path / "run", Crash(after=3))
    api.execute(load(tables("quadratic", "sgd", run=run | {"cuda_graphs": False})), tmp_path / "run", quiet=True)
