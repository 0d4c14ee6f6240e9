"""From runs of several sizes to N → ∞."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from glassyrun.analysis.arguments import number
from glassyrun.analysis.labels import dataset, labelled, shared_attributes
from glassyrun.analysis.of_spec import spec_of
from glassyrun.analysis.trajectories import CONFIDENCE, Array, Estimate, NotEnough, Over, units
from glassyrun.errors import Refusal
from glassyrun.spec.fields import flat

RESAMPLES = 400
EXPONENTS = (0.05, 4.0)
"""Between which a fitted exponent lies."""
AT_ENDS = 0.05
"""The part of resampled fits that may end at a bound; of more the data don't determine the exponent."""

SIZES = {f"system.{name}" for name in ("n", "terms", "dilution", "widths", "channels", "hidden")}
"""What the size of a system is given by, and what grows with it."""
METHODS = {f"system.{name}" for name in ("disorder", "coordinates", "axes", "pivot_tolerance", "direction_tolerance", "chunk")}
"""How the same law is computed."""
FREE = SIZES | METHODS | {"seed", "ensemble.samples", "ensemble.replicas"}
TABLES = {"run", "schedule", "observables"}
"""When one looks and at what moves nothing; that the grids agree is checked by themselves."""


def finite_size(
    runs: Sequence[xr.Dataset],
    *,
    variable: str = "energy",
    exponent: float | None = 1.0,
    sizes: Sequence[float] | None = None,
    at: dict[str, float] | None = None,
    over: Over | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """y(N) = y_∞ + c N^{−a} at each point of the grid, errors by a bootstrap over samples.

    The samples of each size are drawn with replacement (Efron, Ann. Stat. 7, 1 (1979)), each with its whole trajectory. Each
    point of the grid is fitted by least squares with weights samples × N, those of a quantity that averages itself; weights
    estimated from few samples would make errors too small. With n samples the bootstrap variance lacks a factor n/(n−1), which
    is put in, and the interval is that of Student's t with Satterthwaite's degrees of freedom.

    Runs belong to one law if they differ in size alone, which is checked in the specs that results carry: in them may differ what
    the size is given by (`n`, `terms`, `dilution`, `widths`, `channels`, `hidden`), the seed, the numbers of samples and
    replicas, how the same disorder is computed, and the tables `schedule`, `observables` and `run`. A DataArray carries no spec.

    Args:
        runs: one result a size, with the same grids; a DataArray or Dataset each.
        exponent: a, known (1 for bulk corrections of the p-spin in equilibrium, 2/3 where the edge of a spectrum matters), or
            None to fit one
            a for all points, which needs four sizes.
        sizes: N of each run; by default the attribute `degrees_of_freedom`.
        at: points to select first, nearest, such as {"time": 10}.

    Returns:
        `limit` = y_∞ and `amplitude` = c on the grid of the variable, with intervals; `exponent` with interval where fitted;
        `chi_squared` per degree of freedom of the fit over the points, near 1 if the law holds (NaN where two sizes leave none;
        points are correlated, so it has no sharp law).
        Too few sizes or samples, or an exponent that they don't determine: all is NaN with `reason`.

    Raises:
        Refusal: if the runs have different grids, or sizes are not known or not different, or specs differ in more than size.
    """
    if isinstance(runs, (xr.Dataset, xr.DataArray)):
        raise Refusal("analysis.finite_size: takes a list of results, one a size")
    if exponent is not None:
        number("analysis.finite_size", "exponent", exponent, 0)
    if sizes is not None and len(sizes) != len(runs):
        raise Refusal(f"analysis.finite_size: found {len(sizes)} sizes for {len(runs)} results")
    arrays = [_array(run, variable, at) for run in runs]
    _check_specs(runs)
    numbers = np.array([_size(run) for run in runs] if sizes is None else list(sizes), dtype=float)
    _check(arrays, numbers)
    first = arrays[0]
    grid = [str(dim) for dim in first.dims if dim not in ("sample", "replica")]
    shape = tuple(first.sizes[dim] for dim in grid)
    try:
        values = [units(array.compute().to_dataset(name=variable), [variable], over).filled(variable) for array in arrays]
        found = Fit(numbers, [v.reshape(len(v), -1) for v in values], exponent).all(seed)
    except NotEnough as reason:
        nothing, single = Estimate.none(str(reason), (int(np.prod(shape)),)), Estimate.none(str(reason))
        found = {"limit": nothing, "amplitude": nothing, "exponent": single, "chi_squared": single}
    out = _labels(found, first, grid, fitted=exponent is None)
    coords = {dim: first[dim] for dim in grid if dim in first.coords}
    return xr.Dataset(out, coords, {**shared_attributes(runs), "sizes": numbers})


def _check_specs(runs: Sequence[xr.Dataset | xr.DataArray]) -> None:
    """Whether runs differ in size alone, as far as they carry a spec."""
    first, *others = [flat(spec_of(run)) for run in runs if "spec" in run.attrs] or [{}]
    for other in others:
        for name in first | other:
            here, there = first.get(name), other.get(name)
            if here != there and name not in FREE and name.partition(".")[0] not in TABLES:
                raise Refusal(
                    f"analysis.finite_size: the runs differ in {name}, {_told(here)} and {_told(there)}, and one law is of runs that "
                    f"differ in size alone; leave out what doesn't belong to it, or give DataArrays with sizes= if this is meant"
                )


def _told(value: object) -> str:
    return "nothing" if value is None else repr(value)


def _check(arrays: Sequence[xr.DataArray], numbers: Float[np.ndarray, " size"]) -> None:
    if len(np.unique(numbers)) != len(arrays) or len(arrays) < 2:
        raise Refusal(
            "analysis.finite_size: needs two runs or more of different sizes, one a size; concatenate the samples of equal sizes first"
        )
    if np.isinf(numbers).any():
        raise Refusal("analysis.finite_size: theory for N → ∞ is the limit itself; leave it out, and compare the limit with it")
    if not (numbers > 0).all():
        raise Refusal(f"analysis.finite_size: sizes are positive, found {', '.join(f'{number:g}' for number in numbers)}")
    first = arrays[0]
    for array in arrays[1:]:
        if not all(first[dim].equals(array[dim]) for dim in first.dims if dim not in ("sample", "replica")):
            raise Refusal(
                "analysis.finite_size: the runs have different grids; interpolate, or select points that they share with at="
            )


def _labels(found: dict[str, Estimate], first: xr.DataArray, grid: Sequence[str], *, fitted: bool) -> dict[str, xr.DataArray]:
    """Limit and amplitude on the grid, the exponent if it was fitted, χ²."""
    shape = tuple(first.sizes[dim] for dim in grid)
    names = {"limit": f"{first.attrs.get('long_name', first.name)} for N → ∞", "amplitude": "c of c N^{−a}"}
    out: dict[str, xr.DataArray] = {}
    for name, label in names.items():
        shaped = {key: getattr(found[name], key).reshape(shape) for key in ("value", "error", "low", "high")}
        part = attrs.evolve(found[name], **shaped)
        out |= labelled(name, part, grid, long_name=label, units=str(first.attrs.get("units", "1")))
    if fitted:
        out |= labelled("exponent", found["exponent"], long_name="exponent a of c N^{−a}")
    about = {"long_name": "χ² per degree of freedom and point", "units": "1"}
    return out | {"chi_squared": xr.DataArray(found["chi_squared"].value, attrs=about)}


def _array(run: xr.Dataset | xr.DataArray, variable: str, at: dict[str, float] | None) -> xr.DataArray:
    array = dataset(run, variable)[variable]
    lost = [dim for dim in at or {} if dim not in array.dims or dim in ("sample", "replica") or dim not in array.coords]
    if lost:
        grid = ", ".join(str(dim) for dim in array.dims if dim not in ("sample", "replica")) or "nothing"
        raise Refusal(f"analysis.finite_size: {variable} can't be read at a {lost[0]}, it is over {grid}")
    return array.sel(at, method="nearest", tolerance=None) if at else array


def _size(run: xr.Dataset | xr.DataArray) -> float:
    if "degrees_of_freedom" not in run.attrs:
        raise Refusal("analysis.finite_size: a run has no attribute degrees_of_freedom; give sizes=")
    return float(run.attrs["degrees_of_freedom"])


@attrs.frozen
class Fit:
    """The law y_∞ + c N^{−a} at many points at once."""

    sizes: Float[np.ndarray, " size"]
    values: Sequence[Float[np.ndarray, "unit point"]]
    """One a size."""
    exponent: float | None

    @property
    def weights(self) -> Array:
        """Units times N."""
        return np.array([len(v) for v in self.values]) * self.sizes

    def all(self, seed: int) -> dict[str, Estimate]:
        if self.exponent is None and len(self.sizes) < 4:
            raise NotEnough(f"{len(self.sizes)} sizes were given, and a fit of the exponent needs four")
        rng = np.random.default_rng(seed)
        means = np.stack([v.mean(axis=0) for v in self.values])
        resampled = np.stack([_resampled(v, rng) for v in self.values], axis=1)
        value, draws = self.solve(means[None]), self.solve(resampled)
        self._check_exponent(float(value["exponent"][0]), draws["exponent"])
        out: dict[str, Estimate] = {}
        for name in ("limit", "amplitude", "exponent"):
            centre, error = value[name][0], draws[name].std(axis=0, ddof=1)
            reach = stats.t.ppf((1 + CONFIDENCE) / 2, self._freedom(float(value["exponent"][0]))) * error
            out[name] = Estimate(centre, error, centre - reach, centre + reach)
        out["chi_squared"] = Estimate.exact(self._chi_squared(means, value))
        return out

    def _check_exponent(self, best: float, draws: Float[np.ndarray, " draw"]) -> None:
        """Whether a fitted exponent is determined by the data, and not by the range that is searched."""
        low, high = EXPONENTS
        ends = [not 1.01 * low < found < 0.99 * high for found in (best, *draws)]
        if self.exponent is None and (ends[0] or np.mean(ends[1:]) > AT_ENDS):
            raise NotEnough(
                f"the data leave the exponent undetermined between {low:g} and {high:g}: the best is {best:.3g}, and {np.mean(ends[1:]):.0%}"
                f" of the resampled fits end at a bound; give exponent=, or more sizes or samples"
            )

    def solve(self, means: Float[np.ndarray, "draw size point"]) -> dict[str, Array]:
        """Weighted least squares of each of many sets of means [draw, size, point]; one exponent for all points of a draw."""
        if self.exponent is not None:
            return self._linear(means, np.full(len(means), self.exponent))
        low, high = np.full(len(means), EXPONENTS[0]), np.full(len(means), EXPONENTS[1])
        golden = (5**0.5 - 1) / 2
        for _ in range(30):  # golden section, all draws at once
            left, right = high - golden * (high - low), low + golden * (high - low)
            better = self._linear(means, left)["squares"] < self._linear(means, right)["squares"]
            low, high = np.where(better, low, left), np.where(better, right, high)
        return self._linear(means, (low + high) / 2)

    def _linear(self, means: Array, exponents: Array) -> dict[str, Array]:
        weights = self.weights / self.weights.sum()
        powers = self.sizes[None, :] ** -exponents[:, None]
        off = powers - (powers @ weights)[:, None]
        amplitude = np.einsum("s,ds,dsp->dp", weights, off, means, optimize=True) / (off**2 @ weights)[:, None]
        limit = np.einsum("s,dsp->dp", weights, means) - (powers @ weights)[:, None] * amplitude
        left = means - limit[:, None] - amplitude[:, None] * powers[..., None]
        squares = np.nanmean(np.einsum("s,dsp->dp", weights, left**2), axis=-1)
        return {"limit": limit, "amplitude": amplitude, "exponent": exponents, "squares": squares}

    def _chi_squared(self, means: Array, fitted: dict[str, Array]) -> float:
        """Σ over sizes of squared residuals over their variances, for each degree of freedom, a mean over points."""
        freedom = len(self.sizes) - 2 - (self.exponent is None)
        if freedom < 1:
            return np.nan
        law = fitted["limit"] + fitted["amplitude"] * self.sizes[:, None] ** -fitted["exponent"][:, None]
        variances = np.stack([v.var(axis=0, ddof=1) / len(v) for v in self.values])
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.nanmean(((means - law) ** 2 / variances).sum(axis=0)) / freedom)

    def _freedom(self, exponent: float) -> float:
        """Of the variance of y_∞, a sum of those of the sizes (Satterthwaite, Biometrics Bull. 2, 110 (1946))."""
        root = self.weights**0.5
        share = np.linalg.pinv(np.stack([root, self.sizes**-exponent * root], axis=1))[0] * root
        variances = np.array([np.nanmean(v.var(axis=0, ddof=1)) / len(v) for v in self.values])
        parts = share**2 * variances
        total = float((parts**2 / (np.array([len(v) for v in self.values]) - 1)).sum())
        return float(parts.sum() ** 2 / total) if total else np.inf


def _resampled(values: Float[np.ndarray, "unit point"], rng: np.random.Generator) -> Float[np.ndarray, "draw point"]:
    """Bootstrap means [draw, point], their distance from the mean made that of an unbiased variance."""
    count, mean = len(values), values.mean(axis=0)
    chosen = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    return mean + (chosen @ values - mean) * (count / (count - 1)) ** 0.5
