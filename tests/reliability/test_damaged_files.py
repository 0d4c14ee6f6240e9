"""Damaged and hostile files in a run directory: the same bytes in the end, or one sentence; never a wrong number in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reliability.damage import KINDS, Bases, Trial, watching

TRIALS = 300
"""Of each kind."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return Bases(tmp_path_factory.mktemp("bases"))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_told_or_does_no_harm(kind: str, bases: Bases, tmp_path: Path) -> None:
    trials = [Trial(bases, kind, seed) for seed in range(TRIALS)]
    wrong = [text for trial in trials for text in trial.go(tmp_path / "trial")]
    assert len({trial.what.rpartition(": ")[2].split(" ")[0] for trial in trials}) > 5  # many ways
    assert not wrong, f"{len(wrong)} of {TRIALS}:\n" + "\n".join(wrong[:20])


@pytest.mark.parametrize("kind", ["checkpoint", "shard"])
def test_a_program_that_trusts_its_files_is_seen(
    kind: str, bases: Bases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without digests a flipped bit is a wrong number."""
    monkeypatch.setattr("glassyrun.store.read_checked", lambda directory, name, *_: (directory / name).read_bytes())
    trials = [Trial(bases, kind, seed) for seed in range(60)]
    assert any(trial.go(tmp_path / "trial") for trial in trials)


def test_a_hand_that_reaches_outside_is_seen(tmp_path: Path) -> None:
    with watching(tmp_path) as touched:
        (tmp_path / "a").write_bytes(b"1")
        os.rename(tmp_path / "a", tmp_path / "b")
        (tmp_path / "b").unlink()
    assert [text.split()[0] for text in touched] == ["open", "os.rename", "os.rename", "os.remove"]
