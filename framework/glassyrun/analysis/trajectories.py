"""What is averaged over, and the error of what comes out: whole trajectories, never points.
 Readings of one trajectory are correlated along t, t_w and time, so a point is no independent datum; a trajectory is. The
*units* are the samples, each a mean over its replicas, where there are at least three; otherwise the replicas, and the error is
then that at fixed disorder. Whatever is computed, however crooked, is a function of the mean curves over units. Its error comes
from leaving out one unit at a time (the jackknife: Tukey, Ann. Math. Stat. 29, 614 (1958); Miller, Biometrika 61, 1 (1974)) and
its 95 % interval from Student's t with one degree of freedom less than units: exact for a mean of Gaussian curves, and right
for smooth functions also where trajectories are few, when the percentiles of a bootstrap are far too narrow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import attrs
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from scipy import stats

from glassyrun.analysis.holes import Array, filled, nanmean
from glassyrun.errors import Refusal

Means: TypeAlias = Mapping[str, Array]
Over: TypeAlias = Literal["sample", "replica"]

CONFIDENCE = 0.95
LEAST = 3
"""Units without which there is no interval, and so no number."""


class NotEnough(Exception):
    """The data don't determine what is asked for; the message is the reason, which the result has as an attribute beside NaN."""


@attrs.frozen
class Estimate:
    """A value with its standard error and interval, all of one shape; NaN with a reason where the data do not give it."""

    value: Array
    error: Array
    low: Array
    high: Array
    reason: str = ""
    freedom: float = np.inf
    """Degrees of freedom of Student's t; infinite for what is exactly known."""
    about: str = ""
    """What was averaged over, and how the error came about."""

    @classmethod
    def none(cls, reason: str, shape: tuple[int, ...] = ()) -> Estimate:
        nothing = np.full(shape, np.nan)
        return cls(nothing, nothing, nothing, nothing, reason)

    @classmethod
    def exact(cls, value: float | Array) -> Estimate:
        known = np.asarray(value, dtype=float)
        return cls(known, np.where(np.isfinite(known), 0.0, np.nan), known, known)

    @classmethod
    def stack(cls, parts: Sequence[Estimate], names: Sequence[str] = ()) -> Estimate:
        """Estimates beside each other along a new first axis; reasons one a line, with a name before each if names are given."""
        value, error, low, high = (
            np.stack([np.asarray(getattr(part, field), dtype=float) for part in parts])
            for field in ("value", "error", "low", "high")
        )
        if names:
            told = [f"{name}: {part.reason}" for name, part in zip(names, parts, strict=True) if part.reason]
        else:
            told = list(dict.fromkeys(part.reason for part in parts if part.reason))
        about = dict.fromkeys(part.about for part in parts if part.about)
        return cls(value, error, low, high, "\n".join(told), about="\n".join(about))

    def times(self, factor: float) -> Estimate:
        return attrs.evolve(
            self, value=self.value * factor, error=self.error * factor, low=self.low * factor, high=self.high * factor
        )

    def minus(self, other: Estimate) -> Estimate:
        """The difference of two independent estimates, by Welch's degrees of freedom (Biometrika 34, 28 (1947))."""
        if self.reason or other.reason:
            return Estimate.none(self.reason or other.reason, np.shape(self.value))
        squares = np.array([float(np.max(self.error)) ** 2, float(np.max(other.error)) ** 2])
        parts = squares**2 / np.array([self.freedom, other.freedom])
        freedom = float(squares.sum() ** 2 / parts.sum()) if parts.sum() else np.inf
        value, error = self.value - other.value, np.hypot(self.error, other.error)
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * error
        about = dict.fromkeys(part.about for part in (self, other) if part.about)
        return Estimate(value, error, value - reach, value + reach, freedom=freedom, about="\n".join(about))


@attrs.frozen
class Units:
    """Readings of independent units, for each variable an array whose first axis is the unit; NaN where there is none."""

    over: Over
    readings: dict[str, Array]
    left_out: int = 0
    """Units that were measured too shortly to be of use, as in a run that still goes on."""
    exact: bool = False
    """Whether this is theory for N → ∞: one unit, and no error of trajectories."""
    _known: dict[int | None, dict[str, Array]] = attrs.field(factory=dict, repr=False, eq=False)
    """Means that have been worked out, of all units (None) or without one."""

    @property
    def count(self) -> int:
        return len(next(iter(self.readings.values())))

    def filled(self, name: str) -> Array:
        """The curve of each unit, holes filled."""
        return filled(self.readings[name], _measured(self.readings[name]))

    def means(self) -> dict[str, Array]:
        return self._means(None)

    def without(self, unit: int) -> dict[str, Array]:
        """Means without one unit, at the points at which all units together have a mean; theory stays as it is."""
        return self._means(None if self.exact else unit)

    def _means(self, left_out: int | None) -> dict[str, Array]:
        if left_out not in self._known:
            self._known[left_out] = {
                name: filled(values if left_out is None else np.delete(values, left_out, axis=0), _measured(values)).mean(axis=0)
                for name, values in self.readings.items()
            }
        return self._known[left_out]

    def about(self) -> str:
        """How errors come about, for the attributes."""
        if self.exact:
            return "theory for N → ∞: no error of trajectories; that of its numbers is the attribute `error` of what was analysed"
        what = "samples" if self.over == "sample" else "replicas at fixed disorder"
        short = f"; {self.left_out} with too few readings left out" if self.left_out else ""
        return f"{self.count} {what}, jackknife, Student's t{short}"


def units(ds: xr.Dataset, names: Sequence[str], over: Over | None = None) -> Units:
    """The independent units of a dataset without sweep dimensions.

    Args:
        over: `sample` or `replica`; by default samples where three have been measured.

    Raises:
        NotEnough: if fewer than three are there, or a variable has no readings.
        Refusal: if `over` is another word.
    """
    if over not in (None, *get_args(Over)):
        raise Refusal(f"analysis: over is what is averaged over, {' or '.join(get_args(Over))}, found {over!r}")
    arrays = {name: _in_order(ds[name]) for name in names}
    if theory(ds, names):
        return Units("sample", {name: np.asarray(array[:1, 0].values, dtype=float) for name, array in arrays.items()}, exact=True)
    unread = [name for name, array in arrays.items() if not np.isfinite(array.values).any()]
    if unread:
        raise NotEnough(f"no readings of {' and '.join(unread)}: measure it, or let the run go on")
    found = [_units_of(arrays, kind) for kind in ([over] if over else get_args(Over))]
    for these in found:
        if these.count >= LEAST:
            return these
    counts, begun = {these.over: these.count for these in found}, any(these.left_out for these in found)
    raise NotEnough(
        f"an error needs {' or '.join(f'{LEAST} {kind}s' for kind in counts)} that have been measured, and there are"
        f" {' and '.join(map(str, counts.values()))}{', besides some that have just begun' if begun else ''}:"
        f" raise ensemble.{'samples' if over == 'sample' else 'replicas'} or let the run go on"
    )


def theory(ds: xr.Dataset, names: Sequence[str]) -> bool:
    """Whether variables are theory for N → ∞, which has one curve, without or with (equal) samples and replicas."""
    told = "theory" in ds.attrs or np.isinf(float(ds.attrs.get("degrees_of_freedom", 0)))
    if not told and not all("error" in ds[name].attrs for name in names):
        return False
    arrays = [_in_order(ds[name]).values for name in names]
    return all(bool(np.array_equal(array, np.broadcast_to(array[:1, :1], array.shape), equal_nan=True)) for array in arrays)


def _units_of(arrays: Mapping[str, xr.DataArray], kind: Over) -> Units:
    """The units of one kind that have readings enough."""
    values = {name: _per_unit(array, kind) for name, array in arrays.items()}
    count = min(len(array) for array in values.values())
    kept = [u for u in range(count) if all(_enough(array, u) for array in values.values())]
    return Units(kind, {name: array[kept] for name, array in values.items()}, count - len(kept))


def jackknife(
    units: Units, statistic: Callable[[Means], Array | float], *, log: bool = False, shape: tuple[int, ...] = ()
) -> Estimate:
    """A function of the mean curves, its error and interval.

    Args:
        log: take error and interval of the logarithm, for a positive quantity such as a time.
        shape: of what comes out, for NaN where the data give nothing.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            value = np.asarray(statistic(units.means()), dtype=float)
        except NotEnough as reason:
            return Estimate.none(str(reason), shape)
        try:
            left = np.stack([np.asarray(statistic(units.without(unit)), dtype=float) for unit in range(units.count)])
        except NotEnough as reason:
            return Estimate.none(f"so for all trajectories together, but not without one of them: {reason}", np.shape(value))
        return interval(value, left, log=log, about=units.about())


def interval(
    value: Float[np.ndarray, "*value"], left: Float[np.ndarray, "unit *value"], *, log: bool = False, about: str = ""
) -> Estimate:
    """The estimate from a value and those without one unit each (first axis of `left`); of a single unit, theory, it is exact."""
    count = len(left)
    if count == 1:
        return attrs.evolve(Estimate.exact(value), about=about)
    centre, replicates = (np.log(value), np.log(left)) if log else (value, left)
    error = np.sqrt((count - 1) * np.mean((replicates - replicates.mean(axis=0)) ** 2, axis=0))
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * error
    value = np.where(np.isfinite(error), value, np.nan)
    if log:
        return Estimate(value, value * error, np.exp(centre - reach), np.exp(centre + reach), freedom=count - 1, about=about)
    return Estimate(value, error, centre - reach, centre + reach, freedom=count - 1, about=about)


def _in_order(array: xr.DataArray) -> xr.DataArray:
    for dim in ("replica", "sample"):
        array = array if dim in array.dims else array.expand_dims(dim)
    return array.transpose("sample", "replica", ...)


def _per_unit(array: xr.DataArray, over: str) -> Array:
    values = np.asarray(array.values, dtype=float)
    return nanmean(values, axis=1 if over == "sample" else 0)


def _enough(values: Array, unit: int) -> bool:
    """Whether a unit has at least half of the readings of the one that has most."""
    counts = np.isfinite(values.reshape(len(values), -1)).sum(axis=1)
    return bool(counts[unit] > 0 and counts[unit] >= counts.max() / 2)


def _measured(values: Float[np.ndarray, "unit *point"]) -> Bool[np.ndarray, "*point"]:
    """Points that three units have, or that theory has."""
    return np.isfinite(values).sum(axis=0) >= min(LEAST, len(values))
