"""Diffusion at the bottom: its constant, its exponent, and what white gradient noise would give."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import attrs
import numpy as np
import xarray as xr
from jaxtyping import Float

from glassyrun.analysis.arguments import waiting_time, window
from glassyrun.analysis.labels import attempt, dataset, each, labelled
from glassyrun.analysis.sampling import Sampling, laws_of
from glassyrun.analysis.trajectories import Array, Estimate, Means, NotEnough, Over, jackknife, units

HELD = 1.1
"""D is taken to stay as it is for a tenth of the time beyond the last waiting time at which it was measured."""


def diffusion(
    ds: xr.Dataset,
    *,
    after: float | xr.DataArray = 0.0,
    variable: str = "msd",
    noise: str = "gradient_noise",
    lags: tuple[float, float] = (0.0, np.inf),
    sampling: Sampling | xr.DataArray | None = None,
    over: Over | None = None,
) -> xr.Dataset:
    """Δ = c s^γ for waiting times from `after` on, and Δ over what white noise of the run's own D gives on a constant gradient.

    s is the number of white steps. White noise gives Δ = (α/(1−β))² D t (Baity-Jesi et al. 2018; t in steps), and s = t. Momentum
    carries gradients on and batches without replacement are not white: within an epoch of K batches t steps count as t (K −
    t)/(K − 1), and an epoch as none (see `Sampling.white_steps`). D changes meanwhile: its mean over the lag, by power laws
    between the waiting times at which it was measured, takes the place of D(t_w), and s counts white steps of its mean at the
    bottom. Pairs that end where D was not measured are left out; where it was measured nowhere γ is that of s unweighted.

    A `ratio` of 1, the mean over waiting times and the geometric mean over lags, is free diffusion under the run's own sampling;
    below 1 the walls of the valley hold x back, above 1 it drifts. Without replacement lags end, unless `lags` says so, at one
    epoch; lags of which less than a tenth counts are left out.

    Args:
        ds: with `msd`, `gradient_noise`; the coordinates `t_step`, `t_flow` give α/(1−β).
        after: a waiting time, or one for each point of a sweep.
        sampling: by default read from the attribute `spec`; for a sweep one for all its points, or a DataArray of them.

    Returns:
        `gamma`, `coefficient` = c, `ratio`, with intervals; `reason` where NaN.

    Raises:
        Refusal: if it is not known how mini-batches change along a sweep, or they do among the waiting times.
    """
    work = dataset(ds, variable, noise, dims={variable: ("t_w", "t"), noise: ("t_w",)})
    lags = window("analysis.diffusion", "lags", lags)
    work["after"] = waiting_time("analysis.diffusion", after)
    work["law"] = laws_of(work, sampling, "analysis.diffusion")
    return each(work, lambda cell: of_one(cell, variable, noise, lags, over))


def of_one(cell: xr.Dataset, variable: str, noise: str, lags: tuple[float, float], over: Over | None) -> xr.Dataset:
    """The same of one run, whose variables `after` and `law` say where the bottom is and how batches are drawn."""
    law: Sampling | None = cell["law"].item()
    bottom = Bottom.of(cell, float(cell["after"]), lags, law)
    held = [variable, noise] if bool(np.isfinite(cell[noise]).any()) else [variable]

    def pairs(means: Means) -> tuple[Array, np.ndarray]:
        if not np.isfinite(bottom.after):
            raise NotEnough("t₂ is not known")
        white, inside = bottom.weighed(means.get(noise))
        found = inside & (means[variable] > 0)
        if (found.any(axis=0)).sum() < 4:
            raise NotEnough(
                f"{found.any(axis=0).sum()} lags were measured at the bottom, D throughout, and a law of diffusion needs four"
            )
        return white, found

    def law_of(means: Means) -> Array:
        white, found = pairs(means)
        return power_law(np.log(white[found]), means[variable][found])

    def ratio(means: Means) -> float:
        if noise not in means:
            raise NotEnough("D was not measured")
        white, found = pairs(means)
        expected = flow_step(cell) ** 2 * bottom.typical(means[noise]) * white
        # means over waiting times before the logarithm, which would make noise a bias
        each_lag = [np.mean((means[variable] / expected)[rows, lag]) for lag, rows in enumerate(found.T) if rows.any()]
        return float(np.exp(np.log(each_lag).mean()))

    def found(statistic: Callable[[Means], Array | float], *, log: bool = False) -> Estimate:
        return attempt(lambda: jackknife(units(cell, held, over), statistic, log=log))

    parts = {
        "gamma": found(lambda means: law_of(means)[0]),
        "coefficient": found(lambda means: np.exp(law_of(means)[1]), log=True),
        "ratio": found(ratio, log=True),
    }
    told = law.law if law else "unknown, taken as with replacement"
    return _labels(parts, told, f"{lags[0]:g} to {min(lags[1], bottom.span):g}")


def power_law(x: Float[np.ndarray, " pair"], y: Float[np.ndarray, " pair"]) -> Float[np.ndarray, "2"]:
    """γ and log c of y = c e^{γx}, for errors that are a part of y: the quasi-likelihood of McCullagh and Nelder (Generalized Linear
    Models, 1989, § 9), in which noise has no bias as it has in log y."""
    model = np.stack([x, np.ones_like(x)], axis=1)
    law = np.linalg.lstsq(model, np.log(y), rcond=None)[0]
    for _ in range(50):
        part = y / np.exp(model @ law)
        step = np.linalg.solve(model.T @ (model * part[:, None]), model.T @ (part - 1))
        law = law + step
        if np.abs(step).max() < 1e-9:
            break
    return law


@attrs.frozen
class Bottom:
    """The pairs of one run at the bottom."""

    after: float
    t_w: Array
    t: Array
    white: Array
    """White steps [t_w, t]."""
    inside: np.ndarray
    """Which pairs count [t_w, t]."""
    span: float
    """The steps at which lags end at the latest."""

    @classmethod
    def of(cls, cell: xr.Dataset, after: float, lags: tuple[float, float], law: Sampling | None) -> Bottom:
        t = cell.coords.get("t_step", cell.t).values.astype(float)
        t_w = cell.coords.get("t_w_step", cell.t_w).values.astype(float)
        span = law.epoch if law and law.law == "without_replacement" and np.isinf(lags[1]) else np.inf
        lasting = (t > 0) & (cell.t.values >= lags[0]) & (cell.t.values <= lags[1]) & (t <= span)
        white = law.white_steps(t_w, t) if law else np.broadcast_to(t, (len(t_w), len(t)))
        inside = (cell.t_w.values >= after)[:, None] & lasting & (white > 0) & (white >= 0.1 * t)
        return cls(after, cell.t_w.values.astype(float), cell.t.values.astype(float), white, inside, float(span))

    def typical(self, noise: Array) -> float:
        """Mean D at the bottom."""
        return float(np.nanmean(np.where(self.t_w >= self.after, noise, np.nan)))

    def weighed(self, noise: Array | None) -> tuple[Array, np.ndarray]:
        """White steps of the mean D at the bottom, and which pairs count."""
        if noise is None:
            return self.white, self.inside
        over = noise_over_lags(noise, self.t_w, self.t)
        return self.white * over / self.typical(noise), self.inside & np.isfinite(over)


def noise_over_lags(
    noise: Float[np.ndarray, " t_w"], t_w: Float[np.ndarray, " t_w"], t: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t_w t"]:
    """The mean of D from t_w to t_w + t, by power laws between the waiting times at which it is known; NaN beyond the last."""
    known = np.isfinite(noise) & (noise > 0)
    out = np.full((len(t_w), len(t)), np.nan)
    if not known.any():
        return out
    at, unit = t_w[known], t_w[t_w > 0].min(initial=np.inf)
    unit = unit if np.isfinite(unit) else 1.0
    edges = np.log1p(np.append(at, HELD * at[-1]) / unit)
    fine = np.unique(np.concatenate([np.linspace(low, high, 65) for low, high in itertools.pairwise(edges)]))
    time, curve = unit * np.expm1(fine), np.exp(np.interp(fine, edges[:-1], np.log(noise[known])))
    total = np.concatenate([[0.0], np.cumsum(np.diff(time) * (curve[1:] + curve[:-1]) / 2)])
    begin, end = np.broadcast_to(t_w[:, None], out.shape), t_w[:, None] + t
    inside = known[:, None] & (end <= time[-1] * (1 + 1e-9)) & (t > 0)
    mean = (np.interp(end, time, total) - np.interp(begin, time, total)) / np.where(t > 0, t, 1.0)
    return np.where(inside, mean, np.where(known[:, None] & (t == 0), noise[:, None], out))


def at_the_bottom(
    cell: xr.Dataset, after: float, lags: tuple[float, float], law: Sampling | None, noise: str = "gradient_noise"
) -> tuple[Array, np.ndarray, float]:
    """White steps [t_w, t] of the mean D, which pairs count [t_w, t], and the steps at which lags end at the latest."""
    bottom = Bottom.of(cell, after, lags, law)
    measured = noise in cell and bool(np.isfinite(cell[noise]).any())
    mean = cell[noise].mean([dim for dim in cell[noise].dims if dim != "t_w"]).values if measured else None
    return *bottom.weighed(mean), bottom.span


def _labels(parts: dict[str, Estimate], law: str, lags: str) -> xr.Dataset:
    names = {
        "gamma": "exponent of diffusion, Δ ∝ s^γ",
        "coefficient": "c of Δ = c s^γ, s in white steps of the mean D",
        "ratio": "Δ over that of white noise of size D",
    }
    out: dict[str, xr.DataArray] = {}
    for name, part in parts.items():
        out |= labelled(name, part, long_name=names[name], sampling=law, lags=lags)
    return xr.Dataset(out)


def flow_step(cell: xr.Dataset) -> float:
    """α/(1−β): time along the gradient flow of one step."""
    for name in ("t", "t_w"):  # lags have no flow where stages differ, waiting times of one of them do
        if f"{name}_flow" in cell.coords and f"{name}_step" in cell.coords and cell.sizes[name] > 1:
            flow, step = (cell[f"{name}_{clock}"].values.astype(float) for clock in ("flow", "step"))
            return float((flow[-1] - flow[0]) / (step[-1] - step[0]))
    raise NotEnough("the coordinates t_flow and t_step, which give α/(1−β), are not there")
