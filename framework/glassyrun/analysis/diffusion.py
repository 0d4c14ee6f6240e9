"""Diffusion at the bottom: its constant, its exponent, and what white gradient noise would give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from glassyrun.analysis.labels import attempt, dataset, each, labelled
from glassyrun.analysis.sampling import Sampling, sampling_of
from glassyrun.analysis.trajectories import Array, Estimate, Means, NotEnough, Over, jackknife, units


def diffusion(
    ds: xr.Dataset,
    *,
    after: float = 0.0,
    variable: str = "msd",
    noise: str = "gradient_noise",
    lags: tuple[float, float] = (0.0, np.inf),
    sampling: Sampling | None = None,
    over: Over | None = None,
) -> xr.Dataset:
    """Δ = c s^γ for waiting times from `after` on, and Δ over what white noise of the run's own D gives on a constant gradient.

    s is the number of white steps. White noise gives Δ = (α/(1−β))² D t (Baity-Jesi et al. 2018; t in steps, t ≫ 1/(1−β)), and
    s = t.
    Batches without replacement are not white: within an epoch of K batches t steps count as t (K − t)/(K − 1), and an epoch as
    none (see `Sampling.white_steps`). A `ratio` of 1 is free diffusion under the run's own sampling; below 1 the walls of the
    valley hold x back, above 1 it drifts. Without replacement lags end, unless `lags` says so, at one epoch; lags of which less
    than a tenth counts are left out.

    Args:
        ds: with `msd`, `gradient_noise`; the coordinates `t_step`, `t_flow` give α/(1−β).
        sampling: by default read from the attribute `spec`.

    Returns:
        `gamma`, `coefficient` = c, `ratio`, with intervals; `reason` where NaN.
    """
    law = sampling or sampling_of(ds)
    work = dataset(ds, variable, noise)
    return each(work, lambda cell: _of_one(cell, after, variable, noise, lags, law, over))


def _of_one(
    cell: xr.Dataset, after: float, variable: str, noise: str, lags: tuple[float, float], law: Sampling | None, over: Over | None
) -> xr.Dataset:
    white, inside, span = at_the_bottom(cell, after, lags, law)

    def pairs(means: Means) -> np.ndarray:
        if not np.isfinite(after):
            raise NotEnough("t₂ is not known")
        found = inside & (means[variable] > 0)
        if (found.any(axis=0)).sum() < 4:
            raise NotEnough(f"{found.any(axis=0).sum()} lags were measured at the bottom, and a law of diffusion needs four")
        return found

    def law_of(means: Means) -> Array:
        """γ, and log c, by least squares of log Δ over all pairs."""
        good = pairs(means)
        slope, constant = np.polyfit(np.log(white[good]), np.log(means[variable][good]), 1)
        return np.array([slope, constant])

    def ratio(means: Means) -> float:
        flow, noisy = flow_step(cell), np.broadcast_to(means[noise][:, None], white.shape)
        good = pairs(means) & np.isfinite(noisy)
        if not good.any():
            raise NotEnough("D was not measured at the bottom")
        expected = flow**2 * noisy[good] * white[good]
        return float(np.exp(np.log(means[variable][good] / expected).mean()))

    def found(statistic: Callable[[Means], Array | float], *, log: bool = False) -> Estimate:
        return attempt(lambda: jackknife(units(cell, [variable, noise], over), statistic, log=log))

    parts = {
        "gamma": found(lambda means: law_of(means)[0]),
        "coefficient": found(lambda means: np.exp(law_of(means)[1]), log=True),
        "ratio": found(ratio, log=True),
    }
    return _labels(parts, law.law if law else "unknown, taken as with replacement", f"{lags[0]:g} to {min(lags[1], span):g}")


def at_the_bottom(
    cell: xr.Dataset, after: float, lags: tuple[float, float], law: Sampling | None
) -> tuple[Array, np.ndarray, float]:
    """White steps [t_w, t], which pairs count [t_w, t], and the steps at which lags end at the latest."""
    t = cell.coords.get("t_step", cell.t).values.astype(float)
    t_w = cell.coords.get("t_w_step", cell.t_w).values.astype(float)
    span = law.epoch if law and law.law == "without_replacement" and np.isinf(lags[1]) else np.inf
    lasting = (t > 0) & (cell.t.values >= lags[0]) & (cell.t.values <= lags[1]) & (t <= span)
    white = law.white_steps(t_w, t) if law else np.broadcast_to(t, (len(t_w), len(t)))
    return white, (cell.t_w.values >= after)[:, None] & lasting & (white > 0) & (white >= 0.1 * t), span


def _labels(parts: dict[str, Estimate], law: str, lags: str) -> xr.Dataset:
    names = {
        "gamma": "exponent of diffusion, Δ ∝ s^γ",
        "coefficient": "c of Δ = c s^γ, s in white steps",
        "ratio": "Δ over that of white noise of size D",
    }
    out: dict[str, xr.DataArray] = {}
    for name, part in parts.items():
        out |= labelled(name, part, long_name=names[name], sampling=law, lags=lags)
    return xr.Dataset(out)


def flow_step(cell: xr.Dataset) -> float:
    """α/(1−β): time along the gradient flow of one step."""
    if "t_flow" not in cell.coords or "t_step" not in cell.coords:
        raise NotEnough("the coordinates t_flow and t_step, which give α/(1−β), are not there")
    return float(cell.t_flow.values[-1] / cell.t_step.values[-1])
