"""From committed shards to one labelled dataset in netCDF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from glassyrun.errors import StorageError
from glassyrun.files import storage, sync_directory
from glassyrun.manifest import Manifest, read_manifest
from glassyrun.recorder import coordinate
from glassyrun.store import read_blob


def assemble(directory: Path) -> xr.Dataset:
    """The dataset of a run directory, whole or not yet; what was not measured is NaN.

    Dimensions: `sample`, `replica`, `time` or (`t_w`, `t`), then what a variable brings (`block`). The attribute
    `complete` is 1 for a finished run.

    Raises:
        StorageError: if the directory holds no run, or a committed file is damaged.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        raise StorageError(f"{directory}: holds no run (there is no manifest.json); give the directory that a run wrote")
    arrays = {name: _empty(manifest, about) for name, about in manifest.variables.items()}
    for blob in manifest.shards:
        tensors, sample = read_blob(directory, blob), blob.about["sample"]
        for name, array in arrays.items():
            if f"value/{name}" in tensors:
                index = tuple(tensors[f"index/{name}"].numpy().T)
                # the grid leads here; `_dims` puts it behind the replica afterwards
                array[(sample, *index)] = tensors[f"value/{name}"].numpy()
    coords = {name: (axis.get("along", name), axis["values"], _labels(axis)) for name, axis in manifest.axes.items()}
    variables: dict[str, xr.DataArray] = {}
    for name, about in manifest.variables.items():
        dims = ["sample", *about["grid"], *about["dims"]]
        array = xr.DataArray(arrays[name], dims=dims, attrs=about["attributes"], coords=_own(about))
        behind = [dim for dim in about["dims"] if dim != "replica"]
        front = ["sample", *(["replica"] if "replica" in about["dims"] else [])]
        variables[name] = array.transpose(*front, *about["grid"], *behind)
    dataset = xr.Dataset(variables, coords=coords, attrs=manifest.attributes)
    dataset.attrs["complete"] = int(manifest.complete)
    if manifest.failure:
        dataset.attrs["failure"] = manifest.failure
    return dataset


def write(directory: Path) -> Path:
    """Builds `result.nc` beside its place and renames it.

    Raises:
        StorageError: if it can't be written.
    """
    dataset, path = assemble(directory), directory / "result.nc"
    beside = directory / f".result.nc.{os.getpid()}.part"  # `collect` may run beside the run itself
    encoding: dict[Any, Any] = {name: {"zlib": True, "shuffle": True, "complevel": 4} for name in dataset.data_vars}
    with storage("writing", path):
        try:
            dataset.to_netcdf(beside, engine="netcdf4", encoding=encoding)
        except RuntimeError as error:  # how the netCDF library tells of a full disk
            beside.unlink(missing_ok=True)
            raise StorageError(
                f"{path}: writing failed ({error}); see that the disk is not full, then run `glassyrun collect {directory}`"
            ) from error
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_directory(directory)
    return path


def _empty(manifest: Manifest, about: dict[str, Any]) -> np.ndarray:
    sizes = {name: len(axis["values"]) for name, axis in manifest.axes.items()}
    sizes |= {dim: len(coordinate(values)) for dim, values in about["coords"].items()}
    return np.full([sizes[dim] for dim in ("sample", *about["grid"], *about["dims"])], np.nan, about.get("dtype", "float64"))


def _own(about: dict[str, Any]) -> dict[str, Any]:
    """Coordinates that a variable brings."""
    return {dim: (dim, coordinate(values), {"long_name": dim, "units": "1"}) for dim, values in about["coords"].items()}


def _labels(axis: dict[str, Any]) -> dict[str, str]:
    return {key: text for key, text in axis.items() if key not in ("values", "along")}
