"""What CIFAR-10 and CIFAR-100 share: form, places, and the way their files are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from glassyrun_networks.data.images import ImageOptions

if TYPE_CHECKING:
    from glassyrun_networks.data.arrays import Arrays


class CifarOptions(ImageOptions):
    """32×32 images in colour, in the files of Krizhevsky (Learning multiple layers of features from tiny images, 2009)."""

    image: ClassVar[tuple[int, int, int]] = (32, 32, 3)
    torchvision_name: ClassVar[str]
    folder: ClassVar[str]
    archive: ClassVar[str]
    archive_sha256: ClassVar[str]
    batches: ClassVar[Sequence[str]]
    """Files in `folder`."""
    sha256: ClassVar[Mapping[str, str]]
    """Of the files in `folder`, as far as they are known; of all of them the md5 is checked, which torchvision has."""

    @classmethod
    def reader(cls) -> Any:
        """The torchvision class that knows the files: their names, their md5, and where they are to be had."""
        import torchvision.datasets  # takes a second

        return getattr(torchvision.datasets, cls.torchvision_name)

    def own(self) -> Sequence[str]:
        return (self.archive, *(f"{self.folder}/{name}" for name in self.batches))

    def local(self, root: Path) -> Arrays | None:
        if not any((root / name).exists() for name in (self.folder, self.archive)):
            return None
        from glassyrun_networks.data.cifar_files import read

        return read(self.reader(), root, self.form, self.archive_sha256, self.sha256)

    def fetch(self, root: Path, seconds: float | None) -> None:
        from glassyrun_networks.data.download import fetch

        fetch(self.reader().url, root / self.archive, seconds)

    def files(self) -> str:
        return f"{self.archive} (from https://www.cs.toronto.edu/~kriz/cifar.html) or {self.npz}"
