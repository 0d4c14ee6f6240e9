"""Downloads: through mirrors, interrupted and gone on with, too slow, and into places that can't be written."""

from __future__ import annotations

import http.server
import socket
import threading
from functools import partial
from pathlib import Path

import pytest
from torchvision.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

from glassyrun import DataError
from glassyrun_networks.data import download
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.data.cifar100 import Cifar100Options
from glassyrun_networks.data.mnist import FashionMnistOptions, MnistOptions
from tests.networks.data.tools import assert_same, at, lay_idx, made_up, one_sentence, pin_idx

ARRAYS = made_up(sides=(28, 28, 1))
FILE = "train-images-idx3-ubyte.gz"


class Ranged(http.server.SimpleHTTPRequestHandler):
    """A server that can go on from the middle, and one that breaks off after the first `stops_at` bytes."""

    stops_at: int | None = None
    asked: list[tuple[str, str | None]] = []

    def do_GET(self):
        asked = self.headers.get("Range")
        type(self).asked.append((self.path, asked))
        place = Path(self.directory, self.path.lstrip("/"))
        if not place.is_file():
            self.send_error(404)
            return
        content = place.read_bytes()
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
def server(tmp_path, monkeypatch):
    """(handler, address, folder): a server of the four files of MNIST, which holds them for the originals."""
    monkeypatch.setattr(download.urllib.request, "urlopen", download.urllib.request.build_opener().open)
    Ranged.asked, Ranged.stops_at = [], None
    folder = tmp_path / "served"
    lay_idx(folder, ARRAYS, packed=True)
    pin_idx(monkeypatch, MnistOptions, ARRAYS)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranged, directory=str(folder)))
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{running.server_address[1]}/"
    monkeypatch.setattr(MNIST, "mirrors", [address])
    yield Ranged, address, folder
    running.shutdown()
    running.server_close()


def test_all_files_come_once(server, tmp_path, capsys):
    handler, _, _ = server
    root = tmp_path / "new" / "root"
    data = MnistOptions().load(at(root))
    assert_same(data, ARRAYS)
    assert data.warnings == ()
    assert data.provenance["data_source"] == "MNIST/raw"
    assert len(list((root / "MNIST" / "raw").glob("*-ubyte.gz"))) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("downloading") == 4
    assert_same(
        MnistOptions(train=3).load(at(root)), {**ARRAYS, "train_x": ARRAYS["train_x"][:3], "train_y": ARRAYS["train_y"][:3]}
    )
    assert len(handler.asked) == 4


def test_only_what_is_missing_is_asked_for(server, tmp_path):
    handler, _, _ = server
    lay_idx(tmp_path / "root" / "MNIST" / "raw", ARRAYS)
    (tmp_path / "root" / "MNIST" / "raw" / FILE.removesuffix(".gz")).unlink()
    assert_same(MnistOptions().load(at(tmp_path / "root")), ARRAYS)
    assert handler.asked == [(f"/{FILE}", None)]


def test_an_interrupted_download_goes_on(server, tmp_path):
    handler, _, _ = server
    handler.stops_at = 1000
    with pytest.raises(DataError, match="goes on from there"):
        MnistOptions().load(at(tmp_path / "root"))
    part = tmp_path / "root" / "MNIST" / "raw" / f"{FILE}.part"
    assert part.stat().st_size == 1000
    handler.stops_at = None
    assert_same(MnistOptions().load(at(tmp_path / "root")), ARRAYS)
    assert handler.asked[:2] == [(f"/{FILE}", None), (f"/{FILE}", "bytes=1000-")]


def test_a_server_can_t_fill_the_disk(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match="the server offers") as error:
        MnistOptions().load(at(tmp_path / "root"))
    one_sentence(error)


@pytest.mark.parametrize("told", ["-5", "²", "9" * 5000, "", "x"])
def test_a_server_may_lie_about_the_size(tmp_path, told):
    class Answer:
        status, headers, url = 200, {"Content-Length": told}, "http://x/y"
        parts = [b"a" * 700, b"b" * 700]

        def read1(self, _size):
            return self.parts.pop(0) if self.parts else b""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "MOST_BYTES", 1000)
        with pytest.raises(download.NotFetched, match="sent more than"):
            download._receive(Answer(), tmp_path / "x.part", 0, None)
    assert (tmp_path / "x.part").stat().st_size <= 1000


def test_what_one_mirror_began_another_goes_on_with(server, tmp_path, monkeypatch):
    handler, address, folder = server
    (folder / "other").mkdir()
    for file in folder.glob("*.gz"):
        (folder / "other" / file.name).write_bytes(file.read_bytes())
    handler.stops_at = 5000
    monkeypatch.setattr(MNIST, "mirrors", [f"{address}nowhere/", address, f"{address}other"])
    assert_same(MnistOptions().load(at(tmp_path / "root")), ARRAYS)
    assert handler.asked[:3] == [(f"/nowhere/{FILE}", None), (f"/{FILE}", None), (f"/other/{FILE}", "bytes=5000-")]


def test_no_mirror_has_it(server, tmp_path, monkeypatch):
    _, address, _ = server
    monkeypatch.setattr(MNIST, "mirrors", [f"{address}nowhere/", f"{address}elsewhere/"])
    with pytest.raises(DataError, match=r"could not be downloaded \(127\.0\.0\.1:\d+: .*Not Found\)") as error:
        MnistOptions().load(at(tmp_path / "root"))
    one_sentence(error)


def test_a_download_that_was_only_not_renamed(server, tmp_path):
    _, _, folder = server
    target = tmp_path / "root" / "MNIST" / "raw"
    target.mkdir(parents=True)
    (target / f"{FILE}.part").write_bytes((folder / FILE).read_bytes())
    assert_same(MnistOptions().load(at(tmp_path / "root")), ARRAYS)


def test_what_a_server_gives_is_checked(server, tmp_path):
    _, _, folder = server
    (folder / FILE).write_bytes(b"<html>log in to the hotel's network</html>")
    with pytest.raises(DataError, match="remove it, or fetch it again") as error:
        MnistOptions(if_absent="sample").load(at(tmp_path / "root"))
    assert str(tmp_path / "root" / "MNIST" / "raw" / FILE) in one_sentence(error)


def test_a_download_that_takes_too_long_gives_way_to_the_sample(server, tmp_path, monkeypatch):
    monkeypatch.setattr("glassyrun_networks.data.images.SAMPLE_SECONDS", -1.0)
    data = MnistOptions(if_absent="sample").load(at(tmp_path / "root"))
    assert "SAMPLE" in data.warnings[0]
    assert data.provenance["data_source"] == "mnist_sample.zip"


def test_a_server_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(download.urllib.request, "urlopen", download.urllib.request.build_opener().open)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(download.NotFetched, match="refused"):
        download.fetch(f"http://127.0.0.1:{port}/x", tmp_path / "x")


def test_a_root_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match="can't be written: Not a directory") as error:
            MnistOptions().load(at(root))
        assert str(root) in one_sentence(error)


def test_a_root_that_cannot_be_looked_into(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(DataError, match=r"can't be looked into \(Permission denied\)") as error:
        MnistOptions().load(at(tmp_path))
    assert str(tmp_path) in one_sentence(error)


@pytest.mark.parametrize(
    ("table", "addresses"),
    [
        (MnistOptions, [f"{mirror}{FILE}" for mirror in MNIST.mirrors]),
        (FashionMnistOptions, [f"{mirror}{FILE}" for mirror in FashionMNIST.mirrors]),
        (Cifar10Options, [CIFAR10.url]),
        (Cifar100Options, [CIFAR100.url]),
    ],
)
def test_torchvisions_servers_are_asked(tmp_path, monkeypatch, table, addresses):
    asked = []

    def refuse(request, **_):
        asked.append(request.full_url)
        raise OSError("no network in tests")

    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    with pytest.raises(DataError, match="no network in tests"):
        table().load(at(tmp_path))
    assert asked == addresses
