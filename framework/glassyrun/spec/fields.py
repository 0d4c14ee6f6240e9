"""The fields of a spec under one name each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Each value by its place, such as `system.n`; observables by their labels, stages of the dynamics by their numbers."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        place = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found.update(flat(value, f"{place}."))
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                label = item.get("name") or item.get("kind") if place == "observables" else None
                found.update(flat(item, f"{place}.{label or index}."))
        else:
            found[place] = value
    return found
