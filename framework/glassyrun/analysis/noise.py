"""Whether the noise of the gradient explains how Δ depends on the waiting time."""

from __future__ import annotations

from typing import TypeAlias

import attrs
import numpy as np
import xarray as xr

from glassyrun.analysis.arguments import waiting_time, window
from glassyrun.analysis.diffusion import noise_over_lags, of_one
from glassyrun.analysis.labels import attempt, dataset, each, labelled
from glassyrun.analysis.regimes import regimes
from glassyrun.analysis.sampling import Sampling, laws_of
from glassyrun.analysis.spread import of_pseudo, squares, unbiased
from glassyrun.analysis.trajectories import Array, Estimate, Means, NotEnough, Over, Units, jackknife, units

Window: TypeAlias = tuple[float, float]
SCALINGS = ["constant", "noise", "best"]
REGIMES = ["before", "after"]


def rescale_by_noise(
    ds: xr.Dataset,
    *,
    after: float | xr.DataArray | None = None,
    bottom: float | xr.DataArray | None = None,
    variable: str = "msd",
    noise: str = "gradient_noise",
    lags: Window = (0.0, np.inf),
    sampling: Sampling | xr.DataArray | None = None,
    over: Over | None = None,
) -> xr.Dataset:
    """Do the curves Δ(t_w, t_w+t)/D(t_w) coincide? After t₂ they should, if the run diffuses at the bottom (Baity-Jesi et al.
    2018).

    `spread` is the root mean square distance of log Δ from its mean over waiting times at the same lag, without what noise
    alone gives (Quenouille's correction), after Δ has been divided by a constant, by D, and by D and the best factor for each
    waiting time. D changes during a lag: what is taken is its mean from t_w to t_w + t (see `diffusion`), of pairs that end where
    it was measured, so that free diffusion collapses also where D decays.
    A small number for D alone says nothing: it must be well below that for a constant. `explained` is the part that D does of
    what it and any factor can, (S²_constant − S²_noise)/(S²_constant − S²_best): 1 for a perfect D, 0 for none. `power` is the
    exponent b of Δ ∝ D^b at equal lag: 1 for diffusion.

    Args:
        ds: with `msd` (sample, replica, t_w, t) and `gradient_noise` (sample, replica, t_w), and `energy` where `after` is not
            given.
        after: t₂, a waiting time; by default that of `regimes`, with `bottom`.
        lags: window of lags.
        sampling: as for `diffusion`.

    Returns:
        `spread` [regime, scaling], `explained`, `power` [regime], with intervals, regimes before and after t₂; `rescaled` = Δ/D
        [t_w, t]; and what `diffusion` gives for waiting times after t₂. NaN with the attribute `reason`
        where the data do not give it.
    """
    work = dataset(ds, variable, noise, dims={variable: ("t_w", "t"), noise: ("t_w",)})
    lags = window("analysis.rescale_by_noise", "lags", lags)
    t2 = _after(ds, after, bottom, over)
    told = t2.attrs.get("reason", "t₂ is not known")
    work["after"] = t2.drop_vars("reason", errors="ignore")
    work["law"] = laws_of(work, sampling, "analysis.rescale_by_noise")

    def one(cell: xr.Dataset) -> xr.Dataset:
        collapse = Collapse(cell, variable, noise, lags, over)
        since = float(cell["after"])
        parts = [collapse.of(part, since, told) for part in REGIMES]
        out = xr.concat(parts, dim=xr.DataArray(REGIMES, dims="regime", name="regime"), combine_attrs="drop_conflicts")
        for name in out.data_vars:
            reasons = [
                f"{r}: {p[name].attrs['reason']}" for r, p in zip(REGIMES, parts, strict=True) if "reason" in p[name].attrs
            ]
            if reasons:
                out[name].attrs["reason"] = "\n".join(reasons)
        motion = of_one(cell, variable, noise, lags, over)
        return out.merge(collapse.rescaled()).merge(motion, combine_attrs="drop_conflicts")

    return each(work, one)


def _after(
    ds: xr.Dataset, after: float | xr.DataArray | None, bottom: float | xr.DataArray | None, over: Over | None
) -> xr.DataArray:
    if after is None:
        return regimes(ds, bottom=bottom, over=over)["t2"]
    return waiting_time("analysis.rescale_by_noise", after)


@attrs.frozen
class Collapse:
    """The curves of one run."""

    cell: xr.Dataset
    variable: str
    noise: str
    lags: Window
    over: Over | None

    def of(self, part: str, since: float, told: str) -> xr.Dataset:
        """The numbers of one regime."""
        try:
            if not np.isfinite(since):
                raise NotEnough(f"t₂ is not known: {told}")
            these = units(self.cell, [self.variable, self.noise], self.over)
            table = Table.of(self, these, (self.cell.t_w.values >= since) == (part == "after"))
        except NotEnough as reason:
            spread = Estimate.none(str(reason), (len(SCALINGS),))
            explained = power = Estimate.none(str(reason))
        else:
            pseudo = unbiased(these, table.squares)
            spread = attrs.evolve(of_pseudo(pseudo), about=these.about())
            explained = attempt(lambda: table.explained(these, pseudo))
            power = attempt(lambda: table.power(these))
        out = labelled("spread", spread, ["scaling"], long_name="rms distance of log Δ from the mean over waiting times")
        out |= labelled("explained", explained, long_name="part of what any factor can do that dividing by D does")
        out |= labelled("power", power, long_name="exponent b of the best factors, D^b")
        return xr.Dataset(out, coords={"scaling": SCALINGS})

    def rescaled(self) -> xr.Dataset:
        t_w, t = self.cell.t_w.values.astype(float), self.cell.t.values.astype(float)
        shape = (len(t_w), len(t))

        def ratio(means: Means) -> Array:
            return means[self.variable] / noise_over_lags(means[self.noise], t_w, t)

        found = attempt(lambda: jackknife(units(self.cell, [self.variable, self.noise], self.over), ratio), shape)
        return xr.Dataset(
            labelled("rescaled", found, ["t_w", "t"], long_name="Δ(t_w, t_w+t)/D, D the mean over the lag"),
            self.cell[["t_w", "t"]].coords,
        )


@attrs.frozen
class Table:
    """The points of one regime: rows are waiting times."""

    variable: str
    noise: str
    t_w: Array
    t: Array
    rows: np.ndarray
    mask: np.ndarray

    @classmethod
    def of(cls, of: Collapse, these: Units, chosen: np.ndarray) -> Table:
        means, t, t_w = these.means(), of.cell.t.values.astype(float), of.cell.t_w.values.astype(float)
        known = np.isfinite(noise_over_lags(means[of.noise], t_w, t))
        mask = (means[of.variable] > 0) & known & ((t > 0) & (t >= of.lags[0]) & (t <= of.lags[1])) & chosen[:, None]
        mask &= mask.sum(axis=0) >= 2  # a lag that one waiting time has says nothing
        rows = np.nonzero(mask.sum(axis=1) >= 3)[0]
        if len(rows) < 3:
            raise NotEnough(f"{len(rows)} waiting times have Δ at three lags, and D throughout, in this regime; three are needed")
        return cls(of.variable, of.noise, t_w, t, rows, mask[rows])

    def logs(self, means: Means) -> tuple[Array, Array]:
        """log Δ, and log of the mean of D over the lag [row, t]; NaN are points that are not there."""
        with np.errstate(invalid="ignore", divide="ignore"):
            moved, scale = np.log(means[self.variable]), np.log(noise_over_lags(means[self.noise], self.t_w, self.t))
        return np.where(self.mask, moved[self.rows], np.nan), np.where(self.mask, scale[self.rows], np.nan)

    def squares(self, means: Means) -> Array:
        """Mean squares for a constant, for D, for D and the best factors, [scaling]."""
        y, scale = self.logs(means)
        nought = np.zeros(len(self.rows))
        return np.array([squares(z, self.mask, s) for z, s in ((y, nought), (y - scale, nought), (y - scale, None))])

    def explained(self, these: Units, pseudo: Array) -> Estimate:
        gain = of_pseudo(pseudo[:, 0] - pseudo[:, 2])
        if not gain.low > 0:
            raise NotEnough("no factor brings the curves closer than a constant does, beyond what their errors allow")

        def part(means: Means) -> float:
            constant, noise, best = self.squares(means)
            return (constant - noise) / (constant - best)

        return jackknife(these, part)

    def power(self, these: Units) -> Estimate:
        logs = jackknife(these, lambda means: np.log(means[self.noise][self.rows]))
        if np.var(logs.value) < 10 * np.mean(logs.error**2):
            raise NotEnough("D hardly depends on the waiting time within its errors, so that it can explain nothing")

        def slope(means: Means) -> float:
            y, scale = (z - np.nanmean(z, axis=0) for z in self.logs(means))
            return float(np.nansum(y * scale) / np.nansum(scale**2))

        return jackknife(these, slope)
