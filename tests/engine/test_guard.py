"""A plugin that breaks its contract is named, in one sentence, and never gives a silently wrong number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from pydantic import PrivateAttr
from tests.engine_tools import load, tables

import glassyrun
from glassyrun import (
    Evaluation,
    Footprint,
    Observable,
    ObservableOptions,
    PluginError,
    State,
    System,
    SystemOptions,
    Variable,
    api,
)
from glassyrun.guard import ran_out
from glassyrun.spec.model import Spec


class Sound(System):
    """H = x²/2 in two dimensions, which hands out x itself as its gradient."""

    def __init__(self) -> None:
        self.dof, self.terms, self.blocks, self.energy_scale = 2, 1, {"x": slice(0, 2)}, 1.0

    def initial(self, streams: Any) -> State:
        return State(torch.ones(len(streams), 2))

    def energy(self, state: State, terms: Any = None) -> torch.Tensor:
        return 0.5 * state.x.square().sum(1)

    def gradient(self, state: State, batch: Any = None) -> Evaluation:
        return Evaluation(self.energy(state), state.x, state.system)


@attrs.define
class Broken:
    """Replaces one thing of a sound System."""

    name: str
    value: Any


class BrokenOptions(SystemOptions):
    """A System of which one thing is broken."""

    kind: str = "broken"
    _how: Any = PrivateAttr(None)

    def footprint(self, context: Any) -> Any:
        return self._how.value() if self._how and self._how.name == "footprint" else Footprint(2, 1, 0)

    def build(self, context: Any) -> Any:
        if self._how and self._how.name == "build":
            return self._how.value()
        system = Sound()
        if self._how:
            setattr(system, self._how.name, self._how.value)
        return system


def spec_with(how: Broken | None, steps: int = 5, **changes: Any) -> Spec:
    plain = load(tables("quadratic", "quench", steps=steps, observables=[{"kind": "energy"}], **changes))
    system = BrokenOptions()
    system._how = how
    return plain.model_copy(update={"system": system})


def boom(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("boom")


def nothing(*_: Any, **__: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("footprint", boom, "ZeroDivisionError: boom"),
        ("footprint", nothing, "footprint"),
        ("build", boom, "ZeroDivisionError: boom"),
        ("build", nothing, "built NoneType"),
        ("initial", boom, "ZeroDivisionError: boom"),
        ("initial", nothing, "started from NoneType"),
        ("initial", lambda streams: State(torch.ones(1, 2)), r"shape \(1, 2\).*expected a State with x of shape \(2, 2\)"),
        ("initial", lambda streams: State(torch.ones(2, 2, dtype=torch.float64)), "float64"),
        ("gradient", boom, "under dynamics.*ZeroDivisionError: boom"),
        ("gradient", nothing, "AttributeError"),
        ("gradient", lambda state, batch=None: Evaluation(torch.ones(()), torch.ones(2, 2)), r"energy of shape \(\)"),
        ("energy_scale", 0.0, "energy_scale"),
        ("dof", 0, "dof"),
        ("bottom", "deep", "bottom"),
        ("manifold", "flat", "manifold"),
    ],
)
def test_a_system_that_breaks_its_contract(name: str, value: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=said) as caught:
        api.execute(spec_with(Broken(name, value)), tmp_path / "run", quiet=True)
    assert "broken" in str(caught.value) or str(caught.value).startswith("system:")
    assert "\n" not in str(caught.value)


def test_a_gradient_that_would_broadcast() -> None:
    with pytest.raises(PluginError, match=r"gradient of shape \(1, 2\) for x of shape \(2, 2\)"):
        Evaluation(torch.ones(2), torch.ones(1, 2)).check(State(torch.ones(2, 2)))


def test_a_start_that_is_not_finite() -> None:
    how = Broken("initial", lambda streams: State(torch.full((2, 2), torch.nan)))
    with pytest.raises(glassyrun.Refusal, match="NaN or infinite"):
        glassyrun.run(spec_with(how), quiet=True)


SIGNS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", SIGNS)
@pytest.mark.parametrize("where", ["build", "gradient"])
def test_memory_that_runs_out_is_a_sentence(error: Exception, where: str, tmp_path: Path) -> None:
    def hungry(*_: Any) -> Any:
        raise error

    with pytest.raises(glassyrun.GlassyrunError, match=r'^system "broken".*: out of memory; take fewer replicas') as caught:
        api.execute(spec_with(Broken(where, hungry)), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


def test_torch_tells_of_no_memory_as_we_expect() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.int64)
    assert ran_out(caught.value)
    assert not ran_out(RuntimeError("boom"))


def test_the_place_of_a_plugin_error_is_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(PluginError):
        api.execute(spec_with(Broken("gradient", boom)), tmp_path / "run", quiet=True)
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert any("def boom" in entry.get("traceback", "") or "in boom" in entry.get("traceback", "") for entry in entries)


@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_a_gradient_that_is_x_itself_is_not_moved_under_the_step(scheme: str) -> None:
    """H = x²/2: Euler gives (1 − dt)ⁿ, Heun (1 − dt + dt²/2)ⁿ."""
    spec = spec_with(None, dynamics={"kind": "quench", "dt": 0.05, "scheme": scheme}, run={"dtype": "float32"})
    factor = 1 - 0.05 + (0.05**2 / 2 if scheme == "heun" else 0.0)
    energy = glassyrun.run(spec, quiet=True).energy.isel(sample=0, replica=0)
    assert float(energy[-1]) == pytest.approx(factor**10, rel=1e-5)


class Loose(Observable):
    def __init__(self, **what: Any) -> None:
        self.__dict__.update({"grid": "time", "variables": {"loose": Variable("loose")}} | what)

    def read(self, now: Any, then: Any) -> dict[str, torch.Tensor]:
        return {name: torch.zeros(2, *(len(c) for c in v.coords.values())) for name, v in self.variables.items()}


class LooseOptions(ObservableOptions):
    """An observable that announces anything."""

    kind: str = "loose"
    _what: Any = PrivateAttr(None)

    def build(self, context: Any, system: Any) -> Any:
        return self._what


def measured(*observables: Any) -> None:
    options = [LooseOptions(name=f"loose{k}") for k in range(len(observables))]
    for option, observable in zip(options, observables, strict=True):
        option._what = observable
    glassyrun.run(load(tables("quadratic", "sgd", steps=2)).model_copy(update={"observables": options}), quiet=True)


def banded(values: list[int]) -> dict[str, Variable]:
    return {f"banded{values[0]}": Variable("banded", dims=("replica", "band"), coords={"band": values})}


@pytest.mark.parametrize(
    ("observables", "said"),
    [
        ((None,), "built NoneType"),
        ((Loose(grid="sometimes"),), "sometimes"),
        ((Loose(variables=None),), "variables"),
        ((Loose(variables={"t_w": Variable("x")}),), "that of a coordinate"),
        ((Loose(variables={"loose": Variable("x", dims=("replica", "band"))}),), "coords"),
        ((Loose(variables={"loose": Variable("x", dims=("replica", "time"), coords={"time": [1]})}),), "none of them called"),
        ((Loose(variables={"loose": Variable("x", attributes={"a": object()})}),), "attributes"),
        ((Loose(variables=banded([1, 2])), Loose(variables=banded([2, 3]))), "different values of 'band'"),
    ],
)
def test_an_observable_that_announces_what_can_not_be(observables: tuple[Any, ...], said: str) -> None:
    with pytest.raises(glassyrun.GlassyrunError, match=said):
        measured(*observables)


def test_sound_observables_with_a_dimension_of_their_own_pass() -> None:
    measured(Loose(variables=banded([1, 2])))


def test_a_divergence_without_a_directory_keeps_what_was_measured() -> None:
    dynamics = {"kind": "sgd", "learning_rate": 1e4, "batch_size": 4}
    with pytest.raises(glassyrun.Diverged) as caught:
        glassyrun.run(tables("quadratic", "sgd", steps=60, dynamics=dynamics), quiet=True)
    assert caught.value.partial.energy.isel(time=0).notnull().all()
