"""Runs of different systems side by side, on axes that mean the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import attrs
import numpy as np
import xarray as xr

from glassyrun.analysis.arguments import number
from glassyrun.analysis.common import Reading, doubted, on_axis, shared_axis
from glassyrun.analysis.labels import attempt, dataset, labelled, shared_attributes, sweep_dims, unit_of
from glassyrun.analysis.trajectories import Array, Estimate, NotEnough, Over, jackknife, units
from glassyrun.errors import Refusal

DEFAULT = ("energy", "msd")
"""What is compared if nothing is said."""
TO_THE_BOTTOM = ("from the first reading to the bottom", "bottom")
TO_THE_END = ("from the first to the last reading", "last")
"""Ways of which a part has been gone, and the names of their ends."""
SAME = 1e-9
"""Times are the same if they differ by no more than this part, the rounding of steps times α/(1−β)."""


def compare(
    *runs: xr.Dataset,
    names: Sequence[str] | None = None,
    variables: Sequence[str] | None = None,
    points: int = 40,
    waiting: int | Sequence[float] = 6,
    bottoms: Sequence[float] | None = None,
    over: Over | None = None,
) -> xr.Dataset:
    """Several systems on the axes of flow time, α·step/(1−β) for SGD and t for a descent (Baity-Jesi et al. 2018).

    Means over trajectories are read on one axis between the times of each run, and a two-time function also between its waiting
    times, by a monotone cubic in the logarithm of time, and of the variable where it is positive; how far the cubic bends away
    from the straight line widens the interval. Where a run has not been it is NaN, never extrapolated. Fewer than three
    trajectories give a mean without an interval.

    Beside each variable over time there is `NAME_fallen`, the part of its way that it has gone, a number without unit, in which a
    loss and an energy can be compared. The way is that from the first reading to the bottom of the landscape where the bottom of
    every run is known, by `bottoms` or by the attribute `bottom` of the variable: a glass that never arrives then stays below 1,
    and how long a run lasted is of no matter. Where one of them is not known it is the way from the first reading to the last in
    all runs, at whose end each has gone all of it: such curves say nothing of arrival, and change with the length of the run. The
    attribute `definition` says which it is.

    Args:
        runs: results; a run with sweep dimensions is refused, select a point first.
        names: of the systems, one a run and all different; by default their titles.
        variables: that all runs have; by default those of `energy` and `msd` that they have.
        points: of the axes of time and lag.
        waiting: points of the axis of waiting time, or these waiting times themselves, along the flow; to them are added those
            that all runs have.
        bottoms: the lowest energy of each landscape, one a run, in the unit of its energy, if one variable over time is
            compared.

    Returns:
        each variable [system, time] or [system, t_w, t] with intervals, coordinates along the gradient flow; NaN with the
        attribute `reason` where a run doesn't give it.

    Raises:
        Refusal: if there are fewer than two runs, or one lacks a variable or the coordinates of flow time, or names or bottoms are
            not one a run.
    """
    if len(runs) < 2:
        raise Refusal(f"analysis.compare: puts two results or more side by side, found {len(runs)}")
    names, waiting = _names(runs, names), _waiting(waiting)
    shown = _variables(runs, names, variables)
    parts = [dataset(run, *shown) for run in runs]
    for part, name in zip(parts, names, strict=True):
        _check(part, name)
    known = _bottoms(parts, shown, bottoms)
    axes = {dim: _axis(parts, dim, waiting if dim == "t_w" else points) for dim in ("time", "t_w", "t")}
    axes = {dim: axis for dim, axis in axes.items() if axis is not None}
    sides = [
        _side(part.compute(), shown, axes, {name: bottom[place] for name, bottom in known.items()}, over)
        for place, part in enumerate(parts)
    ]
    system = xr.DataArray(names, dims="system", name="system")
    joined = xr.concat(sides, dim=system, combine_attrs="override", data_vars="all", join="exact")
    for name, kind in itertools.product(joined.data_vars, ("reason", "errors")):
        told = [f"{who}: {side[name].attrs[kind]}" for who, side in zip(names, sides, strict=True) if kind in side[name].attrs]
        joined[name].attrs.pop(kind, None)
        if told:
            joined[name].attrs[kind] = "\n".join(told)
    return joined.assign_attrs(shared_attributes(runs), titles="\n".join(str(run.attrs.get("title", "")) for run in runs))


def _names(runs: Sequence[xr.Dataset], given: Sequence[str] | None) -> list[str]:
    if isinstance(given, str):
        raise Refusal(f"analysis.compare: names is a list of names, one a result, found {given!r}")
    names = list(given or _titles(runs))
    if len(names) != len(runs):
        raise Refusal(f"analysis.compare: found {len(names)} names for {len(runs)} results")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise Refusal(
            f"analysis.compare: two results are named {twice[0]!r}, and each needs a name of its own; give others with names="
        )
    return names


def _waiting(given: int | Sequence[float]) -> int | list[float]:
    """A number of waiting times, or these."""
    if isinstance(given, (int, np.integer)):
        return int(given)
    if isinstance(given, (str, bytes)) or np.ndim(given) != 1:
        raise Refusal(f"analysis.compare: waiting is a number of waiting times, or a list of them, found {given!r}")
    return [number("analysis.compare", "each of waiting", time, 0.0) for time in given]


def _variables(runs: Sequence[xr.Dataset], names: Sequence[str], given: Sequence[str] | None) -> list[str]:
    """What is compared, which all runs have."""
    if isinstance(given, str):
        raise Refusal(f"analysis.compare: variables is a list of names, found {given!r}; write [{given!r}]")
    if given is None:
        shown = [name for name in DEFAULT if all(name in run for run in runs)]
        if not shown:
            raise Refusal(
                f"analysis.compare: the results share neither {' nor '.join(DEFAULT)}; say with variables= what they share"
            )
        return shown
    if not given:
        raise Refusal("analysis.compare: variables is a list of names, found none; name what all results have, such as 'energy'")
    for name in given:
        lacking = [who for who, run in zip(names, runs, strict=True) if name not in run]
        if lacking:
            raise Refusal(f"analysis.compare: {lacking[0]} has no variable {name}; leave it out of variables=, or measure it")
    return list(given)


def _titles(runs: Sequence[xr.Dataset]) -> list[str]:
    titles = [str(run.attrs.get("title", f"system {place}")) for place, run in enumerate(runs)]
    return [title if titles.count(title) == 1 else f"{title} ({place})" for place, title in enumerate(titles)]


def _check(part: xr.Dataset, name: str) -> None:
    swept = sweep_dims(part)
    if swept:
        raise Refusal(f"analysis.compare: {name} has the dimension {swept[0]}; select a point of it with isel or sel")
    lacking = [f"{dim}_flow" for dim in part.dims if dim in ("time", "t_w", "t") and f"{dim}_flow" not in part.coords]
    if lacking:
        raise Refusal(
            f"analysis.compare: {name} lacks the coordinate {lacking[0]}; stages that differ in α/(1−β) have no lag in flow time"
        )


def _bottoms(parts: Sequence[xr.Dataset], shown: Sequence[str], given: Sequence[float] | None) -> dict[str, list[float]]:
    """The bottom of each run, for the variables over time of which it is known for all runs."""
    timed = [name for name in shown if all("time" in part[name].dims for part in parts)]
    if given is not None:
        if isinstance(given, (str, bytes)) or np.ndim(given) != 1 or len(given) != len(parts):
            raise Refusal(
                f"analysis.compare: bottoms is a list of numbers, one for each of {len(parts)} results, found {given!r}"
            )
        if len(timed) != 1:
            told = " and ".join(timed) or "none"
            raise Refusal(f"analysis.compare: bottoms are of one variable over time, found {told}; say which one with variables=")
        return {timed[0]: [number("analysis.compare", "each of bottoms", bottom) for bottom in given]}
    known: dict[str, list[float]] = {}
    for name in timed:
        told = [part[name].attrs.get("bottom") for part in parts]
        bottoms = [float(bottom) for bottom in told if isinstance(bottom, (int, float, np.number)) and np.isfinite(bottom)]
        if len(bottoms) == len(parts):
            known[name] = bottoms
    return known


def _axis(parts: Sequence[xr.Dataset], dim: str, points: int | Sequence[float]) -> Array | None:
    times = [part[f"{dim}_flow"].values.astype(float) for part in parts if dim in part.dims]
    if not times:
        return None
    axis = shared_axis(times, points, whole=True) if isinstance(points, int) else np.asarray(points, dtype=float)
    return _with_shared(axis, times) if dim == "t_w" else axis


def _with_shared(axis: Array, times: Sequence[Array]) -> Array:
    """The axis, and the times that all runs have, so that what all have measured can be looked at as it is."""
    first, *others = times
    shared = [time for time in first if time > 0 and all(np.isclose(other, time, rtol=SAME, atol=0).any() for other in others)]
    between = [time for time in axis if not np.isclose(shared, time, rtol=SAME, atol=0).any()]
    return np.sort([*shared, *between])


def _side(
    part: xr.Dataset, shown: Sequence[str], axes: dict[str, Array], bottoms: dict[str, float], over: Over | None
) -> xr.Dataset:
    out: dict[str, xr.DataArray] = {}
    for name in shown:
        grid = [dim for dim in ("time", "t_w", "t") if dim in part[name].dims]
        side = Side(part, name, grid, axes)
        label = str(part[name].attrs.get("long_name", name))
        out |= labelled(name, side.values(over), grid, long_name=label, units=unit_of(part[name]))
        if grid == ["time"]:
            way, end = TO_THE_BOTTOM if name in bottoms else TO_THE_END
            about = {
                "long_name": f"part of the way gone {way}, {label}",
                "definition": f"(first − y)/(first − {end}): the way {way}",
            }
            out |= labelled(f"{name}_fallen", side.fallen(bottoms.get(name), over), grid, **about)
    coords = {dim: (dim, axis, {"long_name": f"{dim} along the gradient flow", "units": "1"}) for dim, axis in axes.items()}
    return xr.Dataset(out, coords=coords)


@attrs.frozen
class Side:
    """One variable of one run on the axes of flow time."""

    part: xr.Dataset
    name: str
    grid: Sequence[str]
    axes: dict[str, Array]

    def values(self, over: Over | None) -> Estimate:
        """The mean curve: where all readings are positive read, and doubted, in its logarithm."""
        later = self.part[self.name].where(self.part[self.grid[-1]] > 0).values
        log = bool((later[np.isfinite(later)] > 0).all())

        def read(curve: Array) -> Reading:
            with np.errstate(invalid="ignore", divide="ignore"):
                return self._read(np.log(curve) if log else curve)

        def value(curve: Array) -> Array:
            return np.exp(read(curve).values) if log else read(curve).values

        return self._estimate(value, lambda curve: read(curve).doubt, over, log)

    def fallen(self, bottom: float | None, over: Over | None) -> Estimate:
        """The part of the way to the bottom that has been gone, or where that is not known, of the way to the last reading."""

        def way(curve: Array) -> tuple[float, float]:
            there = curve[np.isfinite(curve)]
            if bottom is not None and not there[0] > bottom:
                raise NotEnough(f"the first reading, {there[0]:.4g}, is not above the bottom, {bottom:.4g}")
            return there[0], there[0] - (there[-1] if bottom is None else bottom)

        def value(curve: Array) -> Array:
            first, whole = way(curve)
            with np.errstate(invalid="ignore", divide="ignore"):
                return (first - self._read(curve).values) / whole

        def doubt(curve: Array) -> Array:
            return np.abs(self._read(curve).doubt / way(curve)[1])

        return attempt(lambda: self._estimate(value, doubt, over, log=False), tuple(len(self.axes[dim]) for dim in self.grid))

    def _estimate(
        self, value: Callable[[Array], Array], doubt: Callable[[Array], Array], over: Over | None, log: bool
    ) -> Estimate:
        """The value of the mean curve, its interval widened by what lies between readings; of too few trajectories no interval."""
        array = self.part[self.name].transpose(..., *self.grid)
        shape = tuple(len(self.axes[dim]) for dim in self.grid)
        try:
            these = units(self.part, [self.name], over)
        except NotEnough as reason:
            mean = array.mean([dim for dim in array.dims if dim not in self.grid]).values
            if not np.isfinite(mean).any():
                return Estimate.none(str(reason), shape)
            unknown = np.full(shape, np.nan)
            return Estimate(value(mean), unknown, unknown, unknown, f"no interval: {reason}")
        found = jackknife(these, lambda means: value(means[self.name]), log=log, shape=shape)
        return found if found.reason else doubted(found, doubt(these.means()[self.name]), log)

    def _read(self, curve: Array) -> Reading:
        """A curve on the axes of flow time; between waiting times of which both were measured."""
        lags = on_axis(curve, self._flow(self.grid[-1]), self.axes[self.grid[-1]])
        if len(self.grid) == 1:
            return lags
        waited, axis = self._flow(self.grid[0]), self.axes[self.grid[0]]
        rows = on_axis(lags.values.T, waited, axis, gaps=True)
        far = on_axis(lags.doubt.T, waited, axis, gaps=True).values
        return Reading(rows.values.T, np.hypot(rows.doubt, far).T)

    def _flow(self, dim: str) -> Array:
        return self.part[f"{dim}_flow"].values.astype(float)
