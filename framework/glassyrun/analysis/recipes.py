"""From runs to a figure: one function a figure of `glassyrun plot`, which analyses and draws.

The name is that in `glassyrun.figure_list`; positional arguments are runs, `*runs` where the figure is of several, and keywords are
the options of the command line. What the runs do not give is a `Refusal` in one sentence, with the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassyrun import analysis, plot
from glassyrun.analysis import figures
from glassyrun.analysis.labels import sweep_dims
from glassyrun.analysis.of_spec import check_bottom, shared_start, temperature_of, warmest
from glassyrun.errors import Refusal
from glassyrun.look import mean, new_axes, positive
from glassyrun.registry import Registry
from glassyrun.spec.problems import listed, meant

Window = tuple[float, float]
TIME, WAITING, PAIRS = ("time",), ("t_w",), ("t_w", "t")
"""Over which dimensions a figure needs a variable."""
EVERYTHING: Window = (0.0, np.inf)
NEAR, TINY = 1.25, 1e-9
"""A waiting time stands for one within a quarter of it; what rounding may leave."""
OBSERVABLE = {
    "displacement_fourth": "displacement",
    "overlap_normalised": "overlap",
    "test_loss": "test",
    "test_accuracy": "test",
    "train_loss": "train",
    "train_accuracy": "train",
}
"""The kind that measures a variable, where it has another name."""


def summary(run: xr.Dataset) -> Figure:
    plot.check_summary(run)
    return plot.summary(run)


def regimes(run: xr.Dataset, *, bottom: float | None = None, variable: str = "energy") -> Axes:
    needs([run], {variable: TIME})
    check_bottom(run, variable, bottom)
    found = analysis.regimes(run, variable=variable, bottom=bottom)
    if not bool((mean(run[variable]).where(run.time > 0) > found["bottom"]).any()):
        raise Refusal(f"no {variable} is above {float(found['bottom']):g}; give another --bottom")
    return figures.regimes(run, determined(found, "remaining"), variable=variable)


def collapse(run: xr.Dataset, *, after: float | None = None, bottom: float | None = None, window: Window = EVERYTHING) -> Axes:
    needs([run], {"msd": PAIRS, "gradient_noise": WAITING})
    within(run, "t", "window", window)
    since = arrival(run, after, bottom)
    found = determined(analysis.rescale_by_noise(run, after=since, lags=window), "rescaled")
    if not positive(found["rescaled"].sel(t_w=slice(since, None), t=slice(np.nextafter(0, 1), None))):
        last = max(positive(found["rescaled"]), default=0.0)
        raise Refusal(f"Δ/D is not known at any waiting time from {since:g} on, and last at {last:g}; give an earlier --after")
    return figures.collapse(run, found, after=since)


def diffusion(*runs: xr.Dataset, after: float | None = None, bottom: float | None = None, window: Window = EVERYTHING) -> Axes:
    needs(runs, {"msd": PAIRS, "gradient_noise": WAITING})
    for run in runs:
        within(run, "t", "window", window)
    axes = new_axes()
    for number, run in enumerate(runs):
        since = arrival(run, after, bottom)
        found = determined(analysis.diffusion(run, after=since, lags=window), "gamma")
        figures.diffusion(run, found, axes, after=since, lags=window, number=number, name=called(run, runs))
    return axes


def aging(
    run: xr.Dataset,
    *,
    variable: str = "msd",
    waiting: Window = EVERYTHING,
    window: Window = EVERYTHING,
    amplitude: Literal["common", "free"] = "common",
    null: xr.Dataset | None = None,
) -> Axes:
    needs([run], {variable: PAIRS})
    within(run, "t_w", "waiting", waiting)
    within(run, "t", "window", window)
    check_null(run, null, variable)
    found = analysis.aging(run, variable=variable, waiting=waiting, lags=window, amplitude=amplitude, null=null)
    # curves that do not collapse are drawn as they are
    found = determined(found, "slope")
    return figures.aging(run.sel(t_w=slice(*waiting)), found, variable=variable, null=null)


def relaxation(run: xr.Dataset, *, level: float = 1 / np.e, variable: str | None = None, null: xr.Dataset | None = None) -> Axes:
    variable = variable or ("epsilon_overlap" if "epsilon_overlap" in run else "overlap")
    needs([run], {variable: PAIRS})
    check_null(run, null, variable)
    remedy = "take another --level, or let the run go on"

    def taus(of: xr.Dataset) -> xr.Dataset:
        return determined(analysis.relaxation_time(of, variable=variable, level=level), "tau", remedy=remedy)

    expected = None if null is None else taus(null)
    return figures.relaxation(run, taus(run), level=level, null=expected)


def fdt(run: xr.Dataset, *, temperature: float | None = None, window: Window | None = None) -> Axes:
    known, found = _responses(run, temperature, window)
    return figures.fdt(determined(found, "chi"), temperature=known)


def effective_temperature(run: xr.Dataset, *, temperature: float | None = None, window: Window | None = None) -> Axes:
    known, found = _responses(run, temperature, window)
    found = determined(found, "effective_temperature", remedy="more replicas or a wider --window of C would help")
    return figures.effective_temperature(found, temperature=known)


def chi4(run: xr.Dataset, *, t_w: float | None = None, variable: str = "overlap") -> Axes:
    needs([run], {variable: PAIRS})
    found = determined(analysis.chi4(run, variable=variable, shared_start=shared_start(run)), "chi4")
    return figures.chi4(found, t_w=late(run[variable]) if t_w is None else nearest(run[variable], t_w))


def alpha2(run: xr.Dataset) -> Axes:
    needs([run], {"msd": PAIRS, "displacement_fourth": PAIRS})
    return figures.alpha2(determined(analysis.alpha2(run), "alpha2"))


def superposition(*runs: xr.Dataset, t_w: float | None = None, variable: str = "overlap", window: Window = (0.05, 0.9)) -> Axes:
    several(runs, "of different temperature")
    needs(runs, {variable: PAIRS})
    hotter = sorted(runs, key=temperature_of)
    along = xr.DataArray([temperature_of(run) for run in hotter], dims="temperature", name="temperature")
    ds = xr.concat(
        [run[[variable]] for run in hotter],
        dim=along,
        join="inner",
        combine_attrs="override",
        coords="minimal",
        compat="override",
    )
    if 0 in ds.sizes.values():
        raise Refusal("the runs share no waiting times or lags; give them one schedule")
    t_w = None if t_w is None else nearest(ds[variable], t_w)
    found = analysis.superposition(ds, "temperature", variable=variable, t_w=t_w, window=window)
    found = determined(found, "shift", remedy="take another --window or --t-w")
    return figures.superposition(ds, found, variable=variable, t_w=t_w, window=window)


def sgd_temperature(*runs: xr.Dataset) -> Axes:
    needs(runs, {"gradient_noise": ()})
    axes = new_axes()
    for number, run in enumerate(runs):
        found = determined(analysis.sgd_temperature(run), "temperature")
        figures.sgd_temperature(found, axes, number=number, name=called(run, runs))
    return axes


def fixed_ratio(*runs: xr.Dataset, variable: str = "energy") -> Axes:
    several(runs, "of SGD, of which two have one α/((1−β)B)")
    needs(runs, {variable: TIME})
    return figures.fixed_ratio(runs, determined(analysis.fixed_ratio(runs, variable=variable), "spread"), variable=variable)


def compare(*runs: xr.Dataset, variable: str = "energy_fallen", t_w: float | None = None) -> Axes:
    several(runs, "of different systems")
    measured = variable.removesuffix("_fallen")
    needs(runs, {measured: TIME if variable != measured else ()})
    if t_w is not None:
        reached(runs, measured, t_w)
    found = determined(analysis.compare(*runs, variables=[measured], waiting=6 if t_w is None else [t_w]), measured)
    return figures.side_by_side(found, variable=variable, t_w=t_w)


def finite_size(*runs: xr.Dataset, time: float | None = None, variable: str = "energy", exponent: float | None = None) -> Axes:
    several(runs, "of different size")
    needs(runs, {variable: TIME})
    parts = xr.align(*[run[[variable]].reset_coords(drop=True) for run in runs], join="inner", exclude=("sample", "replica"))
    parts = [part.assign_attrs(run.attrs) for part, run in zip(parts, runs, strict=True)]
    if not parts[0].sizes["time"]:
        raise Refusal("the runs share no times; give them one schedule")
    found = determined(analysis.finite_size(parts, variable=variable, exponent=1.0 if exponent is None else exponent), "limit")
    at = float(parts[0].time[-1]) if time is None else time
    return figures.finite_size(parts, found, time=at, variable=variable, exponent=exponent)


def _responses(run: xr.Dataset, temperature: float | None, window: Window | None) -> tuple[float, xr.Dataset]:
    response = "noise_response" if "noise_response" in run and "response" not in run else "response"
    needs([run], {"overlap": PAIRS, response: PAIRS})
    correlation = mean(run["overlap"])
    if window and not bool(((correlation >= window[0]) & (correlation <= window[1])).any()):
        reach = f"those measured go from {float(correlation.min()):.3g} to {float(correlation.max()):.3g}"
        raise Refusal(f"--window {window[0]:g} {window[1]:g}: overlap has no value within it, {reach}; take a window of these")
    try:
        known = temperature_of(run) if temperature is None else temperature
    except Refusal as reason:
        raise Refusal(f"{reason}; give it with --temperature") from None
    return known, analysis.fdt(run, temperature=known, window=window, response=response)


def needs(runs: Sequence[xr.Dataset], variables: Mapping[str, Sequence[str]]) -> None:
    """Whether the runs have these variables, over these dimensions and no others but those of a run.

    Raises:
        Refusal: if not.
    """
    for run in runs:
        who = f"{run.attrs.get('title', 'one run')}: " if len(runs) > 1 else ""
        missing = [name for name in variables if name not in run]
        if missing:
            held = ", ".join(map(str, run.data_vars)) or "nothing"
            was = "was" if len(missing) == 1 else "were"
            raise Refusal(f"{who}{listed(missing, 'and')} {was} not measured, only {held}; {_remedy(missing, run)}")
        for name, grid in variables.items():
            if not set(grid) <= set(run[name].dims):
                over = ", ".join(str(dim) for dim in run[name].dims)
                raise Refusal(f"{who}{name} is over {over}, and this figure is of a variable over {', '.join(grid)}")
            extra = sweep_dims(run[[name]])
            if extra:
                raise Refusal(f"{who}{name} has the dimension {extra[0]}; select one point of it, with isel, and save that")
            if not bool(run[name].notnull().any()):
                raise Refusal(f"{who}{name} has no readings yet; let the run go on")


def within(run: xr.Dataset, dim: str, option: str, window: Window) -> None:
    """Whether anything was measured within a window of times after 0.

    Raises:
        Refusal: if not.
    """
    times = run[dim].values[run[dim].values > 0]
    if window != EVERYTHING and not bool(((times >= window[0]) & (times <= window[1])).any()):
        what = "waiting times" if dim == "t_w" else "lags"
        reach = f"those measured go from {times.min():g} to {times.max():g}" if len(times) else "none was measured"
        raise Refusal(f"--{option} {window[0]:g} {window[1]:g}: there are no {what} within it, {reach}; take a window of these")


def nearest(curves: xr.DataArray, wanted: float) -> float:
    """The measured waiting time that is drawn where one is asked for.

    Raises:
        Refusal: if none is near.
    """
    times = curves.t_w.values[curves.notnull().any([dim for dim in curves.dims if dim != "t_w"]).values]
    near = float(times[np.abs(np.log((times + TINY) / (max(wanted, 0.0) + TINY))).argmin()])
    if near != wanted and not wanted / NEAR <= near <= wanted * NEAR:
        raise Refusal(f"--t-w {wanted:g}: this waiting time was not measured; the nearest that was is {near:g}")
    return near


def reached(runs: Sequence[xr.Dataset], variable: str, wanted: float) -> None:
    """Whether all runs were measured at waiting times on both sides of one, along the flow.

    Raises:
        Refusal: if the variable has no waiting times, or a run has not been there.
    """
    for run in runs:
        if variable not in run or "t_w" not in run[variable].dims:
            raise Refusal(f"--t-w {wanted:g}: {variable} is not over waiting times; leave it out, or take --variable msd")
        flow = run.coords.get("t_w_flow", run.t_w).values.astype(float)
        there = run[variable].notnull().any([dim for dim in run[variable].dims if dim != "t_w"]).values
        reach = flow[there & (flow > 0)]
        if not reach.min(initial=np.inf) * (1 - TINY) <= wanted <= reach.max(initial=0.0) * (1 + TINY):
            span = f"from {reach.min():g} to {reach.max():g}" if len(reach) else "at no time after 0"
            told = f"{run.attrs.get('title', 'one run')} was measured {span} along the gradient flow"
            raise Refusal(f"--t-w {wanted:g}: {told}; take a waiting time that all runs have")


def called(run: xr.Dataset, runs: Sequence[xr.Dataset]) -> str | None:
    """What the legend calls a run that is not alone."""
    return str(run.attrs.get("title", "")) if len(runs) > 1 else None


def check_null(run: xr.Dataset, null: xr.Dataset | None, variable: str) -> None:
    """Whether a run of the null model can stand beside a run.

    Raises:
        Refusal: if it lacks the variable, has none of the grid of the run, or another temperature.
    """
    if null is None:
        return
    try:
        needs([null], {variable: PAIRS})
    except Refusal as reason:
        raise Refusal(f"--null: {reason}") from None
    if not all(np.intersect1d(run[dim].values, null[dim].values).max(initial=0) > 0 for dim in ("t_w", "t")):
        raise Refusal("--null: it shares no waiting times or lags with the run; give both one schedule")
    ours, its = warmest(run), warmest(null)
    if ours > 0 and ours != its:
        raise Refusal(
            f"--null: it is at T = {its:g}, and the run at T = {ours:g}; give a run of the null model at that temperature"
        )


def _remedy(missing: Sequence[str], run: xr.Dataset) -> str:
    """How variables are measured that a run does not have."""
    kinds = list(dict.fromkeys(OBSERVABLE.get(name, name) for name in missing))
    installed = Registry.installed().kinds("observables")
    for kind in kinds:
        if kind not in installed:
            guess = meant(kind, [*map(str, run.data_vars), *installed])
            return f"{guess or f'no observable is called {kind}'}; glassyrun plugins lists them"
    told = " and ".join(f'kind = "{kind}"' for kind in kinds)
    return f"add [[observables]] with {told} to the spec and run it anew"


def several(runs: Sequence[xr.Dataset], which: str) -> None:
    if len(runs) < 2:
        raise Refusal(f"it is of two runs or more {which}; name all of them")


def determined(found: xr.Dataset, name: str, *, remedy: str = "") -> xr.Dataset:
    """What was found, if there is anything of it.

    Raises:
        Refusal: with the reason.
    """
    if bool(found[name].notnull().any()):
        return found
    reason = str(found[name].attrs.get("reason", "the data do not determine it")).partition("\n")[0]
    raise Refusal(f"{reason}; {remedy}" if remedy else reason)


def arrival(run: xr.Dataset, given: float | None, bottom: float | None) -> float:
    """t₂, from which on the run is at the bottom."""
    if given is not None:
        return given
    needs([run], {"energy": TIME})
    check_bottom(run, "energy", bottom)
    found = analysis.regimes(run, bottom=bottom)
    return float(determined(found, "t2", remedy="say with --after from which waiting time on it is at the bottom")["t2"])


def late(curves: xr.DataArray) -> float:
    """The longest waiting time that has half as many lags as any."""
    counts = curves.notnull().any([dim for dim in curves.dims if dim not in ("t_w", "t")]).sum("t").values
    return float(curves.t_w.values[counts >= counts.max() / 2][-1])
