"""What the noise of the gradient does: collapse by D, diffusion at the bottom, the temperature of SGD."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from glassyrun.analysis.diffusion import at_the_bottom, flow_step
from glassyrun.analysis.sampling import sampling_of
from glassyrun.look import DELTA, KINDS, band, family, kind, label, legend_above, logarithmic, mean, new_axes, plain


def collapse(ds: xr.Dataset, found: xr.Dataset, ax: Axes | None = None, *, after: float = 0.0, scaled: bool = True) -> Axes:
    """Δ(t_w, t_w+t)/D, D the mean over the lag, or Δ itself, against t for waiting times from `after` on; the spread stands above.

    Args:
        found: what `rescale_by_noise(ds)` gave.
    """
    axes = ax or new_axes()
    curves = found["rescaled"] if scaled else mean(ds["msd"])
    curves = curves.isel(t=curves.t.values > 0, t_w=(curves.t_w.values >= after) & (curves.t_w.values > 0))
    family(axes, curves)
    logarithmic(axes, "x", "y")
    axes.set(xlabel=label(ds.t), ylabel=f"{DELTA} / $D$" if scaled else DELTA)
    spread = found["spread"].sel(regime="after", scaling="noise" if scaled else "constant")
    if np.isfinite(float(spread)):
        axes.set_title(f"spread {float(spread):.2f}")
    return axes


def diffusion(
    ds: xr.Dataset,
    found: xr.Dataset,
    ax: Axes | None = None,
    *,
    after: float,
    lags: tuple[float, float] = (0.0, np.inf),
    number: int = 0,
    name: str | None = None,
) -> Axes:
    """Δ at the bottom against the number s of white steps: all pairs that were fitted, the law c s^γ, dotted white noise of size D.

    A second run, of another sampling, goes on the same axes.

    Args:
        found: what `diffusion(ds, after=after, lags=lags)` gave.
        number, name: which of several runs on these axes, for its colour, and what the legend calls it.
    """
    axes = ax or new_axes()
    white, inside, _ = at_the_bottom(ds, after, lags, sampling_of(ds))
    moved, noise = mean(ds["msd"]).transpose("t_w", "t").values, mean(ds["gradient_noise"])
    inside &= moved > 0
    law = str(found["gamma"].attrs.get("sampling", "")).partition(",")[0].replace("_", " ")
    colour = KINDS[number % len(KINDS)]
    axes.plot(white[inside], moved[inside], ".", color=colour, markersize=3, alpha=0.6)
    if inside.any() and np.isfinite(float(found["gamma"])):
        s = np.geomspace(white[inside].min(), white[inside].max(), 50)
        low, high = found["gamma_interval"].values
        reach = f" ({low:.2f} to {high:.2f})" if high > low else ""
        told = rf"{law}: $\gamma = {float(found['gamma']):.2f}${reach}"
        told = f"{plain(name)},\n{told}" if name else told  # on one line it would be wider than the figure
        axes.plot(s, float(found["coefficient"]) * s ** float(found["gamma"]), **kind(number), label=told)
        expected = flow_step(ds) ** 2 * float(noise.where(noise.t_w >= after).mean()) * s
        axes.plot(s, expected, color=colour, linestyle=":", linewidth=1, label="" if number else "white noise of size $D$")
    logarithmic(axes, "x", "y")
    axes.set(xlabel="white steps $s$", ylabel=DELTA)
    legend_above(axes, 1)
    return axes


def sgd_temperature(found: xr.Dataset, ax: Axes | None = None, *, number: int = 0, name: str | None = None) -> Axes:
    """The temperature α tr C/(2 dof (1−β)) of SGD against time, with its interval.

    Args:
        found: what `sgd_temperature(ds)` gave.
        number, name: which of several runs on these axes, and what the legend calls it.
    """
    axes = ax or new_axes()
    curve = found["temperature"]
    along = str(curve.dims[0])
    later = curve[along].values > 0
    axes.plot(curve[along][later], curve[later], **kind(number), marker=".", label=plain(name) if name else None)
    band(axes, curve[along][later], found["temperature_interval"][later], KINDS[number % len(KINDS)])
    temperature = r"$\alpha\, \mathrm{tr}\, C / (2\, \mathrm{dof}\, (1 - \beta))$"
    logarithmic(axes, "x", "y")
    axes.set(xlabel=label(curve[along]), ylabel=temperature)
    if name:
        axes.legend(loc="best")
    return axes
