"""Disorder that is drawn as it is looked at has the joint law of all couplings drawn at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy import stats
from tests.pspin.lazy.dense import Array, quench

from glassyrun import Stream
from glassyrun_pspin.lazy import tensor
from glassyrun_pspin.lazy.axes import Axes, Overlaps, Sites
from glassyrun_pspin.lazy.disorder import Disorder, padded

DT, STEPS, MARKS = 0.25, 8, (2, 8)
CASES: dict[str, tuple[dict[int, float], int, int]] = {
    "p = 2": ({2: 1.0}, 12, 1500),
    "p = 3": ({3: 1.0}, 8, 3000),
    "p = 3, more sites": ({3: 1.0}, 24, 1000),
    "p = 4": ({4: 1.0}, 8, 1200),
    "2 + 3": ({2: 0.7, 3: 1.0}, 10, 1200),
    "3 + 4": ({3: 1.0, 4: 0.8}, 8, 1200),
}


def lazy_quench(mixture: Mapping[int, float], n: int, count: int, seed: int, explicit: bool = False) -> Array:
    """What `dense.quench` gives, of two replicas."""
    torch.set_num_threads(1)
    rows: list[list[float]] = []
    for sample in range(count):
        axes: Axes = Sites(n) if explicit else Overlaps(n)
        stream = Stream("test", seed, sample)
        drawn = Disorder(mixture, n, axes, stream)
        starts = [axes.isotropic(stream.child("start"), replica) for replica in range(2)]
        x = torch.stack([padded(start, axes.count) for start in starts])
        x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        for step in range(STEPS + 1):
            energy, force = drawn.look(x)
            x = padded(x, axes.count)
            if step in MARKS:
                kept.append((energy, x))
            x = x + DT * (force - (force * x).sum(1, keepdim=True) * x)
            x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
        (early, then), (late, now) = kept
        then = padded(then, now.shape[1])
        rows.append([float(early[0]), float(late[0]), float(then[0] @ now[0]), float(now[0] @ now[1])])
    return np.array(rows)


def features(readings: Array) -> Array:
    """All moments up to the second, mixed ones too, and the third of each, about means that both laws share."""
    centred = readings - CENTRE
    pairs = [centred[:, i] * centred[:, j] for i in range(4) for j in range(i, 4)]
    return np.column_stack([centred, *pairs, *(centred[:, i] ** 3 for i in range(4))])


CENTRE = np.array([-0.5, -0.85, 0.75, 0.0])


def chance(ours: Array, theirs: Array) -> float:
    """Probability of features so far apart, or farther, if the laws are one: χ² over all of them together."""
    a, b = features(ours), features(theirs)
    spread = np.cov(a.T) / len(a) + np.cov(b.T) / len(b)
    apart = a.mean(0) - b.mean(0)
    return float(stats.chi2.sf(apart @ np.linalg.solve(spread, apart), len(apart)))


def compare(ours: Array, theirs: Array) -> None:
    assert chance(ours, theirs) > 1e-3
    for reading in range(4):
        assert stats.ks_2samp(ours[:, reading], theirs[:, reading]).pvalue > 2e-4


@pytest.mark.parametrize("case", CASES)
def test_the_joint_law_is_that_of_all_couplings(case: str) -> None:
    """With two replicas on one disorder; at N = 8 more is looked at than there are dimensions."""
    mixture, n, count = CASES[case]
    compare(lazy_quench(mixture, n, count, 1), quench(mixture, n, 5 * count, 2, DT, STEPS, MARKS, 2))


def test_explicit_spins_have_the_same_law() -> None:
    compare(lazy_quench({3: 1.0}, 16, 1000, 3, explicit=True), lazy_quench({3: 1.0}, 16, 1000, 4))


def wrong_diagonals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variance of the entries S_aaa that is twice too large."""
    drawn = tensor.RandomTensor._draw

    def draw(self: tensor.RandomTensor) -> np.ndarray:
        block = drawn(self)
        block[-1] *= math.sqrt(2)
        self.pages[-1].numbers[
            tensor.entries(self.directions, self.degree) - tensor.entries(self.pages[-1].first, self.degree) - 1
        ] = block[-1]
        return block

    monkeypatch.setattr(tensor.RandomTensor, "_draw", draw)


def no_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    """New entries that know nothing of the forces that were seen."""
    solved = Disorder._solved
    monkeypatch.setattr(
        Disorder, "_solved", lambda self, right, transposed=False: solved(self, right, transposed) * (not transposed)
    )


def no_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """New entries that are conditioned as if the unconditional draw pushed nowhere."""
    reveal = tensor.RandomTensor.reveal
    monkeypatch.setattr(tensor.RandomTensor, "reveal", lambda self, pivots: reveal(self, pivots) * 0)


@pytest.mark.parametrize("mistake", [wrong_diagonals, no_condition, no_draw])
def test_a_mistake_in_the_law_is_seen(mistake, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = quench({3: 1.0}, 8, 20_000, 2, DT, STEPS, MARKS, 5)
    mistake(monkeypatch)
    assert chance(lazy_quench({3: 1.0}, 8, 3000, 6), theirs) < 1e-4
