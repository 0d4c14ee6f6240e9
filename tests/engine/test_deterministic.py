"""`run.deterministic`: kernels that repeat every bit, or those that are fastest; either way the result says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.test_housekeeping import spied
from tests.engine.test_resume import attempt
from tests.engine_tools import Crash, load, tables

import glassyrun
from glassyrun import api, machine
from glassyrun.experiment import Setting, numerics


@pytest.mark.parametrize(("run", "holds"), [({}, True), ({"deterministic": True}, True), ({"deterministic": False}, False)])
def test_kernels_are_as_the_spec_says(run: dict[str, Any], holds: bool) -> None:
    seen: set[tuple[bool, bool]] = set()

    def spy(kept: object) -> float:
        seen.add((torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic))
        return 0.0

    ds = glassyrun.run(spied(load(tables("quadratic", "sgd", steps=3, run=run)), spy), quiet=True)
    assert seen == {(holds, holds)}
    assert ds.attrs["deterministic"] == ("yes" if holds else "no")


@pytest.mark.parametrize(("device", "wanted", "holds"), [("cuda", None, False), ("cuda", True, True), ("cpu", None, True)])
def test_a_gpu_has_fast_kernels_unless_told(
    device: str, wanted: bool | None, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "device_of", lambda name: torch.device(name))
    run = {"device": device} if wanted is None else {"device": device, "deterministic": wanted}
    spec = load(tables("quadratic", "sgd", run=run))
    assert machine.deterministic(spec) == holds
    before = torch.backends.cudnn.deterministic
    with numerics(spec):
        assert torch.are_deterministic_algorithms_enabled() == holds
        assert torch.backends.cudnn.deterministic == holds
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic == before


def test_it_is_a_term_of_the_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same spec, gone on with where the default is another one, can't promise the same bits."""
    spec = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9}))
    assert Setting.of(spec).promise()["deterministic"] == "yes"
    assert not attempt(spec, tmp_path / "run", Crash(after=3))
    monkeypatch.setattr("glassyrun.experiment.deterministic", lambda spec: False)
    with pytest.raises(glassyrun.Refusal, match="deterministic was yes, now no"):
        api.execute(spec, tmp_path / "run", quiet=True)
