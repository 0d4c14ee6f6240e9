"""MNIST and Fashion-MNIST in their own idx files, plain and packed, and every way in which a file can be wrong."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from torchvision.datasets import MNIST

from glassyrun import DataError
from glassyrun_networks.data import idx as idx_files
from glassyrun_networks.data.idx import Original, read_idx
from glassyrun_networks.data.mnist import FashionMnistOptions, MnistOptions
from tests.networks.data.tools import assert_same, at, idx, lay_idx, made_up, one_sentence, pin_idx

ARRAYS = made_up(sides=(28, 28, 1))


@pytest.fixture
def pinned(monkeypatch):
    for table in (MnistOptions, FashionMnistOptions):
        pin_idx(monkeypatch, table, ARRAYS)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("table", "folder"),
    [(MnistOptions, "MNIST/raw"), (FashionMnistOptions, "FashionMNIST/raw"), (FashionMnistOptions, "fashion-mnist")],
)
@pytest.mark.usefixtures("pinned")
def test_own_files_come_before_an_npz(tmp_path, table, folder, packed):
    lay_idx(tmp_path / folder, ARRAYS, packed)
    np.savez(tmp_path / f"{table().kind}.npz", **(ARRAYS | {"train_y": np.zeros(20, np.int64)}))
    data = table().load(at(tmp_path))
    assert_same(data, ARRAYS)
    assert data.train_x.shape == (20, 1, 28, 28)
    assert data.provenance["data_source"] == folder
    content = b"".join(idx(ARRAYS[key].reshape(ARRAYS[key].shape[:3])) for key in ("test_x", "test_y", "train_x", "train_y"))
    assert data.provenance["data_sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.usefixtures("pinned")
def test_torchvision_reads_the_same(tmp_path):
    lay_idx(tmp_path / "MNIST" / "raw", ARRAYS)
    data = MnistOptions().load(at(tmp_path))
    for part, train in (("train", True), ("test", False)):
        theirs = MNIST(tmp_path, train=train)
        np.testing.assert_array_equal(theirs.data.numpy(), getattr(data, f"{part}_x")[:, 0].numpy())
        np.testing.assert_array_equal(theirs.targets.numpy(), getattr(data, f"{part}_y").numpy())


@pytest.mark.usefixtures("pinned")
def test_three_of_four_files_are_no_set(tmp_path):
    lay_idx(tmp_path / "MNIST" / "raw", ARRAYS, packed=True)
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"the four files \*-ubyte\.gz in MNIST/raw .* or mnist\.npz"):
        MnistOptions().load(at(tmp_path))
    np.savez(tmp_path / "mnist.npz", **ARRAYS)
    assert MnistOptions().load(at(tmp_path)).provenance["data_source"] == "mnist.npz"


WHOLE = idx(ARRAYS["train_x"].reshape(-1, 28, 28))
WRONG = {
    "empty": (b"", "holds 0 bytes, expected 15696"),
    "truncated": (WHOLE[:-1], "holds 15695 bytes, expected 15696"),
    "longer": (WHOLE + b"\0", "holds more, expected 15696 bytes"),
    "bit_flipped": (WHOLE[:99] + bytes([WHOLE[99] ^ 1]) + WHOLE[100:], "expected that of the original"),
    "huge_sides": (WHOLE[:4] + b"\xff" * 12 + WHOLE[16:], "expected that of the original"),
    "other_type": (b"\0\0\x0d\x03" + WHOLE[4:], "expected that of the original"),
    "foreign": (b"<html>404 Not Found</html>" * 604, "holds more"),
}
WRONG_GZ = {
    **{name: (gzip.compress(content), words) for name, (content, words) in WRONG.items()},
    "half_packed": (gzip.compress(WHOLE)[:-900], "can't be read"),
    "not_packed": (WHOLE, "can't be read"),
    "crc": (gzip.compress(WHOLE)[:-8] + b"\0" * 8, "can't be read"),
}


@pytest.mark.parametrize("name", [*WRONG, *(f"{name}.gz" for name in WRONG_GZ)])
@pytest.mark.usefixtures("pinned")
def test_a_wrong_file(tmp_path, name):
    packed = name.endswith(".gz")
    content, words = WRONG_GZ[name.removesuffix(".gz")] if packed else WRONG[name]
    folder = tmp_path / "MNIST" / "raw"
    lay_idx(folder, ARRAYS, packed)
    file = folder / ("train-images-idx3-ubyte" + ".gz" * packed)
    file.write_bytes(content)
    with pytest.raises(DataError) as error:
        MnistOptions(if_absent="sample").load(at(tmp_path))
    told = one_sentence(error)
    assert str(file) in told
    assert words in told
    assert "remove it, or fetch it again" in told


def test_a_packed_file_is_unpacked_no_further_than_the_original(tmp_path, monkeypatch):
    """A gigabyte of zeros in a megabyte: no more of it is unpacked than one block beyond the original."""
    file, original = tmp_path / "bomb.gz", Original("bomb", (100,), "")
    with gzip.open(file, "wb", compresslevel=1) as target:
        for _ in range(50):
            target.write(bytes(1 << 20))
    unpacked = 0

    class Counting(gzip.GzipFile):
        def readinto(self, buffer):
            nonlocal unpacked
            unpacked += (count := super().readinto(buffer))
            return count

        def read(self, size=-1):
            nonlocal unpacked
            assert size >= 0
            unpacked += size
            return super().read(size)

    monkeypatch.setattr(idx_files.gzip, "open", Counting)
    with pytest.raises(DataError, match="holds more, expected 108 bytes"):
        read_idx(file, original)
    assert 108 < unpacked < 120


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(begin=some.integers(0, 60), length=some.integers(0, 60), other=some.binary(max_size=40), packed=some.booleans())
def test_whatever_is_done_to_a_file_it_is_one_sentence(tmp_path, begin, length, other, packed):
    """Any stretch of the (packed) file replaced by any bytes: the original, or a DataError."""
    array = np.arange(30, dtype=np.uint8).reshape(5, 6)
    original = Original("x", array.shape, hashlib.sha256(idx(array)).hexdigest())
    whole = gzip.compress(idx(array), mtime=0) if packed else idx(array)
    file = tmp_path / ("x.gz" if packed else "x")
    file.write_bytes(whole[:begin] + other + whole[begin + length :])
    try:
        found, content = read_idx(file, original)
    except DataError as error:
        told = str(error)
        assert "\n" not in told
        return
    np.testing.assert_array_equal(found, array)
    assert bytes(content) == idx(array)


REAL = os.environ.get("GLASSYRUN_TEST_DATA")
DEBIAN = Path("/usr/share/datasets")


@pytest.mark.parametrize(
    ("table", "root"),
    [
        pytest.param(
            MnistOptions, REAL, marks=pytest.mark.skipif(not REAL, reason="GLASSYRUN_TEST_DATA names no folder with MNIST")
        ),
        pytest.param(
            FashionMnistOptions,
            DEBIAN,
            marks=pytest.mark.skipif(
                not (DEBIAN / "fashion-mnist").is_dir(), reason="Debian's package dataset-fashion-mnist is not installed"
            ),
        ),
    ],
)
def test_the_whole_set(table, root):
    data = table().load(at(Path(root)))
    assert data.train_x.shape == (60_000, 1, 28, 28)
    assert data.test_x.shape == (10_000, 1, 28, 28)
    pixels = data.train_x.double() / 255
    assert pixels.mean().item() == pytest.approx(table.mean[0], abs=1e-7)
    assert pixels.std(correction=0).item() == pytest.approx(table.std[0], abs=1e-7)
