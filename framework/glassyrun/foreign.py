"""netCDF files that lie in no run directory: the one place where a file is opened that nothing says we wrote."""

from __future__ import annotations

from pathlib import Path

import psutil
import xarray as xr

from glassyrun.errors import StorageError

GRID = {"time", "t_w", "t"}


def open_result(path: Path) -> xr.Dataset:
    """The dataset of a netCDF file as glassyrun writes it, loaded.

    The file is read by netCDF's C library, which is not made for files of strangers (SECURITY.md).

    Raises:
        StorageError: if it can't be read, has nothing over time or waiting time, or does not fit into memory.
    """
    try:
        with xr.open_dataset(path, engine="netcdf4", decode_times=False) as ds:
            if not any(GRID & set(map(str, array.dims)) for array in ds.data_vars.values()):
                held = ", ".join(map(str, ds.data_vars)) or "nothing"
                raise StorageError(f"{path}: found {held}, and no variable over time or (t_w, t) as a run writes it")
            if ds.nbytes > psutil.virtual_memory().available:
                raise StorageError(f"{path}: needs {ds.nbytes / 1e9:.3g} GB of memory, which are not free")
            return ds.load()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        told = " ".join(str(error).split())[:200]
        raise StorageError(
            f"{path}: can't be read as netCDF ({told}); give a run directory, or a .nc file that glassyrun wrote"
        ) from error
