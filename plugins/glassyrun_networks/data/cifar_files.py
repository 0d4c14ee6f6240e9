"""The CIFAR sets in their authors' files, read through torchvision.

The files are pickles. Torchvision compares the md5 of each with that of the original before it opens any, so nothing is
unpickled here but the authors' own bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from glassyrun import DataError
from glassyrun_networks.data.arrays import Arrays, Form, checked, sha256_of


def read(dataset: Any, root: Path, form: Form) -> Arrays | None:
    """The set of a torchvision class such as `CIFAR10` from its folder below `root`, or from its archive, which is then unpacked.

    None where there is neither.

    Raises:
        DataError: if folder or archive are not the authors'.
    """
    from torchvision.datasets.utils import check_integrity

    folder, archive = root / dataset.base_folder, root / dataset.filename
    unpacks = not folder.is_dir()
    if unpacks and not archive.is_file():
        return None
    if unpacks and not check_integrity(str(archive), dataset.tgz_md5):
        raise DataError(f"{archive}: its md5 is not that of the original ({dataset.tgz_md5}): remove it, or fetch it again")
    try:
        train = dataset(root, train=True, download=unpacks)
        test = dataset(root, train=False)
    except OSError as error:
        raise DataError(
            f"{archive if unpacks else folder}: can't be unpacked or read ({error}): mend that, or remove it"
        ) from error
    except RuntimeError as error:
        raise DataError(
            f"{folder}: a file is missing, or its md5 is not that of the original: remove the folder, or fetch it again"
        ) from error
    files = sorted(folder / name for name, _ in dataset.train_list + dataset.test_list)
    arrays = {"train_x": train.data, "train_y": np.array(train.targets), "test_x": test.data, "test_y": np.array(test.targets)}
    return checked(arrays, form, folder, sha256_of(files), "remove the folder, or fetch it again")
