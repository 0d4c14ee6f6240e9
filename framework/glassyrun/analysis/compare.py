"""Runs of different systems side by side, on axes that mean the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from glassyrun.analysis.common import on_axis, shared_axis
from glassyrun.analysis.labels import attempt, dataset, labelled, sweep_dims
from glassyrun.analysis.trajectories import Array, Means, Over, jackknife, units
from glassyrun.errors import Refusal


def compare(
    *runs: xr.Dataset,
    names: Sequence[str] | None = None,
    variables: Sequence[str] = ("energy", "msd"),
    points: int = 40,
    waiting: int = 6,
    over: Over | None = None,
) -> xr.Dataset:
    """Several systems on the axes of flow time, α·step/(1−β) for SGD and t for a descent (Baity-Jesi et al. 2018).

    Means over trajectories are interpolated in the logarithm of time onto one axis; a two-time function also between waiting
    times. Where a run has not been it is NaN, never extrapolated. Beside each variable over time there is `NAME_fallen`, the
    part of the way from the first reading to the last that it has gone, in which a loss and an energy can be compared.

    Args:
        runs: results; a run with sweep dimensions is refused, select a point first.
        names: of the systems; by default their titles.
        points, waiting: points of the axes of time and lag, and of waiting time.

    Returns:
        each variable [system, time] or [system, t_w, t] with intervals, coordinates along the gradient flow.

    Raises:
        Refusal: if there are fewer than two runs, or one lacks a variable or the coordinates of flow time.
    """
    if len(runs) < 2:
        raise Refusal(f"analysis.compare: puts two results or more side by side, found {len(runs)}")
    names = list(names or _titles(runs))
    if len(names) != len(runs):
        raise Refusal(f"analysis.compare: found {len(names)} names for {len(runs)} results")
    shown = [name for name in variables if any(name in run for run in runs)]
    if not shown:
        raise Refusal(f"analysis.compare: none of the results has {' or '.join(variables)}; say which with variables=")
    parts = [dataset(run, *[name for name in shown if name in run]) for run in runs]
    for part, name in zip(parts, names, strict=True):
        _check(part, name)
    axes = {dim: _axis(parts, dim, waiting if dim == "t_w" else points) for dim in ("time", "t_w", "t")}
    sides = [_side(part.compute(), shown, {dim: axis for dim, axis in axes.items() if axis is not None}, over) for part in parts]
    system = xr.DataArray(names, dims="system", name="system")
    joined = xr.concat(sides, dim=system, combine_attrs="override", data_vars="all", join="exact")
    for name in joined.data_vars:
        told = [
            f"{who}: {side[name].attrs['reason']}" for who, side in zip(names, sides, strict=True) if "reason" in side[name].attrs
        ]
        joined[name].attrs.pop("reason", None)
        if told:
            joined[name].attrs["reason"] = "\n".join(told)
    return joined.assign_attrs(titles="\n".join(str(run.attrs.get("title", "")) for run in runs))


def _titles(runs: Sequence[xr.Dataset]) -> list[str]:
    titles = [str(run.attrs.get("title", f"system {number}")) for number, run in enumerate(runs)]
    return [title if titles.count(title) == 1 else f"{title} ({number})" for number, title in enumerate(titles)]


def _check(part: xr.Dataset, name: str) -> None:
    swept = sweep_dims(part)
    if swept:
        raise Refusal(f"analysis.compare: {name} has the dimension {swept[0]}; select a point of it with isel or sel")
    lacking = [f"{dim}_flow" for dim in part.dims if dim in ("time", "t_w", "t") and f"{dim}_flow" not in part.coords]
    if lacking:
        raise Refusal(
            f"analysis.compare: {name} lacks the coordinate {lacking[0]}; stages that differ in α/(1−β) have no lag in flow time"
        )


def _axis(parts: Sequence[xr.Dataset], dim: str, points: int) -> Array | None:
    times = [part[f"{dim}_flow"].values.astype(float) for part in parts if dim in part.dims]
    return shared_axis(times, points, whole=True) if times else None


def _side(part: xr.Dataset, shown: Sequence[str], axes: dict[str, Array], over: Over | None) -> xr.Dataset:
    out: dict[str, xr.DataArray] = {}
    for name in shown:
        grid = _grid(part, name)
        shape = tuple(len(axes[dim]) for dim in grid)
        label = str(part[name].attrs.get("long_name", name)) if name in part else name

        def read(means: Means, name: str = name, grid: Sequence[str] = grid) -> Array:
            return _read(means[name], part, grid, axes)

        def fallen(means: Means, name: str = name) -> Array:
            curve = means[name]
            there = curve[np.isfinite(curve)]
            with np.errstate(invalid="ignore", divide="ignore"):
                return _read((there[0] - curve) / (there[0] - there[-1]), part, ["time"], axes)

        if name not in part:
            continue
        found = attempt(lambda name=name, read=read, shape=shape: jackknife(units(part, [name], over), read, shape=shape), shape)
        out |= labelled(name, found, grid, long_name=label, units=str(part[name].attrs.get("units", "1")))
        if grid == ["time"]:
            part_of = attempt(
                lambda name=name, fallen=fallen, shape=shape: jackknife(units(part, [name], over), fallen, shape=shape), shape
            )
            out |= labelled(f"{name}_fallen", part_of, grid, long_name=f"part of the way gone, {label}")
    coords = {dim: (dim, axis, {"long_name": f"{dim} along the gradient flow", "units": "1"}) for dim, axis in axes.items()}
    return xr.Dataset(out, coords=coords)


def _grid(part: xr.Dataset, name: str) -> list[str]:
    dims = part[name].dims if name in part else ()
    return [dim for dim in ("time", "t_w", "t") if dim in dims]


def _read(curve: Array, part: xr.Dataset, grid: Sequence[str], axes: dict[str, Array]) -> Array:
    """A mean curve on the axes of flow time."""
    read = on_axis(curve, part[f"{grid[-1]}_flow"].values.astype(float), axes[grid[-1]])
    if len(grid) == 1:
        return read
    waited = part[f"{grid[0]}_flow"].values.astype(float)
    return np.stack([between_rows(column, waited, axes[grid[0]]) for column in read.T], axis=1)


def between_rows(column: Array, waited: Array, axis: Array) -> Array:
    """Interpolation between neighbouring waiting times, both of which must have been measured."""
    good = waited > 0
    x, values, at = np.log(waited[good]), column[good], np.log(axis)
    at = np.where(np.isclose(at, x[0], rtol=0, atol=1e-9), x[0], np.where(np.isclose(at, x[-1], rtol=0, atol=1e-9), x[-1], at))
    return np.interp(at, x, values, left=np.nan, right=np.nan)
