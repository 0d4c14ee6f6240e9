"""The temperature of SGD, and whether runs of one α/B are alike."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import xarray as xr

from glassyrun.analysis.common import on_axis, shared_axis
from glassyrun.analysis.labels import attempt, dataset, each, labelled, shared_attributes, sweep_dims
from glassyrun.analysis.sampling import Stage, sampling_of, stages_of
from glassyrun.analysis.spread import between
from glassyrun.analysis.trajectories import Array, Estimate, Means, NotEnough, Over, jackknife, units
from glassyrun.errors import Refusal


def sgd_temperature(data: xr.Dataset | xr.DataArray, *, noise: str = "gradient_noise", over: Over | None = None) -> xr.Dataset:
    """T = (α/(1−β)) tr C/(2 dof) = (α/(1−β)) D/2, what a Langevin dynamics with as much isotropic noise would have.

    C is the covariance of the mini-batch gradient. Per unit of flow time SGD adds α D/(1−β) to the mean square of a component,
    Langevin dynamics 2T (Mandt, Hoffman and Blei, JMLR 18, 134 (2017); Jastrzębski et al., arXiv:1711.04623; Yaida, ICLR 2019).
    α and β are those of the stage in which a reading lies. The noise of SGD is neither isotropic nor, without replacement, white,
    so that this is a scale and no temperature in the sense of `fdt`.

    Args:
        data: with `gradient_noise` (sample, replica, t_w or time) and the coordinates in steps and in flow time.

    Returns:
        `temperature` [t_w or time] with intervals.
    """
    ds = dataset(data, noise)
    along = "t_w" if "t_w" in ds[noise].dims else "time"
    ds = dataset(data, noise, dims=(along,))
    stages = stages_of(ds)
    if len(stages) > 1 and sweep_dims(ds):
        raise Refusal(
            f"analysis.sgd_temperature: the run has stages, and α of one point of the sweep along {sweep_dims(ds)[0]} alone is known; "
            "analyse its points one by one"
        )

    def one(cell: xr.Dataset) -> xr.Dataset:
        shape = (cell.sizes[along],)

        def temperature(means: Means) -> Array:
            return 0.5 * means[noise] * _flow_steps(cell, along, stages)

        found = attempt(lambda: jackknife(units(cell, [noise], over), temperature, log=True, shape=shape), shape)
        out = labelled("temperature", found, [along], long_name="α tr C/(2 dof (1−β)), temperature of SGD")
        return xr.Dataset(out, coords={along: cell[along]})

    return each(ds, one)


def _flow_steps(cell: xr.Dataset, along: str, stages: Sequence[Stage]) -> Array:
    """α/(1−β) of the stage in which each reading lies."""
    if len(stages) > 1:
        at = np.searchsorted([stage.since for stage in stages], cell[along].values * (1 + 1e-9), side="right") - 1
        steps = [stages[number].flow_step for number in at]
        if any(step is None for step in steps):
            raise NotEnough("the spec does not give α of each stage")
        return np.array(steps, dtype=float)
    names = [f"{along}_flow", f"{along}_step"]
    if any(name not in cell.coords for name in names) or cell.sizes[along] < 2:
        raise NotEnough(f"the coordinates {along}_flow and {along}_step, which give α/(1−β), are not there")
    slopes = np.diff(cell[names[0]].values.astype(float)) / np.diff(cell[names[1]].values.astype(float))
    if np.ptp(slopes) > 1e-6 * abs(slopes[0]):
        raise NotEnough("α/(1−β) changes on the way, and without a spec it is not known when")
    return np.full(cell.sizes[along], slopes[0])


def fixed_ratio(
    runs: Sequence[xr.Dataset], *, variable: str = "energy", points: int = 40, over: Over | None = None
) -> xr.Dataset:
    """Do runs with the same α/((1−β)B) coincide on the axis of flow time? (Jastrzębski et al., arXiv:1711.04623; Smith et al.,
    ICLR 2018)

    Each run's mean curve is read at the same flow times. `spread` is the rms distance of log y of the runs from their mean,
    without what noise alone gives, for each group of runs of one ratio that has two or more; `spread_all` that of all runs
    together, which it must be well below for the ratio to explain anything.

    Args:
        runs: of SGD, one stage each, with a positive one-time variable.

    Returns:
        `spread` [ratio], `spread_all`, with intervals; `ratio` as coordinate; NaN with `reason` where it can't be told.

    Raises:
        Refusal: if there are fewer than two runs, or one is not of SGD, has a sweep, or no such positive variable.
    """
    if len(runs) < 2:
        raise Refusal(f"analysis.fixed_ratio: compares two runs or more, found {len(runs)}")
    ratios = np.array([ratio_of(run) for run in runs])
    measured = [_measured(run, variable, over) for run in runs]
    axis = shared_axis([part.times for part in measured], points)
    groups = [np.nonzero(np.isclose(ratios, ratio, rtol=1e-6))[0] for ratio in np.unique(np.round(ratios, 12))]
    groups = [group for group in groups if len(group) > 1]
    curves = [part.reason or on_axis(part.values, part.times, axis).values for part in measured]
    parts = [_spread([curves[k] for k in group]) for group in groups] or [Estimate.none("no two runs have the same α/((1−β)B)")]
    out = labelled("spread", Estimate.stack(parts), ["ratio"], long_name=f"rms distance of log {variable} at equal α/((1−β)B)")
    out |= labelled("spread_all", _spread(curves), long_name=f"rms distance of log {variable} of all runs")
    values = [float(ratios[group[0]]) for group in groups] or [np.nan]
    coords = {"ratio": ("ratio", values, {"long_name": "α/((1−β)B)", "units": "1"})}
    return xr.Dataset(out, coords, shared_attributes(runs))


def ratio_of(run: xr.Dataset) -> float:
    law = sampling_of(run)
    if law is None or "time_flow" not in run.coords or "time_step" not in run.coords:
        raise Refusal(
            "analysis.fixed_ratio: one of the runs is not SGD of one stage (its spec has no batch_size, or it is a list of stages)"
        )
    return float(run["time_flow"][-1] / run["time_step"][-1]) / law.batch


@attrs.frozen
class Measured:
    """What was measured of one run: the curve of each unit [unit, time] at times of the flow, or the reason why there are too few."""

    times: Array
    values: Array
    reason: str = ""


def _measured(run: xr.Dataset, variable: str, over: Over | None) -> Measured:
    ds = dataset(run, variable).compute()
    who = f"analysis.fixed_ratio: {ds.attrs.get('title', 'one run')}"
    if "time" not in ds[variable].dims:
        raise Refusal(f"{who}: {variable} is over {', '.join(map(str, ds[variable].dims))}, and what is compared is over time")
    swept = sweep_dims(ds)
    if swept:
        raise Refusal(f"{who} has the dimension {swept[0]}; select a point of it with isel or sel")
    if bool((ds[variable] <= 0).any()):
        raise Refusal(f"{who}: {variable} is not positive everywhere, so that its logarithm has no meaning")
    flow = ds["time_flow"].values.astype(float)
    try:
        values = units(ds, [variable], over).filled(variable)
    except NotEnough as reason:
        return Measured(flow, np.full((1, len(flow)), np.nan), str(reason))
    there = np.isfinite(values).all(axis=0)
    return Measured(flow[there], values[:, there])


def _spread(curves: Sequence[Array | str]) -> Estimate:
    """The distance of the means of several runs."""
    told = [curve for curve in curves if isinstance(curve, str)]
    if told:
        return Estimate.none(told[0])
    return between([curve for curve in curves if not isinstance(curve, str)])
