"""How two-time functions depend on the waiting time: the exponent μ of F(t/t_w^μ), beside that of a null model."""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
import xarray as xr

from glassyrun.analysis.curves import plateau, plateau_labels, slope_labels, slopes
from glassyrun.analysis.labels import attempt, dataset, each, labelled
from glassyrun.analysis.master import Curves, Master, one_hot, refine, search
from glassyrun.analysis.null_model import NullModel
from glassyrun.analysis.trajectories import Array, Estimate, NotEnough, Over, Units, interval, units

CANDIDATES = np.linspace(-0.5, 2.5, 16)
CURVES, LAGS = 3, 4
"""Waiting times, and lags of each, without which there is nothing to fit."""


@attrs.frozen
class Pairs:
    """Which points of a [t_w, t] array are fitted, and log t and log t_w of each."""

    mask: np.ndarray
    curves: Curves

    @classmethod
    def of(
        cls, values: Array, t_w: Array, t: Array, lags: tuple[float, float], waiting: tuple[float, float], free: bool
    ) -> Pairs:
        """Positive times within the windows where the values are positive.

        Raises:
            NotEnough: if fewer than three waiting times have four such lags.
        """
        inside = ((t_w > 0) & (t_w >= waiting[0]) & (t_w <= waiting[1]))[:, None] & ((t > 0) & (t >= lags[0]) & (t <= lags[1]))
        mask = inside & (values > 0)
        mask &= (mask.sum(axis=1) >= LAGS)[:, None]
        if mask.any(axis=1).sum() < CURVES:
            raise NotEnough(f"{mask.any(axis=1).sum()} waiting times have {LAGS} lags or more, and a fit needs {CURVES}")
        rows, columns = np.nonzero(mask)
        waited = np.log(t_w[rows])
        offsets = one_hot(waited) if free else np.zeros((len(waited), 0))
        return cls(mask, Curves(np.log(t[columns]), waited[:, None], offsets))


def aging(
    data: xr.Dataset | xr.DataArray,
    *,
    variable: str = "msd",
    lags: tuple[float, float] = (0.0, np.inf),
    waiting: tuple[float, float] = (0.0, np.inf),
    null: NullModel | xr.Dataset | None = None,
    amplitude: Literal["common", "free"] = "common",
    pieces: int = 6,
    flat: float = 0.1,
    over: Over | None = None,
) -> xr.Dataset:
    """The exponent μ with which Δ(t_w, t_w+t) is a function F(t/t_w^μ): 1 full aging, 0 none, between them sub-aging.

    log F is a cubic spline in log t − μ log t_w, so no form is imposed; μ is where the curves of all waiting times lie closest
    to it (least squares in log Δ; Struik 1978 for μ, Vincent et al., Lect. Notes Phys. 492, 184 (1997)). `misfit` is what
    remains, in units of log Δ: where it exceeds what the errors of Δ explain, Δ is no such function and μ an effective number.

    The same fit to the null model on the same times gives `mu_null`: a quadratic energy ages without any glassiness, and only
    the difference from it says something about the landscape.

    Args:
        data: with `msd` or another positive two-time function, dims (sample, replica, t_w, t) and whatever a sweep adds.
        lags, waiting: windows of t and t_w that are fitted, in units of the coordinates.
        null: a run of a null model on the same grids, or its closed form; by default exponent ½ and cutoff 1 per unit of flow
            time.
        amplitude: `free` fits A(t_w) F(t/t_w^μ), for Δ whose height falls with t_w, as that of the null model; it can't be told
            from
            `common` where F is a power law, and says so.
        pieces: of the spline.
        flat: local slope below which there is a plateau.

    Returns:
        `mu`, `mu_null`, `mu_excess` = mu − mu_null; `misfit`; `slope` [t_w, t], the local exponent d log Δ/d log t; `mu_local`
        [t_w], μ of three neighbouring waiting times alone; `plateau`, `plateau_from`, `plateau_to` of the longest waiting time.
        Each but `misfit`, `plateau_from` and `plateau_to` with `_error` and `_interval`; NaN with the attribute `reason` where
        the data do not determine it.
    """
    ds = dataset(data, variable)

    def one(cell: xr.Dataset) -> xr.Dataset:
        t_w, t = cell.t_w.values.astype(float), cell.t.values.astype(float)
        fit = Fit(variable, t_w, t, lags, waiting, pieces, amplitude == "free")
        try:
            these = units(cell, [variable], over)
        except NotEnough as reason:
            return _nothing(cell, str(reason))
        misfit = np.nan
        try:
            pairs, best = fit.master(these.means()[variable])
            misfit = best.spread
            found = fit.jackknife(these, pairs, best)
        except NotEnough as reason:
            found = Estimate.none(str(reason))
        expected = attempt(lambda: _null(null, fit, cell, these, over))
        out = _labels(found, expected, misfit, these.about())
        out |= _local(these, fit) | slopes(these, variable, t) | plateau(these, variable, t, flat)
        return xr.Dataset(out, coords={"t_w": cell.t_w, "t": cell.t})

    found = each(ds, one)
    found["mu"].attrs["amplitude"] = amplitude
    return found


def _labels(found: Estimate, expected: Estimate, misfit: float = np.nan, errors: str = "") -> dict[str, xr.DataArray]:
    out = labelled("mu", found, long_name="exponent of aging, F(t/t_w^μ)", errors=errors)
    out |= labelled("mu_null", expected, long_name="exponent of aging of the null model")
    out["misfit"] = xr.DataArray(misfit, attrs={"long_name": "rms of log Δ about the master curve", "units": "1"})
    return out | labelled("mu_excess", found.minus(expected), long_name="exponent of aging beyond that of the null model")


def _nothing(cell: xr.Dataset, reason: str) -> xr.Dataset:
    """All variables, of NaN."""
    nothing = Estimate.none(reason)
    out = _labels(nothing, nothing)
    t_w, t = cell.sizes["t_w"], cell.sizes["t"]
    out |= _local_labels(Estimate.none(reason, (t_w,)))
    return xr.Dataset(
        out | slope_labels(Estimate.none(reason, (t_w, t))) | plateau_labels(nothing), coords={"t_w": cell.t_w, "t": cell.t}
    )


@attrs.frozen
class Fit:
    """The fit of one two-time function to F(t/t_w^μ)."""

    variable: str
    t_w: Array
    t: Array
    lags: tuple[float, float]
    waiting: tuple[float, float]
    pieces: int
    free: bool = False
    """Whether each waiting time has an amplitude of its own."""

    def master(self, values: Array) -> tuple[Pairs, Master]:
        pairs = Pairs.of(values, self.t_w, self.t, self.lags, self.waiting, self.free)
        y = np.log(values[pairs.mask])
        if np.ptp(y) < 1e-9:
            raise NotEnough("the function is constant within the windows, so nothing tells how it is shifted")
        best = search(y, pairs.curves, CANDIDATES, self.pieces)
        if best.spread**2 > 0.5 * y.var():
            raise NotEnough("no master curve explains half of the variance of log Δ, so that there is nothing to collapse")
        return pairs, best

    def mu(self, units: Units) -> Estimate:
        return self.jackknife(units, *self.master(units.means()[self.variable]))

    def jackknife(self, units: Units, pairs: Pairs, best: Master) -> Estimate:
        """The exponent with its interval, near the best one."""
        left = np.array([self._again(units.without(unit)[self.variable], pairs, best) for unit in range(units.count)])
        if not CANDIDATES[0] < best.exponent < CANDIDATES[-1] or np.ptp(left) > 2:
            raise NotEnough("the data leave μ undetermined between −0.5 and 2.5; more waiting times, lags or replicas are needed")
        return interval(np.asarray(best.exponent), left)

    def _again(self, values: Array, pairs: Pairs, best: Master) -> float:
        with np.errstate(invalid="ignore", divide="ignore"):
            y = np.log(values[pairs.mask])
        there = np.isfinite(y)
        return float(refine(y[there], pairs.curves.part(there), best.shift, best.knots)[0])


def _null(null: NullModel | xr.Dataset | None, fit: Fit, cell: xr.Dataset, these: Units, over: Over | None) -> Estimate:
    if isinstance(null, xr.Dataset):
        run = dataset(null, fit.variable).compute()
        return attrs.evolve(fit, t_w=run.t_w.values.astype(float), t=run.t.values.astype(float)).mu(
            units(run, [fit.variable], over)
        )
    # the cutoff is an inverse time along the gradient flow; without that clock the coordinates stand for it
    t_w, t = (cell.coords.get(f"{name}_flow", cell[name]).values.astype(float) for name in ("t_w", "t"))
    measured = np.isfinite(these.means()[fit.variable])
    exponent = fit.master(np.where(measured, (null or NullModel()).msd(t_w, t), np.nan))[1].exponent
    if not CANDIDATES[0] < exponent < CANDIDATES[-1]:
        raise NotEnough('the null model is no function of t/t_w^μ alone on these times; amplitude="free" gives its exponent')
    return Estimate.exact(exponent)


def _local(these: Units, fit: Fit) -> dict[str, xr.DataArray]:
    """μ of three neighbouring waiting times, at the one in the middle."""
    found = [Estimate.none("")] * len(fit.t_w)
    for middle in range(1, len(fit.t_w) - 1):
        window = (float(fit.t_w[middle - 1]), float(fit.t_w[middle + 1]))
        narrow = attrs.evolve(fit, waiting=(max(window[0], fit.waiting[0]), min(window[1], fit.waiting[1])), pieces=4)
        found[middle] = attempt(lambda narrow=narrow: narrow.mu(these))
    return _local_labels(Estimate.stack(found))


def _local_labels(local: Estimate) -> dict[str, xr.DataArray]:
    return labelled("mu_local", local, ["t_w"], long_name="exponent of aging of three neighbouring waiting times")
