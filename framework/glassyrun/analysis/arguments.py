"""Arguments of the analyses: what is not meant is refused in one sentence, and no other branch is taken silently."""

from __future__ import annotations

import numbers
from typing import Any, get_args

import numpy as np
import xarray as xr

from glassyrun.errors import Refusal


def check_word(place: str, name: str, given: object, words: Any) -> None:
    """Refuses a word that is none of those of a Literal."""
    known = get_args(words)
    if not any(given is word or (isinstance(given, str) and given == word) for word in known):
        raise Refusal(f"{place}: {name} is one of {', '.join(map(repr, known))}, found {given!r}")


def number(place: str, name: str, given: Any, low: float = -np.inf, high: float = np.inf) -> float:
    """A finite number strictly between two bounds."""
    between = {
        (False, False): "a finite number",
        (True, False): f"a number above {low:g}",
        (False, True): f"a number below {high:g}",
    }
    meant = between.get((np.isfinite(low), np.isfinite(high)), f"a number between {low:g} and {high:g}")
    if isinstance(given, (str, bytes)) or not np.ndim(given) == 0:
        raise Refusal(f"{place}: {name} is {meant}, found {given!r}")
    try:
        value = float(given)
    except (TypeError, ValueError):
        raise Refusal(f"{place}: {name} is {meant}, found {given!r}") from None
    if not np.isfinite(value) or not low < value < high:
        raise Refusal(f"{place}: {name} is {meant}, found {value:g}")
    return value


def waiting_time(place: str, given: Any) -> xr.DataArray:
    """A waiting time, or one for each point of a sweep, as a variable; NaN and infinity where it isn't known."""
    if isinstance(given, xr.DataArray):
        return given
    if isinstance(given, (str, bytes)) or np.ndim(given):
        raise Refusal(f"{place}: after is a waiting time, or a DataArray of one for each point of a sweep, found {given!r}")
    return xr.DataArray(float(given))


def count(place: str, name: str, given: Any, least: int = 1) -> int:
    """A whole number not below the least."""
    if isinstance(given, bool) or not isinstance(given, numbers.Integral) or given < least:
        raise Refusal(f"{place}: {name} is a whole number of {least} or more, found {given!r}")
    return int(given)


def window(place: str, name: str, given: Any) -> tuple[float, float]:
    """Two numbers, the lower one first; either may be infinite."""
    try:
        low, high = (float(end) for end in given)
    except (TypeError, ValueError):
        low = high = np.nan
    if not low < high:
        raise Refusal(f"{place}: {name} is two numbers, the lower one first, found {given!r}")
    return low, high
