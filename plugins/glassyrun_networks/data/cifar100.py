"""CIFAR-100 (Krizhevsky, 2009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from glassyrun_networks.data.cifar import CifarOptions


class Cifar100Options(CifarOptions):
    """CIFAR-100: 50,000 training and 10,000 test images, 32×32 in colour, 100 classes (the fine labels).

    Read from torchvision's own files or `cifar100.npz` in the data root (--data DIR, GLASSYRUN_DATA, or the user's cache),
    else downloaded there (169 MB). Normalised by mean and standard deviation of each channel over the whole training set.
    """

    title: ClassVar[str] = "CIFAR-100"
    classes: ClassVar[int] = 100
    mean: ClassVar[tuple[float, ...]] = (0.50707516, 0.48654887, 0.44091784)
    std: ClassVar[tuple[float, ...]] = (0.26733429, 0.25643846, 0.27615047)
    torchvision_name: ClassVar[str] = "CIFAR100"
    folder: ClassVar[str] = "cifar-100-python"
    archive: ClassVar[str] = "cifar-100-python.tar.gz"
    archive_sha256: ClassVar[str] = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
    batches: ClassVar[Sequence[str]] = ("train", "test", "meta")
    sha256: ClassVar[Mapping[str, str]] = {}

    kind: Literal["cifar100"] = "cifar100"
