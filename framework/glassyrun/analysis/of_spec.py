"""What an analysis has to be told and the spec, which a result carries, knows."""

from __future__ import annotations

import tomllib
from typing import Any

import xarray as xr

from glassyrun.errors import Refusal


def spec_of(run: xr.Dataset | xr.DataArray) -> dict[str, Any]:
    """The spec; empty where the run carries none."""
    return tomllib.loads(str(run.attrs.get("spec", "")))


def table_of(run: xr.Dataset, name: str) -> dict[str, Any]:
    """A table of the spec; empty where there is none, or several."""
    table = spec_of(run).get(name)
    return table if isinstance(table, dict) else {}


def temperature_of(run: xr.Dataset) -> float:
    """The temperature of the bath.

    Raises:
        Refusal: if the spec has no single one.
    """
    known = table_of(run, "dynamics").get("temperature")
    if not isinstance(known, (int, float)):
        raise Refusal(f"the spec of {run.attrs.get('title', 'this run')} has no single temperature in [dynamics]")
    return float(known)


def warmest(run: xr.Dataset) -> float:
    """The highest temperature that a stage of the run has, or begins its ramp with; 0 where no spec tells of one.

    At a point of a sweep over the temperature it is the coordinate of that point, as the spec is that of the first.
    """
    swept = [float(run[name]) for name in run.coords if str(name).rpartition(".")[2] == "temperature" and not run[name].ndim]
    if swept:
        return max(swept)
    moves = spec_of(run).get("dynamics", [])
    stages = moves if isinstance(moves, list) else [moves]
    known = [value for stage in stages for value in (stage.get("temperature", 0.0), stage.get("ramp", {}).get("start", 0.0))]
    return max(map(float, known), default=0.0)


def shared_start(run: xr.Dataset) -> bool:
    return table_of(run, "ensemble").get("start") == "shared"


def check_bottom(run: xr.Dataset, variable: str, given: float | None) -> None:
    """Whether `regimes` can know the energy of the bottom.

    Raises:
        Refusal: if energies are negative, and it is neither given nor an attribute of the variable.
    """
    if given is None and "bottom" not in run[variable].attrs and bool((run[variable] < 0).any()):
        raise Refusal("energies are negative and the bottom of this landscape is not known; give its energy with --bottom")
