"""Loss, accuracy and the time to reach one: what only a network has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.engine_tools import tables
from tests.models import FreeSpins, begin, dynamics, streams
from tests.networks.toy import ToyImages, any_module, tiny_cnn
from tests.observables.tools import MLP, built

import glassyrun
from glassyrun import Refusal, Snapshot, Tilted
from glassyrun_networks.observables import ReadTestOptions, ReadTrainOptions, TimeToAccuracyOptions
from glassyrun_observables.energy import EnergyOptions


@pytest.mark.parametrize("split", ["test", "train"])
def test_the_first_time_at_which_an_accuracy_is_there(split: str) -> None:
    """Against the curve of the same run: NaN before, then the first time for good, even where the accuracy falls again."""
    system = MLP | {"data": MLP["data"] | {"train": 100}}
    moves = {"kind": "sgd", "learning_rate": 0.2, "momentum": 0.8, "batch_size": 5}
    spec = tables("cnn", "sgd", steps=24, system=system, dynamics=moves, ensemble={"replicas": 3}, observables=[{"kind": split}])
    curve = glassyrun.run(spec, quiet=True)[f"{split}_accuracy"][0]
    levels = [0.01, float(np.quantile(curve, 0.6)), float(curve[0].max()), 1.0]
    kinds = [
        {"kind": "time_to_accuracy", "accuracy": level, "split": split, "name": f"reach{k}"} for k, level in enumerate(levels)
    ]
    ds = glassyrun.run(spec | {"observables": kinds}, quiet=True)
    seen = 0
    for k, level in enumerate(levels):
        for r in range(3):
            there = np.flatnonzero(curve[r].values >= level)
            first = float(curve.time[there[0]]) if len(there) else np.nan
            expected = np.where(curve.time >= first, first, np.nan)
            np.testing.assert_array_equal(ds[f"reach{k}"][0, r], expected)
            seen += bool(len(there) and there[0] > 0)
    assert seen >= 3
    assert not ds.reach3.notnull().any()


def test_one_pass_serves_all_that_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_cnn()
    calls = []
    evaluate = type(network).evaluate
    monkeypatch.setattr(type(network), "evaluate", lambda *arguments: calls.append(1) or evaluate(*arguments))
    now = Snapshot(network, dynamics("sgd", network), network.initial(streams(2)))
    kinds = (
        ReadTestOptions(),
        ReadTestOptions(name="b"),
        TimeToAccuracyOptions(accuracy=0.5),
        TimeToAccuracyOptions(accuracy=0.7, name="c"),
    )
    for options in kinds:
        built(options, network).read(now, None)
    assert len(calls) == 1


def test_a_share_of_the_training_set() -> None:
    network = tiny_cnn()
    now = Snapshot(network, dynamics("sgd", network), network.initial(streams(2)))
    observable = built(ReadTrainOptions(terms=0.2), network)
    assert "12 of 60 train examples" in observable.variables["train_loss"].long_name
    chosen = observable._part.terms
    assert len(set(chosen.tolist())) == 12
    torch.testing.assert_close(observable.read(now, None)["train_loss"], network.energy(now.state, chosen), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (TimeToAccuracyOptions(accuracy=0.5, terms=3), r'time_to_accuracy\.terms: found 3 for the test set, .* split = "train"'),
        (
            TimeToAccuracyOptions(accuracy=0.5, split="train", terms=61),
            "found 61, but the system has only 60 terms; take at most 60",
        ),
        (ReadTrainOptions(terms=61, name="few"), r"observables\.few\.terms: found 61"),
    ],
)
def test_what_can_not_be_read(options: Any, sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        built(options, tiny_cnn())


@pytest.mark.parametrize("options", [ReadTestOptions(), ReadTrainOptions(), TimeToAccuracyOptions(accuracy=0.5)])
def test_only_networks_have_an_accuracy(options: Any) -> None:
    with pytest.raises(Refusal, match=rf"observables\.{options.kind}: reads loss .* is a FreeSpins; leave"):
        built(options, FreeSpins(4))


@pytest.mark.parametrize("options", [ReadTestOptions(), TimeToAccuracyOptions(accuracy=0.5)])
def test_no_test_set_to_read(options: Any) -> None:
    with pytest.raises(Refusal, match=rf"observables\.{options.kind}: the data set of this system has no test part"):
        built(options, tiny_cnn(data=ToyImages(test=0)))


@pytest.mark.parametrize("accuracy", [0.0, 1.5, -1.0])
def test_an_accuracy_is_a_fraction(accuracy: float) -> None:
    with pytest.raises(glassyrun.GlassyrunError, match="accuracy"):
        glassyrun.run(
            tables("cnn", "sgd", system=MLP, observables=[{"kind": "time_to_accuracy", "accuracy": accuracy}]), quiet=True
        )


@pytest.mark.parametrize(("moves", "unit"), [("sgd", "step"), ("quench", "1")])
def test_a_time_has_the_unit_of_the_run(moves: str, unit: str) -> None:
    measured = [{"kind": "time_to_accuracy", "accuracy": 0.5}]
    result = glassyrun.run(tables("cnn", moves, system=MLP, observables=measured), quiet=True)
    assert result["time_to_accuracy"].attrs["units"] == result["time"].attrs["units"] == unit


def test_recomputed_statistics_do_not_lag() -> None:
    """After two steps running averages are mostly where they began; recomputed ones give what training sees."""
    network = any_module("batch_norm")
    moves = dynamics("sgd", network, learning_rate=0.3, batch_size=30)
    state = begin(network, moves, 2)
    moves.advance(network, state, 2)
    before = state.copy()
    now = Snapshot(network, moves, state)
    lagging, recomputed = (
        built(ReadTrainOptions(recalibrate=recalibrate), network).read(now, None)["train_loss"] for recalibrate in (False, True)
    )
    assert torch.equal(built(EnergyOptions(recalibrate=True), network).read(now, None)["energy"], recomputed)
    tilted = Tilted(network, torch.zeros(1, network.dof, dtype=torch.float64))
    assert torch.equal(tilted.recalibrated(state).system["1.running_var"], network.recalibrated(state).system["1.running_var"])
    training = network.gradient(state).energy
    assert torch.equal(lagging, network.energy(state))
    assert ((recomputed - training).abs() < 0.1 * (lagging - training).abs()).all()
    assert all(torch.equal(state.system[name], before.system[name]) for name in before.system)


def test_statistics_are_recomputed_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    network = any_module("batch_norm")
    calls = []
    recalibrated = type(network).recalibrated
    monkeypatch.setattr(type(network), "recalibrated", lambda *arguments: calls.append(1) or recalibrated(*arguments))
    now = Snapshot(network, dynamics("sgd", network), network.initial(streams(1)))
    kinds = (
        ReadTestOptions(recalibrate=True),
        ReadTrainOptions(recalibrate=True),
        ReadTestOptions(name="plain"),
        EnergyOptions(recalibrate=True),
    )
    observables = [built(options, network) for options in kinds]
    for observable in observables:
        observable.read(now, None)
    assert len(calls) == 1
    said = [
        observable.variables[name].attributes["running_statistics"]
        for observable, name in zip(observables, ("test_loss", "train_loss", "plain_loss"), strict=False)
    ]
    assert said == ["recomputed over the training set"] * 2 + ["as they run"]


def test_without_running_statistics_nothing_changes() -> None:
    network = tiny_cnn()
    now = Snapshot(network, dynamics("sgd", network), network.initial(streams(1)))
    plain, recalibrated = (built(ReadTestOptions(recalibrate=value), network).read(now, None) for value in (False, True))
    assert torch.equal(plain["test_loss"], recalibrated["test_loss"])
