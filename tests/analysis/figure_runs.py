"""Small runs whose figures are known; they are apart from the data of other tests, whose changes must not change images."""

from __future__ import annotations

import numpy as np
import xarray as xr
from tests.analysis.synthetic import noise, one_time, times, two_time

TIME, T, T_W = times(0.1, 1e3, 41), times(0.5, 500, 20), np.array([1.0, 10.0, 100.0])
EARLY = np.concatenate([[0.0], np.geomspace(1, 300, 6)])


def descent(floor: float = 0.0) -> xr.Dataset:
    """A loss e^{−t/30} on a floor."""
    shape = (1, 6, len(TIME))
    rng = np.random.default_rng(0)
    curves = np.exp(-TIME / 30) * (1 + 0.02 * noise(rng, shape, 0.9)) + 5e-4 * noise(rng, shape, 0.9)
    return one_time(curves + floor, TIME)


def crossed(t2: float) -> xr.Dataset:
    """What `regimes` may give: t₁ = 3.2 (2.3 to 4.4), and t₂ (a tenth less to a tenth more), NaN where not reached."""
    found = xr.Dataset({"bottom": 0.0, "t1": 3.2, "t2": t2})
    for name, (low, high) in {"t1": (2.3, 4.4), "t2": (0.9 * t2, 1.1 * t2)}.items():
        found[f"{name}_interval"] = ("bound", [low, high])
    found["t2"].attrs["reason"] = "not reached"
    return found


def ages(factor: float = 1.0, seed: int = 0) -> xr.Dataset:
    """Δ = F(t/t_w^0.7), with waiting time 0; the clock of the flow goes `factor` times as fast."""
    rng = np.random.default_rng(seed)
    x = T / np.maximum(EARLY, 0.1)[:, None] ** 0.7
    shape = (1, 6, len(EARLY), len(T))
    moved = (x / (1 + x) + 0.3 * x**0.3) * np.exp(0.05 * noise(rng, shape, 0.9) + 0.1 * rng.standard_normal((1, 6, 1, 1)))
    ds = two_time(factor * moved, EARLY, T, horizon=600)
    return ds.assign_coords(t_flow=("t", factor * T), t_w_flow=("t_w", factor * EARLY))


def jumping() -> xr.Dataset:
    """Curves whose heights go up and down with t_w, so that no μ brings them together."""
    ds = ages()
    ds["msd"] = ds.msd * xr.DataArray([1, 1, 30, 1, 30, 1, 30], dims="t_w")
    return ds


def diffusing(decay: float = 0.6, seed: int = 0, law: str = "with_replacement") -> xr.Dataset:
    """Δ is α² times the integral of the noise D ∝ (1 + t_w)^−decay, by mini-batches of which 500 make an epoch."""
    rng = np.random.default_rng(seed)
    t_w, t, rate = np.geomspace(1, 300, 8), times(1, 700, 14), 0.1
    d = 1e-2 * (1 + t_w) ** -decay
    whole = 1e-2 / (1 - decay) * ((1 + t_w[:, None] + t) ** (1 - decay) - (1 + t_w[:, None]) ** (1 - decay))
    shape = (1, 4, len(t_w), len(t))
    ds = two_time(rate**2 * whole * np.exp(0.1 * noise(rng, shape, 0.9)), t_w, t, horizon=1000)
    ds["gradient_noise"] = (("sample", "replica", "t_w"), d * np.exp(0.03 * rng.standard_normal(shape[:3])))
    ds.attrs |= {"spec": f"[dynamics]\nkind = 'sgd'\nbatch_size = 20\nsampling = '{law}'\n", "terms": 10_000}
    return ds.assign_coords(t_step=("t", t), t_flow=("t", rate * t), t_w_step=("t_w", t_w), t_w_flow=("t_w", rate * t_w))


def network() -> xr.Dataset:
    """What the summary of a network shows."""
    ds = descent().isel(replica=slice(4)).assign(diffusing()[["msd", "gradient_noise"]].reset_coords(drop=True))
    return ds.assign(test_accuracy=1 - 0.9 * ds.energy)


def spins() -> xr.Dataset:
    """The same of a glass."""
    ds = ages()
    return descent().assign(msd=ds.msd, overlap=1 / (1 + ds.msd))


def responding() -> xr.Dataset:
    """C falls through a plateau at 0.7, below which Tχ has the slope −0.4; 100 degrees of freedom."""
    rng = np.random.default_rng(0)
    c = np.broadcast_to(0.3 + 0.7 / (1 + T / 10) ** 0.8, (3, len(T)))
    chi = np.where(c > 0.7, 1 - c, 0.3 + 0.4 * (0.7 - c)) / 0.5
    shape = (1, 8, 3, len(T))
    ds = two_time(c + 0.01 * (T > 0) * noise(rng, shape, 0.9), T_W, T, "overlap")
    return ds.assign(response=(ds.overlap.dims, chi + 0.02 * (T > 0) * noise(rng, shape, 0.9))).assign_attrs(
        degrees_of_freedom=100
    )


def uneven() -> xr.Dataset:
    """Displacements whose α₂ has a peak that grows with t_w."""
    exact = 0.3 * np.exp(-(np.log(np.maximum(T, 0.01) / 20) ** 2)) * np.array([0.2, 0.6, 1])[:, None]
    rng, shape = np.random.default_rng(0), (1, 8, 3, len(T))
    ds = two_time(T**0.5 * np.exp(0.02 * noise(rng, shape, 0.9)), T_W, T)
    fourth = 3 * ds.msd**2 * (1 + xr.DataArray(exact, dims=("t_w", "t")))
    return ds.assign(displacement_fourth=fourth * np.exp(0.05 * noise(rng, shape, 0.9)))


def relaxing() -> xr.Dataset:
    """C = e^{−(t/10√t_w)^0.7}."""
    c = np.exp(-((T / (10 * T_W[:, None] ** 0.5)) ** 0.7))
    return two_time(c + 0.05 * (T > 0) * noise(np.random.default_rng(0), (1, 6, 3, len(T)), 0.9), T_W, T, "overlap")


def warm(temperature: float, factor: float) -> xr.Dataset:
    """A correlation that is `factor` times as slow."""
    c = 0.8 * np.exp(-((T / (2 * factor)) ** 0.6)) + 0.2 * (T == 0)
    rng = np.random.default_rng(int(100 * temperature))
    ds = two_time(c + 0.01 * (T > 0) * noise(rng, (1, 6, 1, len(T)), 0.9), np.array([1.0]), T, "overlap")
    return ds.assign_attrs(spec=f"[dynamics]\nkind = 'langevin'\ntemperature = {temperature}\n")


def learning(rate: float, batch: int, height: float = 1.0, title: str = "") -> xr.Dataset:
    """A loss that falls as 1/(1 + flow/20), by SGD."""
    step = np.round(times(1, 1000, 25) / rate)
    own = 0.03 * noise(np.random.default_rng(batch), (1, 5, len(step)), 0.9)
    ds = one_time(height / (1 + step * rate / 20) * np.exp(own), step)
    ds.attrs |= {"spec": f"[dynamics]\nkind = 'sgd'\nbatch_size = {batch}\n", "terms": 10_000, "title": title}
    return ds.assign_coords(time_flow=("time", step * rate), time_step=("time", step))


def sized(number: int) -> xr.Dataset:
    """E_N = −1.1 − 3/N + 0.1 e^{−t/50}."""
    time = times(1, 1000, 25)
    rng = np.random.default_rng(number)
    own = noise(rng, (8, 1, len(time)), 0.9) + rng.standard_normal((8, 1, 1))
    ds = one_time(-1.1 - 3 / number + 0.1 * np.exp(-time / 50) + 0.01 * (64 / number) ** 0.5 * own, time)
    return ds.assign_attrs(degrees_of_freedom=number)
