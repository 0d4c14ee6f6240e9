"""Fluctuations: χ₄ split by where they come from, and the non-Gaussian parameter α₂."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import xarray as xr
from scipy import stats

from glassyrun.analysis.labels import GRID, attempt, dataset, each, labelled
from glassyrun.analysis.trajectories import CONFIDENCE, Array, Estimate, Means, NotEnough, Over, jackknife, units
from glassyrun.errors import Refusal

ORDER = ("sample", "start", "replica")


def chi4(
    data: xr.Dataset | xr.DataArray,
    *,
    variable: str = "overlap",
    shared_start: bool = False,
    dof: int | float | None = None,
) -> xr.Dataset:
    """χ₄(t_w, t_w+t) = dof·Var C, split by the source of the fluctuation.

    The variance of C over trajectories is that over noise at fixed start and disorder, plus that over starts, plus that over
    disorder (Berthier et al., J. Chem. Phys. 126, 184503 (2007)): a nested analysis of variance of a balanced design. The
    dimensions give the design, from the outside in: `sample` (disorder), `start` (initial states, if runs that share a start
    were concatenated so), `replica`. Where replicas have starts of their own, as by default, they bring both the initial state
    and the noise; with `shared_start` noise alone. What was measured once can't be told from what varies around it: with one
    replica a sample there is one source, "disorder, initial state and noise". χ₄ peaks where correlated regions relax (Franz and
    Parisi, J. Phys. Condens. Matter 12, 6335 (2000)).

    C is a mean over many degrees of freedom, hence close to Gaussian over trajectories. The interval of the innermost part is
    that of χ² and exact for Gaussian C; those of the outer parts, differences of mean squares, are by the modified large-sample
    method (Ting et al., J. Stat. Comput. Simul. 35, 135 (1990)). An outer part may come out negative where it is small: it is
    left so, as cutting it would bias averages.

    Args:
        data: with C, dims (sample, replica, t_w, t); dof is the attribute `degrees_of_freedom`.

    Returns:
        `chi4` [source, t_w, t] with intervals. NaN where a source was measured once or twice, or a trajectory has no reading.

    Raises:
        Refusal: if the number of degrees of freedom is not known, or the data have no dimension of trajectories.
    """
    ds = dataset(data, variable)
    size = ds.attrs.get("degrees_of_freedom") if dof is None else dof
    if size is None:
        raise Refusal("analysis.chi4: the data have no attribute degrees_of_freedom; give dof=")
    if not isinstance(size, (int, float, np.number)) or not 0 < size < np.inf:
        raise Refusal(
            f"analysis.chi4: the degrees of freedom, {size}, must be positive and finite; for N → ∞ C doesn't fluctuate"
        )
    if not set(ORDER) & set(ds[variable].dims):
        raise Refusal(f"analysis.chi4: {variable} has none of the dimensions {', '.join(ORDER)}, over which it could fluctuate")
    grid = (*GRID, "start")
    return each(ds, lambda cell: _split(cell[variable], float(size), shared_start), grid)


def _split(array: xr.DataArray, dof: float, shared_start: bool) -> xr.Dataset:
    names = _sources({dim: array.sizes.get(dim, 1) for dim in ORDER if dim != "start" or dim in array.dims}, shared_start)
    array = _begun(array)
    levels = [dim for dim in ORDER if array.sizes.get(dim, 1) > 1]
    rest = [str(dim) for dim in array.dims if dim not in ORDER]
    values = array.isel({dim: 0 for dim in ORDER if dim in array.dims and dim not in levels}).transpose(*levels, *rest)
    shape = tuple(array.sizes[dim] for dim in rest)
    parts = {dim: attempt(lambda dim=dim: _part(values.values, levels, dim), shape) for dim in names}
    whole = Estimate.stack([part.times(dof) for part in parts.values()], list(names.values()))
    if lost := _holes(values.values, len(levels)):
        whole = attrs.evolve(whole, reason="\n".join(filter(None, [whole.reason, lost])))
    out = labelled(
        "chi4",
        whole,
        ["source", *rest],
        long_name="dynamical susceptibility, dof times the variance of C",
    )
    return xr.Dataset(out, coords={"source": list(names.values()), **{dim: array[dim] for dim in rest if dim in array.coords}})


def _begun(array: xr.DataArray) -> xr.DataArray:
    """Without the outermost units that have fewer than half of the readings of the one that has most."""
    outer = next((dim for dim in ORDER if array.sizes.get(dim, 1) > 1), None)
    if outer is None:
        return array
    counts = array.notnull().sum([dim for dim in array.dims if dim != outer])
    kept = np.nonzero(((counts > 0) & (counts >= counts.max() / 2)).values)[0]
    return array.isel({outer: kept}) if len(kept) else array


def _holes(values: Array, levels: int) -> str:
    """What is said of points that some trajectories have and others have not."""
    there = np.isfinite(values).mean(axis=tuple(range(levels)))
    count = int(((there > 0) & (there < 1)).sum())
    return (
        f"{count} of {there.size} points were not measured in all trajectories, and are NaN; let the run go on" if count else ""
    )


def _sources(sizes: Mapping[str, int], shared: bool) -> dict[str, str]:
    """What each level brings; one that was measured once is part of the one around it, as their variances can't be told apart."""
    brings = {"sample": ["disorder"], "start": ["initial state"], "replica": ["noise"]}
    if not shared and "start" not in sizes:
        brings["replica"] = ["initial state", "noise"]
    held: dict[str, list[str]] = {}
    for dim in sizes:
        outer = next((level for level in reversed(held) if sizes[level] > 1), None)
        if sizes[dim] == 1 and outer:
            held[outer] += brings[dim]
        else:
            held[dim] = [*brings[dim]]
    return {dim: " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) for dim, parts in held.items()}


def _part(values: Array, levels: Sequence[str], dim: str) -> Estimate:
    """The component of variance of one level: (MS of it − MS of the next one in)/(trajectories under one of its units)."""
    if dim not in levels:
        raise NotEnough(f"one {dim} was measured, so its variance is not known")
    number = levels.index(dim)
    square, freedom = _mean_square(values, len(levels), number)
    if freedom < 2:
        raise NotEnough(f"{freedom + 1} of {dim} were measured, and a variance with an error needs three")
    below = int(np.prod(values.shape[number + 1 : len(levels)]))
    if number == len(levels) - 1:
        return _chi_squared(square, freedom)
    inner, inner_freedom = _mean_square(values, len(levels), number + 1)
    return _difference(square, freedom, inner, inner_freedom, below)


def _mean_square(values: Array, levels: int, number: int) -> tuple[Array, int]:
    """Mean square of a level of a balanced nested design, and its degrees of freedom."""
    means = values.mean(axis=tuple(range(number + 1, levels)))
    below = int(np.prod(values.shape[number + 1 : levels]))
    above = int(np.prod(values.shape[:number]))
    freedom = above * (values.shape[number] - 1)
    off = means - means.mean(axis=number, keepdims=True)
    return below * (off**2).sum(axis=tuple(range(number + 1))) / freedom, freedom


def _chi_squared(square: Array, freedom: int) -> Estimate:
    low, high = stats.chi2.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], freedom)
    return Estimate(square, square * (2 / freedom) ** 0.5, square * freedom / low, square * freedom / high, freedom=freedom)


def _difference(outer: Array, n: int, inner: Array, m: int, below: int) -> Estimate:
    """(outer − inner)/below and its interval."""
    tail = (1 - CONFIDENCE) / 2
    # F with an infinite second degree of freedom is χ² over its degrees of freedom
    g1, h1 = 1 - n / stats.chi2.ppf(1 - tail, n), n / stats.chi2.ppf(tail, n) - 1
    g2, h2 = 1 - m / stats.chi2.ppf(1 - tail, m), m / stats.chi2.ppf(tail, m) - 1
    up, down = stats.f.ppf(1 - tail, n, m), stats.f.ppf(tail, n, m)
    g12 = ((up - 1) ** 2 - g1**2 * up**2 - h2**2) / up
    h12 = ((1 - down) ** 2 - h1**2 * down**2 - g2**2) / down
    lower = g1**2 * outer**2 + h2**2 * inner**2 + g12 * outer * inner
    upper = h1**2 * outer**2 + g2**2 * inner**2 + h12 * outer * inner
    value = outer - inner
    error = np.sqrt(2 * outer**2 / n + 2 * inner**2 / m)
    return Estimate(
        value / below,
        error / below,
        (value - np.sqrt(np.maximum(lower, 0))) / below,
        (value + np.sqrt(np.maximum(upper, 0))) / below,
    )


def alpha2(ds: xr.Dataset, *, second: str = "msd", fourth: str = "displacement_fourth", over: Over | None = None) -> xr.Dataset:
    """Non-Gaussian parameter α₂ = ⟨δ⁴⟩/(3⟨δ²⟩²) − 1 of displacements (Rahman, Phys. Rev. 136, A405 (1964), in one dimension).

    Numerator and denominator are averaged over trajectories before they are divided, so that a trajectory that moved little
    does not dominate.

    Args:
        ds: with `msd` and `displacement_fourth` (sample, replica, t_w, t).

    Returns:
        `alpha2` [t_w, t] with intervals; NaN where nothing moved.
    """
    work = dataset(ds, second, fourth, dims=("t_w", "t"))

    def ratio(means: Means) -> Array:
        moved = np.where(means[second] > 0, means[second], np.nan)
        return means[fourth] / (3 * moved**2) - 1

    def one(cell: xr.Dataset) -> xr.Dataset:
        shape = (cell.sizes["t_w"], cell.sizes["t"])
        found = attempt(lambda: jackknife(units(cell, [second, fourth], over), ratio, shape=shape), shape)
        out = labelled("alpha2", found, ["t_w", "t"], long_name="non-Gaussian parameter of displacements")
        return xr.Dataset(out, coords={"t_w": cell.t_w, "t": cell.t})

    return each(work, one)
