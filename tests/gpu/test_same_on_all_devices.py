"""What a GPU must have in common with a CPU: the sample, the looks, the readings; and what it promises by itself.

The promises about runs (bits, resuming, readings that do not disturb) are tested on a GPU by the tests that a CPU has:

    GLASSYRUN_TEST_DEVICE=cuda pytest tests/gpu tests/engine tests/observables tests/networks tests/dynamics
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr

import glassyrun
from glassyrun import Dynamics, Evaluation, Stream, api, graphs
from glassyrun.experiment import Setting, numerics
from glassyrun.spec.model import Spec
from glassyrun.state import State
from glassyrun.system import System
from glassyrun.watch import Watch
from glassyrun_quadratic.quadratic import Quadratic
from tests.engine.test_resume import attempt
from tests.engine_tools import PAIRS, SYSTEMS, Crash, final_state, load, tables
from tests.observables.test_undisturbed import all_tables

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

DATA = {"kind": "cifar10", "if_absent": "sample", "train": 60, "test": 20}
KINDS: dict[str, dict[str, Any]] = SYSTEMS | {
    "p = 2": {"kind": "pspin", "p": 2, "n": 40},
    "p = 4": {"kind": "pspin", "p": 4, "n": 17},
    "mixture": {"kind": "pspin", "mixture": {"3": 1.0, "4": 0.5}, "n": 15},
    "binary": {"kind": "pspin", "p": 3, "n": 30, "couplings": "binary"},
    "planted": {"kind": "pspin", "p": 3, "n": 30, "initial_temperature": 0.8},
    "diluted": {"kind": "pspin", "p": 3, "n": 40, "dilution": 3300},
    "large": {"kind": "pspin", "p": 3, "n": 150},
    "mlp": {"kind": "mlp", "widths": [9, 7], "data": DATA},
    "resnet18": {"kind": "resnet18", "data": DATA, "chunk": 30},
    "resnet18, group norm": {"kind": "resnet18", "data": DATA, "norm": "group", "stem": "cifar"},
}


def begun(kind: str, device: str, dtype: str = "float64", moves: str = "sgd") -> tuple[Spec, System, State]:
    spec = load(tables("quadratic", moves, system=KINDS[kind], observables=[], run={"device": device, "dtype": dtype}))
    setting = Setting.of(spec)
    system = setting.system(0)
    return spec, system, setting.start(system, setting.dynamics(system, 0), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_is_one_sample_and_one_look(kind: str) -> None:
    """The start to the bit; energy, gradient, those of mini-batches and products with the Hessian to rounding, in float64."""
    spec, here, start = begun(kind, "cpu")
    _, there, begin = begun(kind, "cuda")
    assert torch.equal(start.x, begin.x.cpu())
    batch = torch.arange(2 * 7).view(2, 7) * 5 % here.terms
    along = torch.randn(2, here.dof, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with numerics(spec):
        looks = [
            lambda system, state: system.gradient(state).energy,
            lambda system, state: system.gradient(state).gradient,
            lambda system, state: system.gradient(state, batch.to(state.x.device)).gradient,
            lambda system, state: system.energy(state, batch[0].to(state.x.device)),
            lambda system, state: system.energy(state),
        ]
        if hasattr(here, "hessian_product") and "resnet18" not in kind:
            looks.append(lambda system, state: system.hessian_product(state, along.to(state.x.device)))
        for look in looks:
            expected, found = look(here, start), look(there, begin)
            scale = float(expected.abs().max())
            torch.testing.assert_close(found.cpu(), expected, rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("kind", ["cnn", "mlp", "resnet18", "resnet18, group norm", "large"])
def test_looks_in_single_precision(kind: str) -> None:
    """Each replica, wherever in memory its weights begin."""
    spec, here, start = begun(kind, "cpu", "float32")
    _, there, begin = begun(kind, "cuda", "float32")
    terms = torch.arange(40).expand(2, -1)
    with numerics(spec):
        expected = here.gradient(start, terms).gradient
        found = there.gradient(begin, terms.cuda()).gradient
        energies = there.energy(begin).cpu(), here.energy(start)
    for row, reference in zip(found.cpu(), expected, strict=True):
        assert float((row - reference).norm() / reference.norm()) < 1e-2
    torch.testing.assert_close(*energies, rtol=1e-4, atol=1e-4)


CAPTURED = [*PAIRS, ("mlp", "sgd"), ("resnet18", "sgd"), ("resnet18, group norm", "langevin")]


@pytest.mark.parametrize(("kind", "moves"), CAPTURED)
def test_graphs_are_used_and_change_no_bit(kind: str, moves: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32, where kernels that repeat every bit are asked for."""
    replayed: list[int] = []
    advance = graphs.StepGraph.advance

    def counted(graph: graphs.StepGraph, dynamics: Dynamics, state: State, n: int, watch: Watch | None) -> int:
        replayed.append(advance(graph, dynamics, state, n, watch))
        return replayed[-1]

    monkeypatch.setattr(graphs.StepGraph, "advance", counted)
    ends = {}
    for wanted in (True, False):
        run = {"device": "cuda", "deterministic": True, "cuda_graphs": wanted}
        spec = load(tables("quadratic", moves, 8, system=KINDS[kind], observables=[], run=run))
        ends[wanted] = final_state(spec, tmp_path / str(wanted))
        assert sum(replayed) == (7 if moves == "adams" else 8)
    assert torch.equal(ends[True].x, ends[False].x)
    for name, value in ends[False].system.items():
        assert torch.equal(ends[True].system[name], value)


def test_a_step_that_asks_the_host_is_taken_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A capture that fails leaves the GPU as it was."""
    gradient = Quadratic.gradient

    def asking(self: Quadratic, state: State, batch: torch.Tensor | None = None) -> Evaluation:
        evaluation = gradient(self, state, batch)
        assert float(evaluation.energy.sum()) >= 0
        return evaluation

    monkeypatch.setattr(Quadratic, "gradient", asking)
    ends = {}
    for wanted in (True, False):
        spec = load(tables("quadratic", "sgd", run={"device": "cuda", "deterministic": True, "cuda_graphs": wanted}))
        with caplog.at_level(logging.INFO, "glassyrun"):
            ends[wanted] = final_state(spec, tmp_path / str(wanted)).x
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert "not captured in a CUDA graph" in caplog.text
    assert torch.equal(ends[True], ends[False])


@pytest.mark.parametrize(("system", "moves"), [(system, moves) for system, moves in PAIRS if moves in ("quench", "sgd")])
def test_readings_agree(system: str, moves: str, tmp_path: Path) -> None:
    """Every observable of a trajectory without thermal noise, in float64."""
    kinds = [k for k in all_tables(system, moves, 4)["observables"] if k["kind"] not in ("response", "clone")]
    found = {}
    for device in ("cpu", "cuda"):
        spec = load(all_tables(system, moves, 4, kinds, run={"device": device, "dtype": "float64"}))
        found[device] = glassyrun.run(spec, tmp_path / device, quiet=True)
    assert set(found["cpu"].data_vars) == set(found["cuda"].data_vars)
    for name, expected in found["cpu"].data_vars.items():
        atol = 1e-12 + 1e-8 * float(abs(expected).max()) if expected.dtype.kind == "f" else 0
        xr.testing.assert_allclose(found["cuda"][name], expected, rtol=1e-6, atol=atol)


@pytest.mark.parametrize(("system", "moves"), PAIRS)
@pytest.mark.parametrize("captured", [True, False])
def test_steps_do_not_wait_for_the_host(system: str, moves: str, captured: bool) -> None:
    """A chunk of steps is handed to the GPU without a pause, captured or not; torch raises where something would wait."""
    spec = load(tables(system, moves, run={"device": "cuda"}))
    setting = Setting.of(spec)
    built = setting.system(0)
    dynamics = setting.stages(built, 0)[0]
    state = setting.start(built, dynamics, 0)
    with numerics(spec), graphs.cuda_graphs(captured):
        dynamics.advance(built, state, 2)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(3):
                dynamics.advance(built, state, 3)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert bool(torch.isfinite(state.x).all())


def test_noise_is_normal_and_keyed() -> None:
    """Moments of a million numbers; equal for equal keys, uncorrelated for others."""
    device = torch.device("cuda")

    def drawn(name: str, index: int = 0) -> torch.Tensor:
        return Stream(name, 1, 0).normal((10**6,), dtype=torch.float64, device=device, index=index)

    a = drawn("a")
    assert torch.equal(a, drawn("a"))
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        deviation = {1: 1.0, 2: 2**0.5, 3: 15**0.5, 4: 96**0.5}[power]
        assert abs(float((a**power).mean()) - moment) < 5e-3 * deviation
    for other in (drawn("b"), drawn("a", 1)):
        assert abs(float((a * other).mean())) < 5e-3


def test_a_gpu_is_a_term_of_the_promise(tmp_path: Path) -> None:
    """A run begun on a CPU can't go on with the same bits on a GPU."""
    here = load(tables("pspin", "langevin", run={"checkpoint_seconds": 1e-9, "device": "cpu"}))
    assert not attempt(here, tmp_path / "run", Crash(after=3))
    moved = load(tables("pspin", "langevin", run={"checkpoint_seconds": 1e-9, "device": "cuda"}))
    with pytest.raises(glassyrun.Refusal, match="device"):
        api.execute(moved, tmp_path / "run", quiet=True)


def test_what_does_not_fit_is_refused_before_it_begins(tmp_path: Path) -> None:
    spec = load(tables("pspin", "quench", system={"kind": "pspin", "p": 3, "n": 9000}, run={"device": "cuda"}))
    with pytest.raises(glassyrun.GlassyrunError, match="GB"):
        glassyrun.run(spec, tmp_path / "run", quiet=True)


def test_memory_that_runs_out_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An allocation in a step fails as one on a full GPU does: what was committed stays."""
    spec = load(tables("quadratic", "quench", run={"device": "cuda"}))
    monkeypatch.setattr(
        "glassyrun_quadratic.quadratic.Quadratic.gradient",
        lambda self, state, batch=None: torch.empty(2**50, dtype=torch.uint8, device="cuda"),
    )
    with pytest.raises(glassyrun.OutOfMemory, match="memory"):
        glassyrun.run(spec, tmp_path / "run", quiet=True)


def test_auto_takes_the_gpu(tmp_path: Path) -> None:
    ds = glassyrun.run(
        load(tables("pspin", "quench", run={"device": "auto", "deterministic": False})), tmp_path / "run", quiet=True
    )
    assert ds.attrs["device"] == torch.cuda.get_device_name(0)
    assert ds.attrs["deterministic"] == "no"
