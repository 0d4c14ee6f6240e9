"""What an analysis has to be told and the spec, which a result carries, knows."""

from __future__ import annotations

import tomllib
from typing import Any

import xarray as xr

from glassyrun.errors import Refusal


def table_of(run: xr.Dataset, name: str) -> dict[str, Any]:
    """A table of the spec; empty where there is none, or several."""
    table: Any = tomllib.loads(str(run.attrs.get("spec", ""))).get(name)
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


def shared_start(run: xr.Dataset) -> bool:
    return table_of(run, "ensemble").get("start") == "shared"


def check_bottom(run: xr.Dataset, variable: str, given: float | None) -> None:
    """Whether `regimes` can know the energy of the bottom.

    Raises:
        Refusal: if energies are negative, and it is neither given nor an attribute of the variable.
    """
    if given is None and "bottom" not in run[variable].attrs and bool((run[variable] < 0).any()):
        raise Refusal("energies are negative and the bottom of this landscape is not known; give its energy with --bottom")
