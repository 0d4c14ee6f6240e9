"""The npz file that stands for a set: what it must look like, and every way in which it can be wrong."""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from glassyrun import DataError
from glassyrun_networks.data import npz
from glassyrun_networks.data.arrays import Form
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.data.cifar100 import Cifar100Options
from glassyrun_networks.data.mnist import FashionMnistOptions, MnistOptions
from tests.networks.data.test_cifar_files import Trap
from tests.networks.data.tools import SIDES, assert_same, at, made_up, one_sentence

FORM = Form((32, 32, 3), 10)
KINDS = {
    table.model_fields["kind"].default: table for table in (Cifar10Options, Cifar100Options, MnistOptions, FashionMnistOptions)
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_used_where_a_sets_own_files_are_absent(tmp_path, kind):
    table = KINDS[kind]()
    arrays = made_up(sides=SIDES[kind], classes=table.classes)
    np.savez(tmp_path / f"{kind}.npz", **arrays)
    data = table.load(at(tmp_path))
    assert_same(data, arrays)
    assert data.warnings == ()
    assert data.classes == table.classes
    assert data.provenance == {
        "data": kind,
        "data_source": f"{kind}.npz",
        "data_sha256": hashlib.sha256((tmp_path / f"{kind}.npz").read_bytes()).hexdigest(),
        "data_part": "train: first 20 of 20 images; test: first 10 of 10 images",
    }


def test_grey_images_may_be_without_a_channel(tmp_path):
    arrays = made_up(sides=(28, 28))
    np.savez(tmp_path / "mnist.npz", **arrays)
    data = MnistOptions().load(at(tmp_path))
    assert data.train_x.shape == (20, 1, 28, 28)
    assert_same(data, arrays)


def test_first_images_only(tmp_path):
    np.savez_compressed(tmp_path / "cifar10.npz", **made_up())
    data = Cifar10Options(train=7, test=3).load(at(tmp_path))
    assert_same(data, {name: array[: 7 if "train" in name else 3] for name, array in made_up().items()})
    assert data.train_x.untyped_storage().nbytes() == 7 * 3072
    assert data.provenance["data_part"] == "train: first 7 of 20 images; test: first 3 of 10 images"
    with pytest.raises(DataError, match=r"system\.data\.train = 21, but cifar10\.npz has 20"):
        Cifar10Options(train=21).load(at(tmp_path))


def _without(name):
    return {key: value for key, value in made_up().items() if key != name}


WRONG = {
    "labels_high": (made_up() | {"train_y": np.arange(20) - 5 + 5 * 2}, "train_y has labels from 5 to 24, expected 0 to 9"),
    "labels_low": (made_up() | {"test_y": np.arange(10) - 1}, "test_y has labels from -1 to 8, expected 0 to 9"),
    "labels_huge": (made_up() | {"test_y": np.full(10, 2**64 - 1, np.uint64)}, "test_y has labels from 18446744073709551615"),
    "labels_float": (made_up() | {"train_y": np.zeros(20)}, "train_y is float64 [20], expected integers [n]"),
    "images_float": (made_up() | {"train_x": np.zeros((20, 32, 32, 3))}, "train_x is float64 [20, 32, 32, 3], expected uint8"),
    "channel_first": (made_up() | {"test_x": np.zeros((10, 3, 32, 32), np.uint8)}, "expected uint8 [n, 32, 32, 3]"),
    "grey": (made_up() | {"test_x": np.zeros((10, 32, 32), np.uint8)}, "test_x is uint8 [10, 32, 32]"),
    "a_number": (made_up() | {"test_x": np.uint8(3)}, "test_x is uint8 []"),
    "empty": (made_up() | {"test_x": np.zeros((0, 32, 32, 3), np.uint8)}, "test_x is empty, expected at least one image"),
    "too_few_labels": (made_up() | {"train_y": np.zeros(19, np.int64)}, "train_x holds 20 images but train_y 19 labels"),
    "missing": (_without("test_y"), "has no array 'test_y'"),
    "others": ({f"array_{k}": np.zeros(1) for k in range(9)}, "array_5.npy and 3 more)"),
    "pickled": (made_up() | {"train_y": np.array([Trap()] * 20, dtype=object)}, "train_y is object [20]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays(tmp_path, name):
    arrays, words = WRONG[name]
    file = tmp_path / "cifar10.npz"
    np.savez(file, allow_pickle=True, **arrays)
    with pytest.raises(DataError) as error:
        Cifar10Options(if_absent="sample").load(at(tmp_path))
    told = one_sentence(error)
    assert str(file) in told
    assert words in told
    assert "remove it" in told


def _flipped(whole: bytes) -> bytes:
    middle = whole.index(b"\x93NUMPY") + 5000
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


DAMAGED = {
    "empty": lambda whole: b"",
    "truncated": lambda whole: whole[: len(whole) // 2],
    "bit_flipped": _flipped,
    "foreign": lambda whole: b"<html>404 Not Found</html>" * 100,
    "pickle": lambda whole: pickle.dumps([Trap()]),
    "header": lambda whole: whole.replace(b"'descr': '|u1'", b"'descr': '|zz'"),
    "no_literal": lambda whole: whole.replace(b"{'descr': '|u1'", b"{'descr: '''|u1'"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file(tmp_path, name):
    file = tmp_path / "cifar10.npz"
    np.savez(file, **made_up())
    file.write_bytes(DAMAGED[name](file.read_bytes()))
    with pytest.raises(DataError, match="is damaged or no npz file") as error:
        npz.read_npz(file, FORM)
    assert str(file) in one_sentence(error)


def test_a_folder_of_that_name_is_no_file(tmp_path):
    (tmp_path / "cifar10.npz").mkdir()
    with pytest.raises(DataError, match="could not be downloaded"):
        Cifar10Options().load(at(tmp_path))


def _claiming(file: Path, images: int) -> None:
    """A file whose headers claim so many images, with next to nothing behind them."""
    shapes = {name: (images, *array.shape[1:]) for name, array in made_up().items()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, shape in shapes.items():
            head = io.BytesIO()
            descr = np.lib.format.dtype_to_descr(made_up()[name].dtype)
            np.lib.format.write_array_header_2_0(head, {"descr": descr, "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", head.getvalue() + b"\0" * 100)


@pytest.mark.parametrize("images", [10**6, 10**12, 10**30])
def test_a_header_that_asks_for_more_than_there_is_is_not_believed(tmp_path, monkeypatch, images):
    monkeypatch.setattr(npz, "_load", lambda *_: pytest.fail("the arrays were loaded"))
    file = tmp_path / "cifar10.npz"
    _claiming(file, images)
    with pytest.raises(DataError, match=rf"train_x claims to be \[{images}, 32, 32, 3\]") as error:
        npz.read_npz(file, FORM)
    one_sentence(error)


def test_a_file_that_swells_beyond_the_memory_is_not_unpacked(tmp_path, monkeypatch):
    file = tmp_path / "cifar10.npz"
    arrays = made_up(200, 10)
    np.savez_compressed(file, **(arrays | {"train_x": np.zeros_like(arrays["train_x"])}))
    assert file.stat().st_size < 1e5
    monkeypatch.setattr(npz, "_load", lambda *_: pytest.fail("the arrays were loaded"))
    monkeypatch.setattr("glassyrun_networks.data.room.psutil.virtual_memory", lambda: type("Free", (), {"available": 6e5}))
    with pytest.raises(DataError, match=r"unpacks to 0\.000647 GB, but 0\.0006 GB are free") as error:
        npz.read_npz(file, FORM)
    assert str(file) in one_sentence(error)


@functools.cache
def _whole() -> bytes:
    target = io.BytesIO()
    np.savez_compressed(target, **made_up(3, 2, (2, 2, 3)))
    return target.getvalue()


@settings(max_examples=60, deadline=None)
@given(begin=some.integers(0, len(_whole())), length=some.integers(0, 300), other=some.binary(max_size=60))
def test_whatever_is_done_to_a_file_it_is_one_sentence(tmp_path_factory, begin, length, other):
    """Any stretch replaced by any bytes: the set is read, or there is a DataError."""
    file = tmp_path_factory.mktemp("fuzz") / "cifar10.npz"
    file.write_bytes(_whole()[:begin] + other + _whole()[begin + length :])
    try:
        arrays = npz.read_npz(file, Form((2, 2, 3), 10))
    except DataError as error:
        told = str(error)
        assert "\n" not in told
        return
    assert arrays.train_x.shape[1:] == (2, 2, 3)
    assert arrays.train_y.max() < 10


def _with_members(file: Path, method: int = zipfile.ZIP_STORED, more: int = 0) -> None:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, array in made_up().items():
            target = io.BytesIO()
            np.lib.format.write_array(target, array)
            archive.writestr(f"{name}.npy", target.getvalue())
        for number in range(more):
            archive.writestr(f"{number}", b"")


def test_a_list_of_more_members_than_a_set_needs_is_not_read(tmp_path, monkeypatch):
    _with_members(tmp_path / "few.npz", more=900)
    assert len(npz.read_npz(tmp_path / "few.npz", FORM).train_y) == 20
    _with_members(tmp_path / "many.npz", more=1000)
    monkeypatch.setattr(npz.zipfile, "ZipFile", lambda *_: pytest.fail("the members were listed"))
    with pytest.raises(DataError, match=r"lists 1004 members in \d+ bytes, expected at most 1000 in 1000000") as error:
        npz.read_npz(tmp_path / "many.npz", FORM)
    one_sentence(error)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_numpy_does_not_pack_like_is_not_unpacked(tmp_path, method):
    """bz2 and lzma give out all that a block swells to."""
    _with_members(tmp_path / "x.npz", method)
    with pytest.raises(DataError, match=f"train_x is packed by method {method}, expected 0 or 8") as error:
        npz.read_npz(tmp_path / "x.npz", FORM)
    one_sentence(error)


def test_members_that_share_their_bytes_are_no_bomb(tmp_path):
    """Two entries of the list that point to one member: each is read by itself, and must be of the form that is asked for."""
    _with_members(tmp_path / "x.npz")
    content = bytearray((tmp_path / "x.npz").read_bytes())
    entries = [at for at in range(len(content) - 46) if content[at : at + 4] == b"PK\x01\x02"]
    content[entries[2] + 42 : entries[2] + 46] = content[entries[0] + 42 : entries[0] + 46]
    (tmp_path / "x.npz").write_bytes(bytes(content))
    with pytest.raises(DataError, match="is damaged or no npz file"):
        npz.read_npz(tmp_path / "x.npz", FORM)
