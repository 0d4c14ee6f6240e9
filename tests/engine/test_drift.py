"""Other terms than a run was begun on: refused, or gone on with by request, and then the result says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from tests.engine.test_checkpoints import flipped, manifest_of
from tests.engine.test_resume import attempt
from tests.engine_tools import Crash, load, tables

import glassyrun
from glassyrun import api, cli, result
from glassyrun.experiment import Setting
from glassyrun.spec.model import EnsembleOptions, Spec

OFTEN = {"checkpoint_seconds": 1e-9}


def spec_of(steps: int = 12, **run: Any) -> Spec:
    schedule = {"horizon": float(steps), "time": {"from": 0.0, "per_decade": 10}}
    return load(tables("quadratic", "sgd", schedule=schedule, run=OFTEN | run))


def elsewhere(monkeypatch: pytest.MonkeyPatch, **terms: str) -> None:
    """As if the machine or the installed code were others from here on."""
    there = Setting.promise
    monkeypatch.setattr(Setting, "promise", lambda self: there(self) | terms)


CHANGES = [
    ("device", "an abacus"),
    ("versions", json.dumps({"torch": "0.1"})),
    ("plugins", json.dumps({"mine.py": "0"})),
    ("threads", "77"),
]


@pytest.mark.parametrize(("term", "value"), CHANGES)
def test_other_terms_are_refused_with_the_way_on(term: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not attempt(spec_of(), tmp_path, Crash(after=3))
    elsewhere(monkeypatch, **{term: value})
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(glassyrun.Refusal, match=f"{term}.*--allow-drift to go on without the promise of equal bits$"):
        api.execute(spec_of(), tmp_path, quiet=True)
    assert (tmp_path / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(("term", "value"), CHANGES)
def test_by_request_it_goes_on_and_the_result_says_so(
    term: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api.execute(spec_of(), tmp_path / "whole", quiet=True)
    assert not attempt(spec_of(), tmp_path / "run", Crash(after=3))
    checkpoint = manifest_of(tmp_path / "run").checkpoint
    assert checkpoint is not None
    elsewhere(monkeypatch, **{term: value})
    api.execute(spec_of(), tmp_path / "run", quiet=True, allow_drift=True)
    assert f"WARNING: the terms have changed ({term}" in capsys.readouterr().err
    drifted, whole = result.assemble(tmp_path / "run"), result.assemble(tmp_path / "whole")
    assert drifted.attrs["drift"].startswith(f"from step {checkpoint.about['step']} of sample 0 on: {term}")
    assert "drift" not in whole.attrs
    assert drifted.attrs[term] == whole.attrs[term]  # on what it was begun
    np.testing.assert_array_equal(drifted.energy, whole.energy)  # the terms were others by name only


def test_it_is_told_once_and_going_back_is_another_drift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of(12)
    assert not attempt(spec, tmp_path, Crash(after=3))
    with monkeypatch.context() as patch:
        elsewhere(patch, device="an abacus")
        api.execute(spec, tmp_path, quiet=True, allow_drift=True)
        capsys.readouterr()
        api.execute(spec_of(24), tmp_path, quiet=True)
        assert "terms have changed" not in capsys.readouterr().err
    with pytest.raises(glassyrun.Refusal, match="device was an abacus"):
        api.execute(spec_of(120), tmp_path, quiet=True)
    api.execute(spec_of(120), tmp_path, quiet=True, allow_drift=True)
    assert len(result.assemble(tmp_path).attrs["drift"].splitlines()) == 2


def test_threads_of_the_spec_may_change_by_request(tmp_path: Path) -> None:
    assert not attempt(spec_of(threads=1), tmp_path, Crash(after=3))
    with pytest.raises(glassyrun.Refusal, match=r"run.threads was 1, now 2; say --allow-drift"):
        api.execute(spec_of(threads=2), tmp_path, quiet=True)
    api.execute(spec_of(threads=2), tmp_path, quiet=True, allow_drift=True)
    ds = result.assemble(tmp_path)
    assert "run.threads was 1, now 2" in ds.attrs["drift"]
    assert "threads = 2" in ds.attrs["spec"]
    assert api.execute(spec_of(threads=2), tmp_path, quiet=True).already_done


def test_a_run_that_grows_says_from_where_each_sample_drifts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished samples go on from their ends; added ones are other ones from the start."""
    ensemble = {"replicas": 2, "samples": 2}
    short, long = (
        spec_of(steps).model_copy(update={"ensemble": EnsembleOptions.model_validate(ensemble)}) for steps in (12, 120)
    )
    more = short.model_copy(update={"ensemble": short.ensemble.model_copy(update={"samples": 3})})
    for spec, place in ((long, "longer"), (more, "more")):
        api.execute(short, tmp_path / place, quiet=True)
        with monkeypatch.context() as patch:
            elsewhere(patch, device="an abacus")
            api.execute(spec, tmp_path / place, quiet=True, allow_drift=True)
    said = [result.assemble(tmp_path / place).attrs["drift"] for place in ("longer", "more")]
    assert said[0].startswith("from step 12 of samples 0 to 1 on: device was")
    assert said[1].startswith("from step 0 of sample 2 on: device was")


def test_a_growth_that_is_refused_is_no_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lags = {"t": {"from": 0.0, "n": 6}}
    short, long = (load(tables("quadratic", "sgd", schedule={"horizon": steps} | lags)) for steps in (10.0, 35.0))
    api.execute(short, tmp_path, quiet=True)
    before = (tmp_path / "manifest.json").read_bytes()
    elsewhere(monkeypatch, device="an abacus")
    with pytest.raises(glassyrun.Refusal, match="is no point of the grid"):
        api.execute(long, tmp_path, quiet=True, allow_drift=True)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_a_damaged_checkpoint_takes_the_drift_back_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not attempt(spec_of(), tmp_path, Crash(after=5))
    manifest = manifest_of(tmp_path)
    assert manifest.checkpoint is not None
    assert manifest.previous is not None
    flipped(tmp_path / manifest.checkpoint.file)
    elsewhere(monkeypatch, device="an abacus")
    api.execute(spec_of(), tmp_path, quiet=True, allow_drift=True)
    said = result.assemble(tmp_path).attrs["drift"].splitlines()
    assert said[0].startswith(f"from step {manifest.checkpoint.about['step']} of sample 0 on: device was")
    assert said[1] == f"from step {manifest.previous.about['step']} of sample 0 on again: a checkpoint was damaged"
    assert "with the same numbers" not in capsys.readouterr().err


def test_another_seed_is_no_drift(tmp_path: Path) -> None:
    assert not attempt(spec_of(), tmp_path, Crash(after=3))
    with pytest.raises(glassyrun.Refusal, match="seed was 3, now 4") as caught:
        api.execute(spec_of().model_copy(update={"seed": 4}), tmp_path, quiet=True, allow_drift=True)
    assert "--allow-drift" not in str(caught.value)


def test_the_command_line_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(tomli_w.dumps(tables("quadratic", "sgd", run=OFTEN)))
    assert not attempt(load(tables("quadratic", "sgd", run=OFTEN)), tmp_path / "run", Crash(after=3))
    elsewhere(monkeypatch, device="an abacus")
    command = [str(spec), "-o", str(tmp_path / "run"), "--quiet"]
    assert cli.main(command) == 2
    assert cli.main([*command, "--allow-drift"]) == 0
