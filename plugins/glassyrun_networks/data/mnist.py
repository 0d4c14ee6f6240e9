"""MNIST (LeCun, Bottou, Bengio and Haffner, 1998) and Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from glassyrun_networks.data.images import ImageOptions

if TYPE_CHECKING:
    from glassyrun_networks.data.arrays import Arrays

FILES = {
    "train_x": ("train-images-idx3-ubyte", (60_000, 28, 28)),
    "train_y": ("train-labels-idx1-ubyte", (60_000,)),
    "test_x": ("t10k-images-idx3-ubyte", (10_000, 28, 28)),
    "test_y": ("t10k-labels-idx1-ubyte", (10_000,)),
}
"""Of each array: name of its file and its shape."""


class IdxOptions(ImageOptions):
    """28×28 images in grey in the four files of MNIST, plain or packed by gzip."""

    image: ClassVar[tuple[int, int, int]] = (28, 28, 1)
    torchvision_name: ClassVar[str]
    folders: ClassVar[Sequence[str]]
    """Below the data root; downloads go into the first."""
    sha256: ClassVar[Mapping[str, str]]
    """Of each array's unpacked file."""

    def own(self) -> Sequence[str]:
        return tuple(f"{folder}/{name}{end}" for folder in self.folders for name, _ in FILES.values() for end in ("", ".gz"))

    def local(self, root: Path) -> Arrays | None:
        for folder in self.folders:
            found = {key: _existing(root / folder / name) for key, (name, _) in FILES.items()}
            paths = {key: path for key, path in found.items() if path is not None}
            if len(paths) == len(FILES):
                return self._read(folder, root, paths)
        return None

    def _read(self, folder: str, root: Path, paths: Mapping[str, Path]) -> Arrays:
        import hashlib

        from glassyrun_networks.data.arrays import checked
        from glassyrun_networks.data.idx import Original, read_idx

        digest = hashlib.sha256()
        arrays: dict[str, Any] = {}
        for key, (name, shape) in sorted(FILES.items(), key=lambda item: item[1]):
            arrays[key], content = read_idx(paths[key], Original(name, shape, self.sha256[key]))
            digest.update(content)
        remedy = "remove the folder, or fetch it again"
        return checked(arrays, self.form, root / folder, folder, digest.hexdigest(), remedy)

    def fetch(self, root: Path, seconds: float | None) -> None:
        import torchvision.datasets

        from glassyrun_networks.data.download import fetch_all

        mirrors = getattr(torchvision.datasets, self.torchvision_name).mirrors
        folder = root / self.folders[0]
        missing = [f"{name}.gz" for name, _ in FILES.values() if _existing(folder / name) is None]
        fetch_all(mirrors, missing, folder, seconds)

    def files(self) -> str:
        return f"the four files *-ubyte.gz in {self.folders[0]} (as torchvision lays them out) or {self.npz}"


def _existing(path: Path) -> Path | None:
    """The plain file, else the packed one, else None."""
    packed = path.with_name(f"{path.name}.gz")
    return path if path.is_file() else packed if packed.is_file() else None


class MnistOptions(IdxOptions):
    """MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28 in grey, 10 classes.

    Read from torchvision's own files or `mnist.npz` in the data root (--data DIR, GLASSYRUN_DATA, or the user's cache), else
    downloaded there (12 MB). Normalised by mean and standard deviation of all pixels of the whole training set.
    """

    title: ClassVar[str] = "MNIST"
    mean: ClassVar[tuple[float, ...]] = (0.13066048,)
    std: ClassVar[tuple[float, ...]] = (0.3081078,)
    packaged: ClassVar[tuple[str, str] | None] = (
        "mnist_sample.zip",
        "09626c5bc367b52044f0b3f8c3682884aa4b8bb29cde0ad33d59d36d445ad87f",
    )
    torchvision_name: ClassVar[str] = "MNIST"
    folders: ClassVar[Sequence[str]] = ("MNIST/raw",)
    sha256: ClassVar[Mapping[str, str]] = {
        "train_x": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train_y": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "test_x": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "test_y": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }

    kind: Literal["mnist"] = "mnist"


class FashionMnistOptions(IdxOptions):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28×28 in grey, 10 classes.

    Read from torchvision's own files (or from Debian's package dataset-fashion-mnist, with --data /usr/share/datasets) or
    `fashion_mnist.npz` in the data root (--data DIR, GLASSYRUN_DATA, or the user's cache), else downloaded there (31 MB).
    Normalised by mean and standard deviation of all pixels of the whole training set.
    """

    title: ClassVar[str] = "Fashion-MNIST"
    mean: ClassVar[tuple[float, ...]] = (0.2860406,)
    std: ClassVar[tuple[float, ...]] = (0.35302424,)
    torchvision_name: ClassVar[str] = "FashionMNIST"
    folders: ClassVar[Sequence[str]] = ("FashionMNIST/raw", "fashion-mnist")
    sha256: ClassVar[Mapping[str, str]] = {
        "train_x": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train_y": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "test_x": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "test_y": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    }

    kind: Literal["fashion_mnist"] = "fashion_mnist"
