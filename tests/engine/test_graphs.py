"""Steps as CUDA graphs, on the CPU: a graph that runs the captured step stands in for CUDA's, and all the rest is what a GPU runs."""

from __future__ import annotations

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
from tests.observables.test_undisturbed import all_tables

from glassyrun import Draw, Evaluation, Footprint, State, System, graphs
from glassyrun.experiment import Setting
from glassyrun.watch import Watch
from glassyrun_dynamics.sgd import SGD
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
    for name in ("last", "largest", "energy"):
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


def test_a_replay_that_changes_bits_is_not_used(
    captured: list[Replays], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Where bits are promised; where they are not, it is."""

    class Sloppy(Replays):
        def replay(self) -> None:
            super().replay()
            fixed = graphs_states[-1]
            fixed.x[0, 0] += 1e-6

    graphs_states: list[object] = []
    monkeypatch.setattr(graphs, "recorded", lambda step, device: captured.append(Sloppy(step)) or captured[-1])
    real = graphs.StepGraph.__init__

    def kept(self: graphs.StepGraph, system: object, state: object, *rest: object) -> None:
        graphs_states.append(state)
        real(self, system, state, *rest)

    monkeypatch.setattr(graphs.StepGraph, "__init__", kept)
    ends = {}
    for name, run in {"promised": {}, "free": {"deterministic": False}, "plain": {"cuda_graphs": False}}.items():
        with caplog.at_level(logging.INFO, "glassyrun"):
            ends[name] = final_state(load(tables("quadratic", "sgd", run=run)), tmp_path / name).x
    assert "a replay would change bits" in caplog.text
    assert torch.equal(ends["promised"], ends["plain"])
    assert not torch.equal(ends["free"], ends["plain"])


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
