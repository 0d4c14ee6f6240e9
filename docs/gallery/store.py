"""Writes the readings of a run that the gallery's pages load: `python docs/gallery/store.py RUN_DIRECTORY...`, from anywhere.

Of `result.nc` all readings over sample, replica, time, t_w and t are kept, in single precision and compressed, with all
attributes: the spec, versions, the device. Nothing is averaged, so that every interval can be had from the stored file. The
name is that of the run directory, which is the spec file's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr

RESULTS = Path(__file__).parent / "results"
LARGEST = 250_000
DIMS = {"sample", "replica", "time", "t_w", "t"}


def reduced(ds: xr.Dataset) -> xr.Dataset:
    """The same labels and attributes, readings in float32; what has other dimensions is left out."""
    kept = [name for name in ds.data_vars if set(ds[name].dims) <= DIMS]
    out = ds[kept]
    return out.assign({name: out[name].astype(np.float32) for name in kept if out[name].dtype == np.float64})


def store(directory: Path) -> Path:
    """Writes results/NAME.nc for a finished run.

    Raises:
        SystemExit: if the run is not complete, or its readings are too large for the repository.
    """
    ds = xr.load_dataset(directory / "result.nc")
    if not ds.attrs["complete"]:
        raise SystemExit(f"{directory} is not complete: let it run to its end")
    path = RESULTS / f"{directory.resolve().name}.nc"
    out = reduced(ds)
    out.to_netcdf(path, encoding={name: {"zlib": True, "complevel": 9, "shuffle": True} for name in out.data_vars})
    if path.stat().st_size > LARGEST:
        size = path.stat().st_size
        path.unlink()
        raise SystemExit(f"{directory}: {size} bytes are more than {LARGEST}; measure at fewer times")
    return path


if __name__ == "__main__":
    for run in sys.argv[1:]:
        print(store(Path(run)))
