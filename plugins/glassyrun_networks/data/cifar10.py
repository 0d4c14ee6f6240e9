"""CIFAR-10 (Krizhevsky, 2009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from glassyrun_networks.data.cifar import CifarOptions


class Cifar10Options(CifarOptions):
    """CIFAR-10: 50,000 training and 10,000 test images, 32×32 in colour, 10 classes.

    Read from torchvision's own files or `cifar10.npz` in the data root (--data DIR, GLASSYRUN_DATA, or the user's cache),
    else downloaded there (170 MB). Normalised by mean and standard deviation of each channel over the whole training set.
    """

    title: ClassVar[str] = "CIFAR-10"
    mean: ClassVar[tuple[float, ...]] = (0.49139968, 0.48215841, 0.44653091)
    std: ClassVar[tuple[float, ...]] = (0.24703223, 0.24348513, 0.26158784)
    packaged: ClassVar[tuple[str, str] | None] = (
        "cifar10_sample.zip",
        "a5848ccad7a4093524d684c60d0ef7983a42da4211cdc8e1b42d244121c071d7",
    )
    torchvision_name: ClassVar[str] = "CIFAR10"
    folder: ClassVar[str] = "cifar-10-batches-py"
    archive: ClassVar[str] = "cifar-10-python.tar.gz"
    archive_sha256: ClassVar[str] = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    batches: ClassVar[Sequence[str]] = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta")
    sha256: ClassVar[Mapping[str, str]] = {
        "batches.meta": "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb",
        "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
        "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
        "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
        "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
        "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
        "test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
    }

    kind: Literal["cifar10"] = "cifar10"
