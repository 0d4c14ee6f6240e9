"""The samples that are part of the package, and when they are used."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from hatchling.builders.wheel import WheelBuilder
from pydantic import ValidationError

from glassyrun import DataError
from glassyrun_networks.data import download, recent
from glassyrun_networks.data import sample as sample_file
from glassyrun_networks.data.arrays import Arrays, Form
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.data.cifar100 import Cifar100Options
from glassyrun_networks.data.images import ImageOptions
from glassyrun_networks.data.mnist import FashionMnistOptions, MnistOptions
from tests.networks.data.test_mnist_files import REAL
from tests.networks.data.tools import SIDES, at, made_up, one_sentence

SAMPLED = {"cifar10": (Cifar10Options, (3.5e6, 4.5e6)), "mnist": (MnistOptions, (3e5, 1e6))}


@pytest.fixture(params=SAMPLED)
def table(request) -> type[ImageOptions]:
    return SAMPLED[request.param][0]


def test_it_is_the_one_that_was_packaged(table):
    name, sha256 = table.packaged
    content = (resources.files("glassyrun_networks.data") / name).read_bytes()
    low, high = SAMPLED[table().kind][1]
    assert hashlib.sha256(content).hexdigest() == sha256
    assert low < len(content) < high
    arrays = sample_file.packaged(name, sha256, table().form)
    assert arrays.train_x.shape == (2000, *table.image)
    assert np.bincount(arrays.train_y).tolist() == [200] * 10
    assert np.bincount(arrays.test_y).tolist() == [50] * 10
    assert np.bincount(arrays.train_y[:100]).tolist() == [10] * 10
    assert len(np.unique(arrays.train_x.reshape(2000, -1), axis=0)) == 2000
    # Its statistics are close to those of the whole set that it is normalised with.
    np.testing.assert_allclose(arrays.train_x.mean((0, 1, 2)) / 255, table.mean, atol=0.01)
    np.testing.assert_allclose(arrays.train_x.std((0, 1, 2)) / 255, table.std, atol=0.01)


@pytest.mark.skipif(not REAL, reason="GLASSYRUN_TEST_DATA names no folder with MNIST")
def test_the_sample_of_mnist_is_the_first_of_each_digit_in_turn():
    whole = MnistOptions().local(Path(REAL or ""))
    arrays = sample_file.packaged(*MnistOptions.packaged, MnistOptions().form)
    for part, count in (("train", 2000), ("test", 500)):
        x, y = getattr(whole, f"{part}_x"), getattr(whole, f"{part}_y")
        chosen = sample_file.in_turn(y, count)
        np.testing.assert_array_equal(getattr(arrays, f"{part}_x"), x[chosen])
        np.testing.assert_array_equal(getattr(arrays, f"{part}_y"), y[chosen])
        assert max(chosen) < 1.3 * count


def test_in_turn():
    assert sample_file.in_turn(np.array([2, 0, 0, 1, 1, 2, 0, 2, 1]), 7).tolist() == [1, 3, 0, 2, 4, 5, 6]


@pytest.mark.parametrize("sides", [SIDES["cifar10"], SIDES["mnist"]])
def test_packing_is_lossless(sides):
    arrays = Arrays(**made_up(4, 2, sides), source="", sha256="")
    back = sample_file.unpack(sample_file.pack(arrays), Path("x.zip"), Form(sides, 10), "")
    for name in ("train_x", "train_y", "test_x", "test_y"):
        np.testing.assert_array_equal(getattr(back, name), getattr(arrays, name))


def test_a_damaged_sample_is_refused(table):
    with pytest.raises(DataError, match="install glassyrun again") as error:
        sample_file.packaged(table.packaged[0], "0" * 64, table().form)
    one_sentence(error)


def test_the_wheel_has_every_sample(tmp_path):
    root = Path(__file__).parents[3]
    (wheel,) = WheelBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        for kind, (table, _) in SAMPLED.items():
            name, sha256 = table.packaged
            assert hashlib.sha256(archive.read(f"glassyrun_networks/data/{name}")).hexdigest() == sha256, kind


def test_absent_and_stop(tmp_path, table):
    with pytest.raises(DataError) as error:
        table().load(at(tmp_path / "none"))
    told = one_sentence(error)
    for word in (str(tmp_path / "none"), "no network in tests", table().files(), f"{table().kind}.npz", "--data", "if_absent"):
        assert word in told


@pytest.mark.parametrize("table", [Cifar100Options, FashionMnistOptions])
def test_absent_and_no_sample(tmp_path, table):
    with pytest.raises(DataError, match="could not be downloaded") as error:
        table().load(at(tmp_path / "none"))
    assert "if_absent" not in one_sentence(error)
    with pytest.raises(ValidationError, match=f"no sample of {table.title} is part of the package"):
        table(if_absent="sample")


def test_absent_and_sample(tmp_path, table, caplog):
    data = table(if_absent="sample").load(at(tmp_path))
    height, width, channels = table.image
    assert data.train_x.shape == (2000, channels, height, width)
    assert data.test_x.shape == (500, channels, height, width)
    assert data.train_x.dtype == torch.uint8
    (warning,) = data.warnings
    assert "SAMPLE of 2000 training and 500 test images" in warning
    assert (data.provenance["data_source"], data.provenance["data_sha256"]) == table.packaged
    # the terminal is told the place and the reason, the result is the same on every machine
    assert str(tmp_path) in caplog.text
    assert "no network in tests" in caplog.text
    assert str(tmp_path) not in warning


def test_no_server_is_waited_for_twice(tmp_path, monkeypatch):
    waiting, asked = threading.Event(), []

    def ask(request, **_):
        asked.append(request.full_url)
        waiting.wait(60)

    monkeypatch.setattr(download.urllib.request, "urlopen", ask)
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.05)
    options = MnistOptions(if_absent="sample")
    warnings = options.load(at(tmp_path)).warnings
    recent.forget()
    assert options.load(at(tmp_path)).warnings == warnings
    waiting.set()
    # both mirrors of the first file, once
    assert len(asked) == len(set(asked)) == 2
