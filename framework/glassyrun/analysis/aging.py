"""How two-time functions depend on the waiting time: the exponent μ of F(t/t_w^μ), beside that of a null model."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs
import numpy as np
import xarray as xr

from glassyrun.analysis.arguments import check_word, count, number, window
from glassyrun.analysis.curves import plateau, plateau_labels, slope_labels, slopes
from glassyrun.analysis.exponent import CANDIDATES, Fit, Misfit
from glassyrun.analysis.labels import attempt, dataset, each, labelled
from glassyrun.analysis.master import Master
from glassyrun.analysis.null_model import NullModel
from glassyrun.analysis.of_spec import warmest
from glassyrun.analysis.trajectories import Estimate, NotEnough, Over, Units, units
from glassyrun.errors import Refusal

Amplitude: TypeAlias = Literal["common", "free"]
SCANNED = 5
"""Cutoffs of the null model, between two."""


def aging(
    data: xr.Dataset | xr.DataArray,
    *,
    variable: str = "msd",
    lags: tuple[float, float] = (0.0, np.inf),
    waiting: tuple[float, float] = (0.0, np.inf),
    null: NullModel | xr.Dataset | None = None,
    cutoffs: tuple[float, float] = (0.1, 10.0),
    amplitude: Amplitude = "common",
    pieces: int = 6,
    flat: float = 0.1,
    over: Over | None = None,
) -> xr.Dataset:
    """The exponent μ with which Δ(t_w, t_w+t) is a function F(t/t_w^μ): 1 full aging, 0 none, between them sub-aging.

    log F is a cubic spline in log t − μ log t_w, so no form is imposed; μ is where the curves of all waiting times lie closest
    to it (least squares in log Δ; Struik 1978 for μ, Vincent et al., Lect. Notes Phys. 492, 184 (1997)). `misfit` is what
    remains, in units of log Δ, and `misfit_expected` what the errors of Δ explain of it; where it is more than twice that, and
    more than 0.1, Δ is no such function and there is no μ.

    The same fit to the null model on the same times gives `mu_null`: a quadratic energy ages without any glassiness, and only
    the difference from it says something about the landscape. It is an effective number, whatever `misfit_null`; while
    times are not all long after 1/cutoff it hangs on the cutoff, the largest eigenvalue of the Hessian, and its interval is
    the range that it has between `cutoffs`. Give `null=NullModel(cutoff=...)` where the largest eigenvalue is known.

    The closed form is that of T = 0. Where the spec of the result has a temperature above 0, thermal noise lets the null model
    come to equilibrium, and it takes a run of it at that temperature: without one, `mu_null`, `mu_excess` and `misfit_null` are
    NaN. A lone variable has no spec, and is taken for one of T = 0.

    Args:
        data: with `msd` or another positive two-time function, dims (sample, replica, t_w, t) and whatever a sweep adds.
        lags, waiting: windows of t and t_w that are fitted, in units of the coordinates.
        null: a run of a null model on the same grids and at the same temperature, or at T = 0 its closed form; by default
            exponent ½ and the cutoffs between `cutoffs`.
        cutoffs: lowest and highest, per unit of flow time.
        amplitude: `free` fits A(t_w) F(t/t_w^μ), for Δ whose height falls with t_w, as that of the null model; it can't be told
            from `common` where F is a power law, and says so.
        pieces: of the spline.
        flat: local slope below which there is a plateau.

    Returns:
        `mu`, `mu_null`, `mu_excess` = mu − mu_null; `misfit`, `misfit_expected`, `misfit_null`; `slope` [t_w, t], the local
        exponent d log Δ/d log t; `mu_local` [t_w], μ of three neighbouring waiting times alone; `plateau`, `plateau_from`,
        `plateau_to` of the longest waiting time. Each but the misfits, `plateau_from` and `plateau_to` with `_error` and
        `_interval`; NaN with the attribute `reason` where the data do not determine it.

    Raises:
        Refusal: if an argument is not what it can be, or the variable, a dimension or a coordinate of it is not there.
    """
    place = "analysis.aging"
    ds = dataset(data, variable, dims=("t_w", "t"))
    check_word(place, "amplitude", amplitude, Amplitude)
    if null is not None and not isinstance(null, (NullModel, xr.Dataset)):
        raise Refusal(f"{place}: null is a NullModel or a run of a null model, found {null!r}")
    lags, waiting = window(place, "lags", lags), window(place, "waiting", waiting)
    cutoffs, pieces, flat = window(place, "cutoffs", cutoffs), count(place, "pieces", pieces), number(place, "flat", flat)

    def one(cell: xr.Dataset) -> xr.Dataset:
        t_w, t = cell.t_w.values.astype(float), cell.t.values.astype(float)
        fit = Fit(variable, t_w, t, lags, waiting, pieces, amplitude == "free")
        try:
            these = units(cell, [variable], over)
        except NotEnough as reason:
            return _nothing(cell, str(reason))
        misfit = Misfit()
        try:
            pairs, best = fit.master(these.means()[variable])
            misfit = fit.misfit(these, pairs, best)
            found = fit.jackknife(these, pairs, best, misfit)
        except NotEnough as reason:
            found = Estimate.none(str(reason))
        expected = Null(null, cutoffs, over, warmest(cell)).exponent(fit, cell, these)
        out = _labels(found, expected, misfit, these.about())
        out |= _local(these, fit) | slopes(these, variable, t) | plateau(these, variable, t, flat)
        return xr.Dataset(out, coords={"t_w": cell.t_w, "t": cell.t})

    found = each(ds, one)
    found["mu"].attrs["amplitude"] = amplitude
    return found


@attrs.frozen
class Expected:
    """The exponent of the null model."""

    mu: Estimate
    misfit: float = np.nan
    told: str = ""
    """What its interval is."""
    ranged: bool = False
    """Whether that is a range of models, and no error."""

    def excess(self, found: Estimate) -> Estimate:
        if not self.ranged or found.reason or self.mu.reason:
            return found.minus(self.mu)
        low, high = found.low - self.mu.high, found.high - self.mu.low
        return Estimate(found.value - self.mu.value, np.hypot(found.error, self.mu.error), low, high)


def _labels(found: Estimate, expected: Expected, misfit: Misfit, errors: str = "") -> dict[str, xr.DataArray]:
    out = labelled("mu", found, long_name="exponent of aging, F(t/t_w^μ)", errors=errors)
    out |= labelled("mu_null", expected.mu, long_name="exponent of aging of the null model", errors=expected.told)
    about = {
        "misfit": (misfit.found, "rms of log Δ about the master curve"),
        "misfit_expected": (misfit.expected, "rms of log Δ about the master curve that its errors explain"),
        "misfit_null": (expected.misfit, "rms of log Δ of the null model about its master curve"),
    }
    out |= {name: xr.DataArray(value, attrs={"long_name": told, "units": "1"}) for name, (value, told) in about.items()}
    told = "interval of mu, widened by the range of mu_null" if expected.ranged else "of mu and of mu_null, taken for independent"
    excess = expected.excess(found)
    return out | labelled("mu_excess", excess, long_name="exponent of aging beyond that of the null model", errors=told)


def _nothing(cell: xr.Dataset, reason: str) -> xr.Dataset:
    """All variables, of NaN."""
    nothing = Estimate.none(reason)
    out = _labels(nothing, Expected(nothing), Misfit())
    t_w, t = cell.sizes["t_w"], cell.sizes["t"]
    out |= _local_labels(Estimate.none(reason, (t_w,)))
    return xr.Dataset(
        out | slope_labels(Estimate.none(reason, (t_w, t))) | plateau_labels(nothing), coords={"t_w": cell.t_w, "t": cell.t}
    )


@attrs.frozen
class Null:
    """What the null model is: a run of it, its closed form, or that with a range of cutoffs."""

    given: NullModel | xr.Dataset | None
    cutoffs: tuple[float, float]
    over: Over | None
    temperature: float
    """Of the run that it stands beside."""

    def exponent(self, fit: Fit, cell: xr.Dataset, these: Units) -> Expected:
        try:
            if isinstance(self.given, xr.Dataset):
                return self._of_run(self.given, fit)
            return self._of_models(fit, cell, these)
        except NotEnough as reason:
            return Expected(Estimate.none(str(reason)))

    def _of_run(self, given: xr.Dataset, fit: Fit) -> Expected:
        run = dataset(given, fit.variable).compute()
        t_w, t = run.t_w.values.astype(float), run.t.values.astype(float)
        these = units(run, [fit.variable], self.over)
        mu, misfit = attrs.evolve(fit, t_w=t_w, t=t).mu(these, strict=False)
        return Expected(mu, misfit.found, these.about())

    def _of_models(self, fit: Fit, cell: xr.Dataset, these: Units) -> Expected:
        if self.temperature > 0:
            raise NotEnough(
                f"the closed form of the null model is that of T = 0, and this run has T = {self.temperature:g}: give a run of "
                "the null model at that temperature with null="
            )
        # the cutoff is an inverse time along the gradient flow; without that clock the coordinates stand for it
        t_w, t = (cell.coords.get(f"{name}_flow", cell[name]).values.astype(float) for name in ("t_w", "t"))
        measured = np.isfinite(these.means()[fit.variable])

        def best(model: NullModel) -> Master:
            found = fit.master(np.where(measured, model.msd(t_w, t), np.nan))[1]
            if not CANDIDATES[0] < found.exponent < CANDIDATES[-1]:
                raise NotEnough(
                    'the null model is no function of t/t_w^μ alone on these times; amplitude="free" gives its exponent'
                )
            return found

        if isinstance(self.given, NullModel):
            found = best(self.given)
            return Expected(Estimate.exact(found.exponent), found.spread, f"exact, cutoff {self.given.cutoff:g}")
        all_of_them = [best(NullModel(cutoff=float(cutoff))) for cutoff in np.geomspace(*self.cutoffs, SCANNED)]
        exponents = np.array([one.exponent for one in all_of_them])
        low, high = exponents.min(), exponents.max()
        middle = all_of_them[SCANNED // 2]
        # the error is that of an even distribution over the range
        value, error = np.asarray(middle.exponent), np.asarray((high - low) / 12**0.5)
        mu = Estimate(value, error, np.asarray(low), np.asarray(high))
        return Expected(mu, middle.spread, f"range of cutoffs {self.cutoffs[0]:g} to {self.cutoffs[1]:g}", ranged=True)


def _local(these: Units, fit: Fit) -> dict[str, xr.DataArray]:
    """μ of three neighbouring waiting times, at the one in the middle."""
    found = [Estimate.none("")] * len(fit.t_w)
    for middle in range(1, len(fit.t_w) - 1):
        window = (float(fit.t_w[middle - 1]), float(fit.t_w[middle + 1]))
        narrow = attrs.evolve(fit, waiting=(max(window[0], fit.waiting[0]), min(window[1], fit.waiting[1])), pieces=4)
        found[middle] = attempt(lambda narrow=narrow: narrow.mu(these)[0])
    return _local_labels(Estimate.stack(found))


def _local_labels(local: Estimate) -> dict[str, xr.DataArray]:
    return labelled("mu_local", local, ["t_w"], long_name="exponent of aging of three neighbouring waiting times")
