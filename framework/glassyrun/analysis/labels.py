"""Labels in, labels out: the dimensions of a result, sweeps over others, and how an estimate is written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from glassyrun.analysis.trajectories import CONFIDENCE, Estimate, NotEnough
from glassyrun.errors import Refusal

GRID = ("sample", "replica", "time", "t_w", "t")
BOUNDS = ["low", "high"]


def dataset(data: xr.Dataset | xr.DataArray, *names: str, dims: Sequence[str] | Mapping[str, Sequence[str]] = ()) -> xr.Dataset:
    """The variables that an analysis needs, by name; a lone DataArray is the first of them, and has no attributes of the run.

    Args:
        dims: dimensions that all of them must have, or those of each by name; each of these with a coordinate that increases.

    Raises:
        Refusal: if one is not there, or holds no numbers, or lacks a dimension or its coordinate.
    """
    if isinstance(data, xr.DataArray):
        data = data.to_dataset(name=names[0], promote_attrs=False)
    if not isinstance(data, xr.Dataset):
        raise Refusal(f"analysis: a result is an xarray Dataset, or one of its variables, found {type(data).__name__}")
    for name in names:
        if name not in data:
            held = ", ".join(map(str, data.data_vars)) or "nothing"
            raise Refusal(
                f"analysis: the result has no variable {name}, it has {held}; measure it, or say which one with variable="
            )
        if data[name].dtype.kind not in "iuf":
            raise Refusal(f"analysis: {name} holds {data[name].dtype}, and real numbers are needed")
        for dim in dims.get(name, ()) if isinstance(dims, Mapping) else dims:
            _check_dim(data[name], name, dim)
    return data[list(names)].assign_attrs(data.attrs)


def _check_dim(array: xr.DataArray, name: str, dim: str) -> None:
    if dim not in array.dims:
        raise Refusal(f"analysis: {name} is over {', '.join(map(str, array.dims)) or 'nothing'}, and {dim} is needed")
    if not array.sizes[dim]:
        raise Refusal(f"analysis: {name} has no readings along {dim}")
    if dim not in array.coords:
        raise Refusal(f"analysis: {name} has no coordinate {dim}, which tells when it was read")
    if array[dim].dtype.kind not in "iuf" or not bool((np.diff(array[dim].values) > 0).all()):
        raise Refusal(f"analysis: the coordinate {dim} of {name} does not increase; sort by it, and drop what is there twice")


def sweep_dims(ds: xr.Dataset, grid: Iterable[str] = GRID) -> list[str]:
    """The dimensions that are no part of one run, such as those along which runs were concatenated."""
    return [str(dim) for dim in ds.dims if dim not in set(grid)]


def each(ds: xr.Dataset, work: Callable[[xr.Dataset], xr.Dataset], grid: Iterable[str] = GRID) -> xr.Dataset:
    """Does the work for each point of the sweep, loading one point at a time, and puts the results together; attributes are kept.

    Where a point gives no value its reason is a line of the attribute `reason`, with the place in the sweep before it; likewise
    `errors`, how errors came about, unless that is the same at all points.
    """
    dims = sweep_dims(ds, grid)
    if not dims:
        return work(ds.compute()).assign_attrs(ds.attrs)
    cells: dict[tuple[int, ...], xr.Dataset] = {}
    for place in itertools.product(*(range(ds.sizes[dim]) for dim in dims)):
        cells[place] = work(ds.isel(dict(zip(dims, place, strict=True))).compute())
    joined = _join(ds, dims, cells)
    for name, array in joined.data_vars.items():
        for told in ("reason", "errors"):
            array.attrs.pop(told, None)
            lines = {place: str(cell[name].attrs[told]) for place, cell in cells.items() if cell[name].attrs.get(told)}
            if told == "errors" and len(set(lines.values())) == 1:
                array.attrs[told] = next(iter(lines.values()))
            elif lines:
                array.attrs[told] = "\n".join(f"{_place(ds, dims, place)}: {line}" for place, line in lines.items())
    return joined.assign_attrs(ds.attrs)


def _join(ds: xr.Dataset, dims: Sequence[str], cells: Mapping[tuple[int, ...], xr.Dataset]) -> xr.Dataset:
    if not dims:
        return cells[()]
    first, *rest = dims
    parts = [
        _join(ds, rest, {place[1:]: cell for place, cell in cells.items() if place[0] == number})
        for number in range(ds.sizes[first])
    ]
    along: Any = ds[first] if first in ds.coords else first
    return xr.concat(
        [part.drop_vars(first, errors="ignore") for part in parts],
        dim=along,
        join="outer",
        combine_attrs="override",
        data_vars="all",
        coords="minimal",
        compat="override",
    )


def _place(ds: xr.Dataset, dims: Sequence[str], place: Sequence[int]) -> str:
    return ", ".join(f"{dim} = {ds[dim].values[i] if dim in ds.coords else i}" for dim, i in zip(dims, place, strict=True))


def shared_attributes(runs: Iterable[xr.Dataset | xr.DataArray]) -> dict[str, Any]:
    """The attributes in which several runs agree."""
    first, *others = (run.attrs for run in runs)
    return {
        name: value
        for name, value in first.items()
        if all(name in other and np.array_equal(np.asarray(other[name]), np.asarray(value)) for other in others)
    }


def labelled(
    name: str, estimate: Estimate, dims: Sequence[str] = (), *, long_name: str, units: str = "1", **attributes: Any
) -> dict[str, xr.DataArray]:
    """An estimate as variables: NAME, NAME_error (one standard error) and NAME_interval with the dimension `bound`.

    Attributes of NAME are `errors`, what was averaged over and how errors came about, and `reason` where something is NaN.
    """
    told = {"errors": estimate.about, "reason": estimate.reason}
    about = {"units": units, **{name: text for name, text in told.items() if text}, **attributes}
    bounds = np.stack([estimate.low, estimate.high], axis=-1)
    return {
        name: xr.DataArray(estimate.value, dims=list(dims), attrs={"long_name": long_name, **about}),
        f"{name}_error": xr.DataArray(
            estimate.error, dims=list(dims), attrs={"long_name": f"{long_name}, standard error", "units": units}
        ),
        f"{name}_interval": xr.DataArray(
            bounds,
            dims=[*dims, "bound"],
            coords={"bound": BOUNDS},
            attrs={"long_name": f"{long_name}, interval", "units": units, "confidence": CONFIDENCE},
        ),
    }


def attempt(work: Callable[[], Estimate], shape: tuple[int, ...] = ()) -> Estimate:
    """The estimate, or NaN with the reason."""
    try:
        return work()
    except NotEnough as reason:
        return Estimate.none(str(reason), shape)


def unit_of(array: xr.DataArray) -> str:
    return str(array.attrs.get("units", "1"))
