"""CIFAR-10 and CIFAR-100 in torchvision's own files: no byte is unpickled that is not the authors'."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from glassyrun import DataError
from glassyrun_networks.data import recent
from glassyrun_networks.data.cifar import CifarOptions
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.data.cifar100 import Cifar100Options
from tests.networks.data.tools import assert_same, at, made_up, one_sentence

SETS = {"cifar10": (Cifar10Options, CIFAR10), "cifar100": (Cifar100Options, CIFAR100)}


class Trap:
    """What a pickle could do."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def arrays_of(kind: str) -> dict[str, np.ndarray]:
    return made_up(classes=SETS[kind][0].classes)


def write(folder: Path, kind: str, arrays: Mapping[str, np.ndarray]) -> None:
    """The set as torchvision finds it unpacked; of CIFAR-100 the coarse labels are all 0."""
    folder.mkdir(parents=True)
    if kind == "cifar10":
        parts = {f"data_batch_{k + 1}": ("train", slice(4 * k, 4 * k + 4)) for k in range(5)} | {
            "test_batch": ("test", slice(None))
        }
    else:
        parts = {"train": ("train", slice(None)), "test": ("test", slice(None))}
    for name, (part, some) in parts.items():
        rows = arrays[f"{part}_x"][some].transpose(0, 3, 1, 2).reshape(-1, 3072)
        labels = arrays[f"{part}_y"][some].tolist()
        named = {"labels": labels} if kind == "cifar10" else {"fine_labels": labels, "coarse_labels": [0] * len(labels)}
        (folder / name).write_bytes(pickle.dumps({"data": rows, **named}, protocol=2))
    dataset = SETS[kind][1]
    (folder / dataset.meta["filename"]).write_bytes(pickle.dumps({dataset.meta["key"]: [str(k) for k in range(100)]}))


def pin(monkeypatch, kind: str, folder: Path, archive: Path) -> None:
    """Tells torchvision's md5 and our SHA-256 of the made-up files in place of those of the originals."""
    options, dataset = SETS[kind]
    md5 = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    for files in ("train_list", "test_list"):
        monkeypatch.setattr(dataset, files, [[name, md5[name]] for name, _ in getattr(dataset, files)])
    monkeypatch.setattr(dataset, "meta", dataset.meta | {"md5": md5[dataset.meta["filename"]]})
    monkeypatch.setattr(dataset, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    sha256 = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in options.sha256}
    monkeypatch.setattr(options, "sha256", sha256)
    monkeypatch.setattr(options, "archive_sha256", hashlib.sha256(archive.read_bytes()).hexdigest())


@pytest.fixture(params=SETS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def originals(kind, tmp_path, monkeypatch) -> Path:
    """A data root with folder and archive of a small set."""
    root = tmp_path / "made"
    options = SETS[kind][0]
    write(root / options.folder, kind, arrays_of(kind))
    with tarfile.open(root / options.archive, "w:gz") as packed:
        packed.add(root / options.folder, options.folder)
    pin(monkeypatch, kind, root / options.folder, root / options.archive)
    return root


def table(kind: str) -> CifarOptions:
    return SETS[kind][0]()


def test_own_files_come_before_an_npz(kind, originals):
    np.savez(originals / f"{kind}.npz", **(arrays_of(kind) | {"train_y": np.zeros(20, np.int64)}))
    (originals / table(kind).archive).unlink()
    data = table(kind).load(at(originals))
    assert_same(data, arrays_of(kind))
    assert data.classes == table(kind).classes
    assert data.warnings == ()
    folder = originals / table(kind).folder
    names = sorted(name for name, _ in SETS[kind][1].train_list + SETS[kind][1].test_list)
    whole = b"".join((folder / name).read_bytes() for name in names)
    assert data.provenance["data_source"] == table(kind).folder
    assert data.provenance["data_sha256"] == hashlib.sha256(whole).hexdigest()


def test_an_archive_is_read_where_it_lies(kind, originals, tmp_path):
    root = tmp_path / "only_archive"
    root.mkdir()
    digest = table(kind).load(at(originals)).provenance["data_sha256"]
    (originals / table(kind).archive).rename(root / table(kind).archive)
    data = table(kind).load(at(root))
    assert_same(data, arrays_of(kind))
    assert data.provenance["data_sha256"] == digest
    assert [file.name for file in root.iterdir()] == [table(kind).archive]


def hostile(root: Path, kind: str, originals: Path) -> tarfile.TarFile:
    """An archive to be filled, in a folder that holds nothing else."""
    root.mkdir()
    return tarfile.open(root / table(kind).archive, "w:gz")


def vouched(monkeypatch: pytest.MonkeyPatch, root: Path, kind: str) -> None:
    """Says that the archive is the original."""
    content = (root / table(kind).archive).read_bytes()
    monkeypatch.setattr(SETS[kind][0], "archive_sha256", hashlib.sha256(content).hexdigest())


def test_an_archive_writes_nothing_wherever_its_members_point(kind, originals, tmp_path, monkeypatch):
    """Even one that a digest vouches for: `..`, absolute names, links and devices are left alone."""
    root = tmp_path / "deep" / "root"
    root.parent.mkdir()
    with hostile(root, kind, originals) as packed:
        for name in ("../escaped", "/tmp/glassyrun-escaped", f"{table(kind).folder}/../../escaped"):
            packed.addfile(tarfile.TarInfo(name))
        for form, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.CHRTYPE, "device")):
            member = tarfile.TarInfo(f"{table(kind).folder}/{name}")
            member.type, member.linkname = form, "/etc/passwd"
            packed.addfile(member)
        packed.add(originals / table(kind).folder, table(kind).folder)
    vouched(monkeypatch, root, kind)
    assert_same(table(kind).load(at(root)), arrays_of(kind))
    assert [file.name for file in root.iterdir()] == [table(kind).archive]
    assert [file.name for file in root.parent.iterdir()] == ["root"]
    assert not Path("/tmp/glassyrun-escaped").exists()


def test_a_link_in_place_of_a_file_is_not_followed(kind, originals, tmp_path, monkeypatch):
    root = tmp_path / "root"
    name = SETS[kind][1].train_list[0][0]
    with hostile(root, kind, originals) as packed:
        member = tarfile.TarInfo(f"{table(kind).folder}/{name}")
        member.type, member.linkname = tarfile.SYMTYPE, str(originals / table(kind).folder / name)
        packed.addfile(member)
    vouched(monkeypatch, root, kind)
    with pytest.raises(DataError, match=f"has no file {name}") as error:
        table(kind).load(at(root))
    one_sentence(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(Trap()), "it names"),
        (b"cos\nsystem\n(S'touch /tmp/glassyrun-escaped'\ntR.", "it names os.system, expected arrays and labels alone"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "it names builtins.eval"),
        (b"cnumpy\nload\n(S'/etc/passwd'\ntR.", "it names numpy.load"),
        (pickle.dumps({"data": 3, "labels": [[1], [2, 3]]}), "can't be read"),
        (pickle.dumps([1]), "can't be read"),
        (b"", "can't be read"),
    ],
)
def test_a_pickle_runs_no_code_even_where_digests_vouch_for_it(kind, originals, monkeypatch, content, words):
    folder, archive = originals / table(kind).folder, originals / table(kind).archive
    (folder / SETS[kind][1].test_list[0][0]).write_bytes(content)
    pin(monkeypatch, kind, folder, archive)
    with pytest.raises(DataError, match=words) as error:
        table(kind).load(at(originals))
    one_sentence(error)
    assert not Path("/tmp/glassyrun-escaped").exists()


def test_images_lie_in_memory_as_a_network_on_the_cpu_keeps_them(originals, kind):
    data = table(kind).load(at(originals))
    assert data.train_x.movedim(1, -1).is_contiguous()


def test_unchecked_pickles_are_never_opened(kind, originals):
    name = SETS[kind][1].train_list[-1][0]
    (originals / table(kind).folder / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="is not that of the original") as error:
        table(kind).load(at(originals))
    assert str(originals / table(kind).folder) in one_sentence(error)


def test_an_md5_alone_does_not_vouch_for_cifar10(tmp_path, monkeypatch):
    """Files with another SHA-256 than ours, whatever torchvision says of their md5."""
    write(tmp_path / Cifar10Options.folder, "cifar10", arrays_of("cifar10"))
    md5 = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in (tmp_path / Cifar10Options.folder).iterdir()}
    for files in ("train_list", "test_list"):
        monkeypatch.setattr(CIFAR10, files, [[name, md5[name]] for name, _ in getattr(CIFAR10, files)])
    with pytest.raises(DataError, match="SHA-256"):
        Cifar10Options().load(at(tmp_path))


def test_a_file_that_is_missing(kind, originals):
    (originals / table(kind).folder / SETS[kind][1].train_list[0][0]).unlink()
    with pytest.raises(DataError, match=r"missing|can't be read") as error:
        table(kind).load(at(originals))
    assert str(originals / table(kind).folder) in one_sentence(error)


def test_a_foreign_archive(kind, originals, tmp_path):
    root = tmp_path / "foreign"
    root.mkdir()
    (root / table(kind).archive).write_bytes(b"something else")
    with pytest.raises(DataError, match="is not that of the original") as error:
        table(kind).load(at(root))
    assert str(root / table(kind).archive) in one_sentence(error)


def test_labels_of_a_class_that_is_not_there(kind, originals, monkeypatch):
    highest = int(arrays_of(kind)["train_y"].max())
    monkeypatch.setattr(SETS[kind][0], "classes", highest)
    with pytest.raises(DataError, match=f"train_y has labels from 0 to {highest}, expected 0 to {highest - 1}") as error:
        table(kind).load(at(originals))
    assert str(originals / table(kind).folder) in one_sentence(error)


class Python2(pickle._Pickler):
    """Writes as Python 2 did, in which the originals were written: text and bytes are one type, and NumPy's names are old."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_text(self, text: str | bytes) -> None:
        content = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_text


def as_python_2(table: dict[str, object]) -> bytes:
    target = io.BytesIO()
    Python2(target, protocol=2).dump(table)
    return target.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def test_files_as_python_2_wrote_them(originals, kind, monkeypatch):
    folder = originals / table(kind).folder
    expected = table(kind).load(at(originals))
    for name, _ in SETS[kind][1].train_list + SETS[kind][1].test_list:
        content = as_python_2(pickle.loads((folder / name).read_bytes()))
        assert b"numpy._core" not in content
        assert pickle.loads(content, encoding="latin1")["data"].dtype == np.uint8
        (folder / name).write_bytes(content)
    pin(monkeypatch, kind, folder, originals / table(kind).archive)
    recent.forget()
    data = table(kind).load(at(originals))
    assert torch.equal(data.train_x, expected.train_x)
    assert torch.equal(data.test_y, expected.test_y)
