"""CIFAR-10 from every place it can come from, and every way in which a file can be wrong."""

from __future__ import annotations

import hashlib
import http.server
import os
import pickle
import socket
import tarfile
import threading
import time
from functools import partial
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from glassyrun import DataError
from glassyrun_networks.data import download, places
from glassyrun_networks.data import sample as sample_file
from glassyrun_networks.data.arrays import Arrays, Form, read_npz
from glassyrun_networks.data.cifar10 import SAMPLE, SAMPLE_SHA256, Cifar10Options
from tests.models import context

FORM = Form((32, 32, 3), 10)


def made_up(train: int = 20, test: int = 10) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(1)
    return {
        "train_x": chance.integers(256, size=(train, 32, 32, 3), dtype=np.uint8),
        "train_y": np.arange(train, dtype=np.int64) % 10,
        "test_x": chance.integers(256, size=(test, 32, 32, 3), dtype=np.uint8),
        "test_y": np.arange(test, dtype=np.int64) % 10,
    }


def at(root: Path):
    return attrs.evolve(context("system/data"), data_root=root)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """No test asks a real server; each fails at once, as on a machine without network."""

    def refuse(*_arguments, **_named):
        raise OSError("no network in tests")

    monkeypatch.setattr(download, "_refused", {})
    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)


def one_sentence(error: pytest.ExceptionInfo[DataError]) -> str:
    told = str(error.value)
    assert "\n" not in told
    assert not told.endswith(".")
    return told


def test_the_sample_is_the_one_that_was_packaged():
    content = sample_file.resources.files("glassyrun_networks.data").joinpath(SAMPLE).read_bytes()
    assert hashlib.sha256(content).hexdigest() == SAMPLE_SHA256
    assert 3.5e6 < len(content) < 4.5e6
    arrays = Cifar10Options().sample()
    assert np.bincount(arrays.train_y).tolist() == [200] * 10
    assert np.bincount(arrays.test_y).tolist() == [50] * 10
    assert np.bincount(arrays.train_y[:100]).tolist() == [10] * 10
    assert len(np.unique(arrays.train_x.reshape(2000, -1), axis=0)) == 2000
    # Its statistics are close to those of the whole set that it is normalised with.
    np.testing.assert_allclose(arrays.train_x.mean((0, 1, 2)) / 255, Cifar10Options.mean, atol=0.01)
    np.testing.assert_allclose(arrays.train_x.std((0, 1, 2)) / 255, Cifar10Options.std, atol=0.01)


def test_packing_is_lossless():
    arrays = Arrays(**made_up(12, 10), source="", sha256="")
    back = sample_file.unpack(sample_file.pack(arrays), Path("x.zip"), FORM, "")
    for name in ("train_x", "train_y", "test_x", "test_y"):
        np.testing.assert_array_equal(getattr(back, name), getattr(arrays, name))


def test_a_damaged_sample_is_refused():
    with pytest.raises(DataError, match="install glassyrun again") as error:
        sample_file.packaged(SAMPLE, "0" * 64, FORM)
    one_sentence(error)


def test_absent_and_stop(tmp_path):
    with pytest.raises(DataError) as error:
        Cifar10Options().load(at(tmp_path / "none"))
    told = one_sentence(error)
    for word in (str(tmp_path / "none"), "no network in tests", "cifar-10-python.tar.gz", "cifar10.npz", "--data", "if_absent"):
        assert word in told


def test_absent_and_sample(tmp_path):
    data = Cifar10Options(if_absent="sample").load(at(tmp_path))
    assert data.train_x.shape == (2000, 3, 32, 32)
    assert data.test_x.shape == (500, 3, 32, 32)
    assert data.train_x.dtype == torch.uint8
    (warning,) = data.warnings
    assert "SAMPLE of 2000 training and 500 test images" in warning
    assert data.provenance["data_source"] == SAMPLE
    assert data.provenance["data_sha256"] == SAMPLE_SHA256


def test_no_answer_costs_seconds_and_only_once(tmp_path, monkeypatch):
    waiting = threading.Event()
    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: waiting.wait(60))
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.3)
    options = Cifar10Options(if_absent="sample")
    begin = time.monotonic()
    warning = options.load(at(tmp_path)).warnings[0]
    assert "could it be downloaded" in warning
    asked = time.monotonic()
    assert asked - begin < 3
    monkeypatch.setattr(download, "ANSWER_SECONDS", 30)
    assert options.load(at(tmp_path)).warnings[0] == warning
    assert time.monotonic() - asked < 3
    waiting.set()


def test_npz(tmp_path):
    arrays = made_up()
    np.savez(tmp_path / "cifar10.npz", **arrays)
    data = Cifar10Options().load(at(tmp_path))
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(data, f"{part}_x").permute(0, 2, 3, 1).numpy(), arrays[f"{part}_x"])
        np.testing.assert_array_equal(getattr(data, f"{part}_y").numpy(), arrays[f"{part}_y"])
    assert data.warnings == ()
    assert data.classes == 10
    assert data.provenance == {
        "data": "cifar10",
        "data_source": "cifar10.npz",
        "data_sha256": hashlib.sha256((tmp_path / "cifar10.npz").read_bytes()).hexdigest(),
        "data_part": "train: first 20 of 20 images; test: first 10 of 10 images",
    }


def test_first_images_only(tmp_path):
    np.savez_compressed(tmp_path / "cifar10.npz", **made_up())
    data = Cifar10Options(train=7, test=3).load(at(tmp_path))
    assert (len(data.train_x), len(data.train_y), len(data.test_x), len(data.test_y)) == (7, 7, 3, 3)
    np.testing.assert_array_equal(data.train_x.permute(0, 2, 3, 1).numpy(), made_up()["train_x"][:7])
    assert data.train_x.untyped_storage().nbytes() == 7 * 3072
    assert data.provenance["data_part"] == "train: first 7 of 20 images; test: first 3 of 10 images"
    with pytest.raises(DataError, match=r"system\.data\.train = 21, but cifar10\.npz has 20"):
        Cifar10Options(train=21).load(at(tmp_path))


class Trap:
    """What a pickle could do."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def _without(name):
    return {key: value for key, value in made_up().items() if key != name}


WRONG = {
    "labels_high": (made_up() | {"train_y": np.arange(20) - 5 + 5 * 2}, "train_y has labels from 5 to 24, expected 0 to 9"),
    "labels_low": (made_up() | {"test_y": np.arange(10) - 1}, "test_y has labels from -1 to 8, expected 0 to 9"),
    "labels_float": (made_up() | {"train_y": np.zeros(20)}, "train_y is float64 [20], expected integers [n]"),
    "images_float": (made_up() | {"train_x": np.zeros((20, 32, 32, 3))}, "train_x is float64 [20, 32, 32, 3], expected uint8"),
    "channel_first": (made_up() | {"test_x": np.zeros((10, 3, 32, 32), np.uint8)}, "expected uint8 [n, 32, 32, 3]"),
    "empty": (made_up() | {"test_x": np.zeros((0, 32, 32, 3), np.uint8)}, "test_x is uint8 [0, 32, 32, 3]"),
    "too_few_labels": (made_up() | {"train_y": np.zeros(19, np.int64)}, "train_x holds 20 images but train_y 19 labels"),
    "missing": (_without("test_y"), "has no array 'test_y'"),
    "pickled": (made_up() | {"train_y": np.array([Trap()] * 20, dtype=object)}, "train_y is object [20]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_npz(tmp_path, name):
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
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_npz(tmp_path, name):
    file = tmp_path / "cifar10.npz"
    np.savez(file, **made_up())
    file.write_bytes(DAMAGED[name](file.read_bytes()))
    with pytest.raises(DataError, match="is damaged or no npz file") as error:
        read_npz(file, FORM)
    assert str(file) in one_sentence(error)


def test_a_header_that_asks_for_a_terabyte_is_not_believed(tmp_path):
    file = tmp_path / "cifar10.npz"
    np.savez(file, **made_up())
    told = b"(20, 32, 32, 3), }"
    asked = b"(99999999, 32, 32, 3), }"
    whole = file.read_bytes()
    assert whole.count(told + b" " * 6) == 1
    file.write_bytes(whole.replace(told + b" " * 6, asked))
    with pytest.raises(DataError, match="is damaged"):
        read_npz(file, FORM)


@pytest.fixture
def originals(tmp_path, monkeypatch) -> Path:
    """A small set in torchvision's own format; torchvision is told the md5 of these files instead of the originals'."""
    arrays, folder = made_up(), tmp_path / "made" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    parts = {f"data_batch_{k + 1}": ("train", slice(4 * k, 4 * k + 4)) for k in range(5)} | {"test_batch": ("test", slice(None))}
    sums = {}
    for name, (part, some) in parts.items():
        rows = arrays[f"{part}_x"][some].transpose(0, 3, 1, 2).reshape(-1, 3072)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": arrays[f"{part}_y"][some].tolist()}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(k) for k in range(10)]}))
    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    archive = folder.parent / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, folder.name)
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{k}", sums[f"data_batch_{k}"]] for k in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    return folder.parent


def assert_made_up(data):
    arrays = made_up()
    np.testing.assert_array_equal(data.train_x.permute(0, 2, 3, 1).numpy(), arrays["train_x"])
    np.testing.assert_array_equal(data.train_y.numpy(), arrays["train_y"])
    np.testing.assert_array_equal(data.test_x.permute(0, 2, 3, 1).numpy(), arrays["test_x"])
    np.testing.assert_array_equal(data.test_y.numpy(), arrays["test_y"])
    assert data.provenance["data_source"] == "cifar-10-batches-py"
    assert data.warnings == ()


def test_torchvisions_own_files_come_first(originals):
    np.savez(originals / "cifar10.npz", **(made_up() | {"train_y": np.zeros(20, np.int64)}))
    (originals / CIFAR10.filename).unlink()
    data = Cifar10Options().load(at(originals))
    assert_made_up(data)
    files = sorted((originals / "cifar-10-batches-py").glob("*_batch*"))
    whole = b"".join(file.read_bytes() for file in files)
    assert data.provenance["data_sha256"] == hashlib.sha256(whole).hexdigest()


def test_an_archive_is_unpacked(originals, tmp_path):
    root = tmp_path / "only_archive"
    root.mkdir()
    (originals / CIFAR10.filename).rename(root / CIFAR10.filename)
    assert_made_up(Cifar10Options().load(at(root)))


def test_unchecked_pickles_are_never_opened(originals):
    batch = originals / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="md5 is not that of the original") as error:
        Cifar10Options(if_absent="sample").load(at(originals))
    assert str(originals / "cifar-10-batches-py") in one_sentence(error)


def test_a_foreign_archive(originals, tmp_path):
    root = tmp_path / "foreign"
    root.mkdir()
    (root / CIFAR10.filename).write_bytes(b"something else")
    with pytest.raises(DataError, match="md5 is not that of the original") as error:
        Cifar10Options(if_absent="sample").load(at(root))
    assert str(root / CIFAR10.filename) in one_sentence(error)


class Ranged(http.server.SimpleHTTPRequestHandler):
    """A server that can go on from the middle, and one that breaks off after the first `stops_at` bytes."""

    stops_at: int | None = None
    asked: list[str | None] = []

    def do_GET(self):
        content = Path(self.directory, self.path.lstrip("/")).read_bytes()
        asked = self.headers.get("Range")
        type(self).asked.append(asked)
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if begin >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin : None if asked else self.stops_at])

    def log_message(self, *_):
        pass


@pytest.fixture
def served(originals, monkeypatch):
    monkeypatch.setattr(download.urllib.request, "urlopen", download.urllib.request.build_opener().open)
    Ranged.asked, Ranged.stops_at = [], None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranged, directory=str(originals)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_address[1]}/{CIFAR10.filename}")
    yield Ranged
    server.shutdown()
    server.server_close()


def test_download(served, tmp_path, capsys):
    root = tmp_path / "new" / "root"
    assert_made_up(Cifar10Options().load(at(root)))
    assert (root / CIFAR10.filename).is_file()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "downloading" in printed.err
    assert_made_up(Cifar10Options().load(at(root)))
    assert len(served.asked) == 1


def test_an_interrupted_download_goes_on(served, tmp_path):
    served.stops_at = 1000
    with pytest.raises(DataError, match="goes on from there"):
        Cifar10Options().load(at(tmp_path / "root"))
    assert (tmp_path / "root" / f"{CIFAR10.filename}.part").stat().st_size == 1000
    assert_made_up(Cifar10Options().load(at(tmp_path / "root")))
    assert served.asked == [None, "bytes=1000-"]


def test_a_download_that_was_only_not_renamed(served, originals, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / f"{CIFAR10.filename}.part").write_bytes((originals / CIFAR10.filename).read_bytes())
    assert_made_up(Cifar10Options().load(at(tmp_path / "root")))


def test_a_download_that_takes_too_long_gives_way_to_the_sample(served, tmp_path, monkeypatch):
    monkeypatch.setattr("glassyrun_networks.data.images.SAMPLE_SECONDS", -1.0)
    data = Cifar10Options(if_absent="sample").load(at(tmp_path / "root"))
    assert "SAMPLE" in data.warnings[0]
    assert data.provenance["data_source"] == SAMPLE


def test_a_server_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(download.urllib.request, "urlopen", download.urllib.request.build_opener().open)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(download.NotFetched, match="refused"):
        download.fetch(f"http://127.0.0.1:{port}/x", tmp_path / "x")


def test_a_root_that_cannot_be_written(served, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="can't be written") as error:
        Cifar10Options().load(at(tmp_path / "file"))
    assert str(tmp_path / "file") in one_sentence(error)


def test_where_data_lie(tmp_path, monkeypatch):
    here = context()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GLASSYRUN_DATA", raising=False)
    assert places.data_root(here).name == "data"
    assert "glassyrun" in str(places.data_root(here))
    monkeypatch.setenv("GLASSYRUN_DATA", str(tmp_path / "named"))
    assert places.data_root(here) == tmp_path / "named"
    assert places.data_root(at(tmp_path)) == tmp_path


REAL = os.environ.get("GLASSYRUN_TEST_DATA")


@pytest.mark.skipif(not REAL, reason="GLASSYRUN_TEST_DATA names no folder with the whole of CIFAR-10")
def test_the_whole_set():
    data = Cifar10Options().load(at(Path(REAL or "")))
    assert data.train_x.shape == (50_000, 3, 32, 32)
    assert data.test_x.shape == (10_000, 3, 32, 32)
    assert torch.bincount(data.train_y).tolist() == [5000] * 10
    assert torch.bincount(data.test_y).tolist() == [1000] * 10
    for channel in range(3):
        pixels = data.train_x[:, channel].double()
        assert pixels.mean().item() / 255 == pytest.approx(Cifar10Options.mean[channel], abs=2e-4)
        assert pixels.std().item() / 255 == pytest.approx(Cifar10Options.std[channel], abs=2e-4)
