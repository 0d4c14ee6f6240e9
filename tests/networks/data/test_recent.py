"""Stating the size of a run and building it read the data once, and nothing stale is given out."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.data import npz, recent
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.data.images import ImageOptions
from glassyrun_networks.data.mnist import MnistOptions
from glassyrun_networks.inputs import Inputs
from tests.networks.data.tools import assert_same, at, made_up


@pytest.fixture
def reads(monkeypatch):
    """What was read so far."""
    read: list[str] = []
    original = npz.read_npz
    monkeypatch.setattr(npz, "read_npz", lambda file, form: read.append(file.name) or original(file, form))
    return read


@pytest.fixture
def root(tmp_path):
    np.savez(tmp_path / "cifar10.npz", **made_up())
    return tmp_path


def test_a_plan_and_a_run_read_once(root, reads):
    options = CnnOptions(data=Cifar10Options(), channels=[2, 3], hidden=4)
    options.footprint(at(root, "system"))
    options.build(at(root, "system"))
    assert reads == ["cifar10.npz"]


@pytest.mark.parametrize("options", [{}, {"train": 12, "test": 5}, {"subset": 10}])
def test_what_is_kept_is_what_a_network_on_the_cpu_keeps(root, reads, options):
    """No second copy, and of a part only the part."""
    table, here = Cifar10Options(**options), at(root)
    data = table.load(here)
    for part in ("train", "test"):
        x, y = getattr(data, f"{part}_x"), getattr(data, f"{part}_y")
        inputs = Inputs.place(x, y, data, here.device, torch.float32)
        assert inputs.stored.data_ptr() == x.data_ptr()
        assert x.untyped_storage().nbytes() == 3072 * len(y)
    assert table.load(here) is data
    assert len(reads) == 1


def test_a_file_that_was_replaced_is_read_again(root, reads):
    options = Cifar10Options()
    options.load(at(root))
    other = made_up() | {"train_y": np.full(20, 7)}
    np.savez(root / "new.npz", **other)
    os.replace(root / "new.npz", root / "cifar10.npz")
    assert_same(options.load(at(root)), other)
    assert len(reads) == 2


def test_other_options_roots_and_seeds_are_other_sets(root, reads, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    np.savez(elsewhere / "cifar10.npz", **made_up(10, 10))
    assert len(Cifar10Options().load(at(root)).train_y) == 20
    assert len(Cifar10Options().load(at(elsewhere)).train_y) == 10
    assert len(Cifar10Options(train=3).load(at(elsewhere)).train_y) == 3
    one = Cifar10Options(subset=10).load(at(root, seed=1))
    assert not torch.equal(one.train_x, Cifar10Options(subset=10).load(at(root, seed=2)).train_x)
    assert len(reads) == 5


def test_samples_share_what_is_no_disorder(root, reads):
    one, other = (Cifar10Options(subset=10).load(at(root, sample=sample)) for sample in (0, 1))
    assert one is other
    one, other = (Cifar10Options(subset=10, per_sample=True).load(at(root, sample=sample)) for sample in (0, 1))
    assert not torch.equal(one.train_x, other.train_x)
    assert len(reads) == 3


def test_the_sample_does_not_stand_in_for_a_set_that_has_come(tmp_path, reads):
    options = MnistOptions(if_absent="sample")
    assert options.load(at(tmp_path)).warnings
    np.savez(tmp_path / "mnist.npz", **made_up(sides=(28, 28, 1)))
    assert not options.load(at(tmp_path)).warnings


def test_the_sample_is_no_answer_for_ever(tmp_path, monkeypatch):
    tries = []
    original = ImageOptions._fetched
    monkeypatch.setattr(ImageOptions, "_fetched", lambda self, root: tries.append(1) or original(self, root))
    now = [0.0]
    monkeypatch.setattr(recent.time, "monotonic", lambda: now[0])
    options = MnistOptions(if_absent="sample")
    for moment, expected in ((0.0, 1), (59.0, 1), (61.0, 2)):
        now[0] = moment
        options.load(at(tmp_path))
        assert len(tries) == expected
