"""From committed shards to one labelled dataset in netCDF."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import xarray as xr
from torch import Tensor

from glassyrun.errors import StorageError
from glassyrun.files import digest, read_checked, storage, write_whole
from glassyrun.manifest import MOST_BYTES, Blob, Manifest, read_manifest
from glassyrun.progress import Silent
from glassyrun.recorder import coordinate
from glassyrun.store import read_blob

SIDECAR = "result.json"
"""Size and digest of `result.nc`, and of the manifest that it was built from, so that a change of either is noticed."""
AVERAGED = "averaged_over"
"""Attribute of a result whose numbers are averages over these dimensions, which it then does not have."""
MOST_SIDECAR = 10_000
HEADER = 4_000_000
"""Bytes that a file may have beside its numbers."""


def assemble(directory: Path) -> xr.Dataset:
    """The dataset of a run directory, whole or not yet; what was not measured is NaN.

    Dimensions: `sample`, `replica` (unless a theory gives averages over them), `time` or (`t_w`, `t`), then what a variable brings
    (`block`). The attribute
    `complete` is 1 for a finished run; `damaged` names committed files that could not be read, whose readings are NaN.

    Raises:
        StorageError: if the directory holds no run, or its manifest is damaged.
    """
    manifest = read_manifest(directory)
    if manifest is None and not directory.exists():
        raise StorageError(f"{directory}: there is no such file or directory; give a run directory, or a .nc file of a result")
    if manifest is None:
        raise StorageError(f"{directory}: holds no run (there is no manifest.json); give the directory that a run wrote")
    arrays, damaged = _filled(directory, manifest)
    coords = {name: (axis.get("along", name), axis["values"], _labels(axis)) for name, axis in manifest.axes.items()}
    variables: dict[str, xr.DataArray] = {}
    for name, about in manifest.variables.items():
        dims = ["sample", *about["grid"], *about["dims"]]
        array = xr.DataArray(arrays[name], dims=dims, attrs=about["attributes"], coords=_own(about))
        behind = [dim for dim in about["dims"] if dim != "replica"]
        front = ["sample", *(["replica"] if "replica" in about["dims"] else [])]
        variables[name] = array.transpose(*front, *about["grid"], *behind)
    dataset = xr.Dataset(variables, coords=coords, attrs=manifest.attributes)
    averaged = str(manifest.attributes.get(AVERAGED, "")).split()
    dataset = dataset.isel(dict.fromkeys(averaged, 0), drop=True, missing_dims="ignore")
    dataset.attrs["complete"] = int(manifest.complete)
    if manifest.failure:
        dataset.attrs["failure"] = manifest.failure
    if damaged:
        dataset.attrs["damaged"] = "\n".join(damaged)
    return dataset


def write(directory: Path, tell: Callable[[str], None] | None = None) -> Path:
    """Builds `result.nc` and puts it in its place whole; `tell` hears, in a sentence, of files that could not be read.

    Raises:
        StorageError: if it can't be written.
    """
    path = directory / "result.nc"
    while True:
        built_from = _manifest_digest(
            directory
        )  # before it is read: a commit in between makes the result one that is built again
        dataset = assemble(directory)
        content = _as_netcdf(directory, dataset)
        # a run that has ended meanwhile has written the whole: a part must not replace it
        if dataset.attrs["complete"] or "failure" in dataset.attrs or not _ended(directory):
            break
    sidecar = {
        "size": len(content),
        "digest": write_whole(path, content, shared=True),
        "manifest": built_from,
        "damaged": "damaged" in dataset.attrs,
    }
    write_whole(directory / SIDECAR, json.dumps(sidecar, sort_keys=True).encode(), shared=True)
    if "damaged" in dataset.attrs:
        (tell or Silent().warn)(_lost(directory, dataset.attrs["damaged"].splitlines()))
    return path


def _ended(directory: Path) -> bool:
    manifest = read_manifest(directory)
    return manifest is not None and (manifest.complete or manifest.failure is not None)


def _as_netcdf(directory: Path, dataset: xr.Dataset) -> bytes:
    """The file that holds a dataset."""
    encoding: dict[Any, Any] = {name: {"zlib": True, "shuffle": True, "complevel": 4} for name in dataset.data_vars}
    try:
        with _scratch(directory, dataset.nbytes) as scratch:
            dataset.to_netcdf(scratch, engine="netcdf4", encoding=encoding)
            return scratch.read_bytes()
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        told = " ".join(str(error).split())[:200]
        raise StorageError(
            f"{directory / 'result.nc'}: what is committed can't be written as netCDF ({told}); look for what is strange in manifest.json"
        ) from error


@contextlib.contextmanager
def _scratch(directory: Path, size: int) -> Iterator[Path]:
    """A temporary file where there is room for it: for the netCDF library a disk that fills up is a file that it can't close."""
    places = (Path(tempfile.gettempdir()), Path("/dev/shm"), directory)
    place = next((place for place in places if _has_room(place, size + HEADER)), None)
    if place is None:
        raise StorageError(
            f"{directory / 'result.nc'}: the disk is full, building it needs up to {(size + HEADER) / 1e6:.3g} MB in a temporary "
            f"folder; free some space and run `glassyrun collect {directory}`, what was committed is kept"
        )
    with tempfile.TemporaryDirectory(prefix=".glassyrun-", dir=place) as folder:
        yield Path(folder) / "result.nc"


def _has_room(place: Path, size: int) -> bool:
    try:
        return shutil.disk_usage(place).free > size and os.access(place, os.W_OK)
    except OSError:
        return False


def _lost(directory: Path, damaged: Sequence[str]) -> str:
    count = f"{len(damaged)} committed files" if len(damaged) > 1 else "a committed file"
    shown = ", ".join(damaged[:3]) + (", …" if len(damaged) > 3 else "")
    return (
        f"{directory}: {count} could not be read ({shown}) and what was measured there is NaN in result.nc; restore what is damaged "
        f"and run `glassyrun collect {directory}`, or begin anew with --fresh"
    )


def intact(directory: Path) -> bool:
    """Whether `result.nc` is the file that was written here last, from what is committed now, all of it.

    A run may have died between its last commit and its result, after someone had collected a part of it.
    """
    path, sidecar = directory / "result.nc", directory / SIDECAR
    try:
        if sidecar.stat().st_size > MOST_SIDECAR:
            return False
        said = json.loads(sidecar.read_bytes())
        if said["damaged"] or said["manifest"] != _manifest_digest(directory):
            return False
        read_checked(directory, path.name, said["size"], said["digest"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, StorageError):
        return False
    return True


def _manifest_digest(directory: Path) -> str | None:
    path = directory / "manifest.json"
    with storage("reading", path):
        return digest(path.read_bytes()) if path.is_file() and path.stat().st_size <= MOST_BYTES else None


def _filled(directory: Path, manifest: Manifest) -> tuple[dict[str, np.ndarray], list[str]]:
    """The array of each variable, and the names of committed files that could not be read."""
    sizes = {name: _sizes(manifest, about) for name, about in manifest.variables.items()}
    dtypes = {name: np.dtype(about.get("dtype", "float64")) for name, about in manifest.variables.items()}
    needed = sum(math.prod(shape) * dtypes[name].itemsize for name, shape in sizes.items())
    free = psutil.virtual_memory().available
    if needed > free:
        raise StorageError(
            f"{directory}: the result needs {needed / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free; take a machine with more memory"
        )
    arrays = {name: np.full(shape, np.nan, dtypes[name]) for name, shape in sizes.items()}
    damaged: list[str] = []
    for blob in manifest.shards:
        try:
            for name, index, values in _readings(manifest, blob, read_blob(directory, blob), sizes):
                # the grid leads here; `assemble` puts it behind the replica afterwards
                arrays[name][(blob.sample, *index)] = values
        except StorageError:
            damaged.append(blob.file)
    return arrays, damaged


def _sizes(manifest: Manifest, about: dict[str, Any]) -> list[int]:
    """Shape of a variable, the grid before what one reading brings."""
    sizes = {name: len(axis["values"]) for name, axis in manifest.axes.items()}
    sizes |= {dim: len(coordinate(values)) for dim, values in about["coords"].items()}
    return [sizes[dim] for dim in ("sample", *about["grid"], *about["dims"])]


def _readings(
    manifest: Manifest, blob: Blob, tensors: dict[str, Tensor], sizes: dict[str, list[int]]
) -> list[tuple[str, tuple[np.ndarray, ...], np.ndarray]]:
    """Name, index into the grid, and values of what a shard holds; whoever wrote it, it lies within its arrays."""
    found: list[tuple[str, tuple[np.ndarray, ...], np.ndarray]] = []
    for name, about in manifest.variables.items():
        value, index = tensors.get(f"value/{name}"), tensors.get(f"index/{name}")
        if value is None and index is None:
            continue
        grid = len(about["grid"])
        within, shape = sizes[name][1 : 1 + grid], sizes[name][1 + grid :]
        if value is None or index is None or not _fits(value, index, grid, shape):
            raise StorageError(f"{blob.file}: {name} is not of the form that a run writes")
        if bool(((index < 0) | (index >= torch.tensor(within))).any()):
            raise StorageError(f"{blob.file}: {name} has readings outside its grid")
        found.append((name, tuple(index.numpy().T), value.to(torch.float64).numpy()))
    return found


def _fits(value: Tensor, index: Tensor, grid: int, shape: list[int]) -> bool:
    """Whether these are readings of one shape, each with a place in a grid of so many dimensions."""
    readings = value.shape[0] if value.ndim else -1
    whole = value.dtype.is_floating_point and list(value.shape[1:]) == shape
    return whole and index.dtype == torch.int64 and list(index.shape) == [readings, grid]


def _own(about: dict[str, Any]) -> dict[str, Any]:
    """Coordinates that a variable brings."""
    return {dim: (dim, coordinate(values), {"long_name": dim, "units": "1"}) for dim, values in about["coords"].items()}


def _labels(axis: dict[str, Any]) -> dict[str, str]:
    return {key: text for key, text in axis.items() if key not in ("values", "along")}
