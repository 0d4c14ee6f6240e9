"""CIFAR-10 (Krizhevsky, 2009)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from glassyrun_networks.data.images import ImageOptions

if TYPE_CHECKING:
    from glassyrun_networks.data.arrays import Arrays

OWN_FILES = ("cifar-10-batches-py", "cifar-10-python.tar.gz")
SAMPLE = "cifar10_sample.zip"
SAMPLE_SHA256 = "a5848ccad7a4093524d684c60d0ef7983a42da4211cdc8e1b42d244121c071d7"


class Cifar10Options(ImageOptions):
    """CIFAR-10: 50,000 training and 10,000 test images, 32×32 in colour, 10 classes.

    Read from torchvision's own files or `cifar10.npz` in the data root (--data DIR, GLASSYRUN_DATA, or the user's cache),
    else downloaded there (170 MB). Normalised by mean and standard deviation of each channel over the whole training set.
    """

    title: ClassVar[str] = "CIFAR-10"
    image: ClassVar[tuple[int, int, int]] = (32, 32, 3)
    mean: ClassVar[tuple[float, ...]] = (0.49139968, 0.48215841, 0.44653091)
    std: ClassVar[tuple[float, ...]] = (0.24703223, 0.24348513, 0.26158784)

    kind: Literal["cifar10"] = "cifar10"

    def local(self, root: Path) -> Arrays | None:
        if not any((root / name).exists() for name in OWN_FILES):
            return None  # torchvision takes a second to import
        from torchvision.datasets import CIFAR10

        from glassyrun_networks.data.cifar_files import read

        return read(CIFAR10, root, self.form)

    def fetch(self, root: Path, seconds: float | None) -> None:
        from torchvision.datasets import CIFAR10

        from glassyrun_networks.data.download import fetch

        fetch(CIFAR10.url, root / CIFAR10.filename, seconds)

    def files(self) -> str:
        return f"cifar-10-python.tar.gz (from https://www.cs.toronto.edu/~kriz/cifar.html) or {self.npz}"

    def sample(self) -> Arrays:
        from glassyrun_networks.data.sample import packaged

        return packaged(SAMPLE, SAMPLE_SHA256, self.form)
