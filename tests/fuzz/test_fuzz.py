"""Thousands of hostile specs and data files: each is read or refused in a sentence that names a place; never a traceback.

The seeds are fixed. More of them: `benchmarks/campaign.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glassyrun import Refusal
from glassyrun.registry import Registry
from glassyrun.spec.load import load_spec
from tests.fuzz.bases import OWN, bases
from tests.fuzz.generate import idx_original, mutated_idx, mutated_npz, mutated_spec
from tests.fuzz.judge import judge_idx, judge_npz, judge_spec, lay_data, offline

SHARES = 10
"""Parts of the seeds, so that several processes share the work."""
SPECS, HYPOTHESES, FILES = 1600, 400, 300


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    with offline():
        yield


def part(total: int, share: int) -> range:
    return range(share, total, SHARES)


@pytest.mark.parametrize("share", range(SHARES))
def test_mutated_specs(share: int, tmp_path: Path, registry: Registry, data: Path) -> None:
    file = tmp_path / "x.toml"
    faults: dict[int, str] = {}
    for seed in part(SPECS, share):
        file.write_bytes(mutated_spec(seed))
        if fault := judge_spec(file, registry, data):
            faults[seed] = fault
    assert not faults


@settings(max_examples=HYPOTHESES, deadline=None, derandomize=True, database=None)
@given(base=st.sampled_from(OWN), begin=st.floats(0, 1), length=st.integers(0, 30), other=st.text(max_size=20))
def test_any_stretch_of_a_spec_replaced(
    base: str, begin: float, length: int, other: str, registry: Registry, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    at = int(begin * len(base))
    file = tmp_path_factory.getbasetemp() / "stretch.toml"
    file.write_bytes((base[:at] + other + base[at + length :]).encode("utf-8", "surrogatepass"))
    with offline():
        assert judge_spec(file, registry, data) is None


def test_mutated_npz(tmp_path: Path) -> None:
    faults: dict[int, str] = {}
    for seed in range(FILES):
        (tmp_path / "x.npz").write_bytes(mutated_npz(seed))
        if fault := judge_npz(tmp_path / "x.npz"):
            faults[seed] = fault
    assert not faults
    assert [file.name for file in tmp_path.iterdir()] == ["x.npz"]


def test_mutated_idx(tmp_path: Path) -> None:
    faults: dict[int, str] = {}
    for seed in range(FILES):
        name, content = mutated_idx(seed)
        (tmp_path / name).write_bytes(content)
        if fault := judge_idx(tmp_path / name):
            faults[seed] = fault
    assert not faults


def test_what_is_mutated_is_good(tmp_path: Path, registry: Registry, data: Path) -> None:
    """Else every refusal would be a matter of course."""
    for text in bases():
        (tmp_path / "x.toml").write_text(text)
        assert load_spec(tmp_path / "x.toml", (), registry)
        assert judge_spec(tmp_path / "x.toml", registry, data) is None
    (tmp_path / "whole").write_bytes(idx_original())
    assert judge_idx(tmp_path / "whole") is None


def test_a_fair_share_comes_through(tmp_path: Path, registry: Registry) -> None:
    def accepted(seed: int) -> bool:
        (tmp_path / "x.toml").write_bytes(mutated_spec(seed))
        try:
            load_spec(tmp_path / "x.toml", (), registry)
        except Exception:  # noqa: BLE001 -- what it is told for is tested above
            return False
        return True

    assert 20 < sum(map(accepted, range(100))) < 80


@pytest.mark.parametrize("make", [mutated_spec, mutated_npz, mutated_idx])
def test_a_seed_gives_the_same_bytes_again(make) -> None:
    assert [make(seed) for seed in range(30)] == [make(seed) for seed in range(30)]
    assert make(1) != make(2)


def test_the_judge_sees_faults(tmp_path: Path, registry: Registry, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.toml"
    file.write_text(OWN[1])
    for raised, words in {
        KeyError("x"): "planning raised KeyError",
        Refusal("two\nlines"): "not one sentence",
        Refusal("too much"): "names no field",
        torch.OutOfMemoryError("x"): "planning raised OutOfMemoryError",
    }.items():

        def fail(*_: object, raised: Exception = raised) -> None:
            raise raised

        monkeypatch.setattr("tests.fuzz.judge._planned", fail)
        assert (judge_spec(file, registry, data) or "").startswith(words)
    monkeypatch.setattr("glassyrun.spec.load.read_document", fail)
    assert (judge_spec(file, registry, data) or "").startswith("loading raised")
