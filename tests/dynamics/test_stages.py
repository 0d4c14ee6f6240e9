"""Protocols against what is known of them: torch's schedulers, and relaxation after a jump of temperature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.engine_tools import final_state, load, tables

import glassyrun
from glassyrun import Context, Evaluation, Footprint, State, Stream, System, SystemOptions, replica_normals
from glassyrun.experiment import Setting


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_a_schedule_of_learning_rates_equals_torch_s(nesterov: bool, momentum: float, tmp_path: Path) -> None:
    """Momentum goes on through each change of the rate, which comes in the middle of an epoch; float64 rounding."""
    common = {"kind": "sgd", "momentum": momentum, "nesterov": nesterov, "weight_decay": 0.01, "batch_size": 4}
    rates = {"learning_rate": 0.05, "until": 13.0}, {"learning_rate": 0.01, "until": 25.0}, {"learning_rate": 0.002}
    stages = [{**common, **rate} for rate in rates]
    schedule = {"horizon": 40.0, "time": [0.0], "t_w": [0.0], "t": [0.0]}
    spec = load(tables("quadratic", "sgd", dynamics=stages, schedule=schedule, run={"dtype": "float64"}))
    setting = Setting.of(spec)
    system: Any = setting.system(0)
    moves = setting.dynamics(system, 0)
    start = setting.start(system, moves, 0)
    for replica in range(2):
        w = torch.nn.Parameter(start.x[replica].clone())
        optimiser = torch.optim.SGD([w], lr=0.05, momentum=momentum, weight_decay=0.01, nesterov=nesterov)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones=[13, 25], gamma=0.2)
        for step in range(40):
            batch = moves.draw(step, start).batch[replica]
            optimiser.zero_grad()
            (0.5 * (system.inputs[batch] @ w - system.targets[batch]).square().mean()).backward()
            optimiser.step()
            scheduler.step()
        ran = final_state(spec, tmp_path / str(replica)).x[replica]
        torch.testing.assert_close(ran, w.detach(), rtol=1e-12, atol=1e-13)


class Bowl(System):
    """H = |x|²/2, from equilibrium at T = 1."""

    def __init__(self, dof: int) -> None:
        self.dof, self.terms, self.blocks = dof, 1, {"x": slice(0, dof)}

    def initial(self, streams: Sequence[Stream]) -> State:
        return State(replica_normals(streams, self.dof, torch.zeros((), dtype=torch.float64)))

    def energy(self, state: State, terms: torch.Tensor | None = None) -> torch.Tensor:
        return 0.5 * state.x.square().sum(1)

    def gradient(self, state: State, batch: torch.Tensor | None = None) -> Evaluation:
        return Evaluation(self.energy(state), state.x.clone())


class BowlOptions(SystemOptions):
    """A bowl."""

    kind: str = "bowl"

    def footprint(self, context: Context) -> Footprint:
        return Footprint(60, 1, 0)

    def build(self, context: Context) -> Bowl:
        return Bowl(60)


def relaxing(stages: list[dict[str, Any]], horizon: float, points: int, **changes: Any) -> xr.Dataset:
    schedule = {"horizon": horizon, "time": {"n": points}, "t_w": [0.0], "t": [0.0]}
    ensemble, run = {"replicas": 300}, {"dtype": "float64"}
    table = tables("quadratic", "langevin", dynamics=stages, schedule=schedule, ensemble=ensemble, run=run)
    spec = load(table | {"observables": [{"kind": "energy"}]} | changes)
    return glassyrun.run(spec if "system" in changes else spec.model_copy(update={"system": BowlOptions()}), quiet=True)


def test_a_temperature_cycle_relaxes_to_each_temperature_in_turn() -> None:
    """⟨x²⟩ = T + (⟨x²⟩₀ − T) e^{−2t} after each jump; 18,000 components, so 1 % a point, and dt² is a tenth of that."""
    temperatures, ends = [1.0, 0.2, 1.0, 0.6], [0.4, 1.2, 2.0, 2.8]
    stages: list[dict[str, Any]] = [
        {"kind": "langevin", "dt": 0.05, "temperature": temperature, "until": end}
        for temperature, end in zip(temperatures, ends, strict=True)
    ]
    energy = relaxing(stages, 2.8, 15).energy.isel(sample=0)
    expected, since, squared = [], 0.0, 1.0
    for temperature, end in zip(temperatures, ends, strict=True):
        times = energy.time.values[(energy.time.values > since + 1e-9) & (energy.time.values < end + 1e-9)]
        curve = temperature + (squared - temperature) * np.exp(-2 * (times - since))
        expected += curve.tolist()
        since, squared = end, curve[-1]
    measured = 2 * energy.mean("replica").values[1:] / 60
    assert len(expected) == len(measured) == 14
    np.testing.assert_allclose(measured, expected, rtol=0.04)
    assert max(expected) > 2 * min(expected)


def test_langevin_heats_what_sgd_has_cooled() -> None:
    """From the minimum that descent has reached: ⟨L⟩ − L_min = (T/2) Σ_i (1 − e^{−2 λ_i t}), mode by mode."""
    system, temperature = {"kind": "quadratic", "n": 40, "terms": 80}, 0.02
    cooling = {"kind": "sgd", "learning_rate": 0.3, "momentum": 0.9, "until": 2000.0}
    stages: list[dict[str, Any]] = [cooling, {"kind": "langevin", "dt": 0.1, "temperature": temperature}]
    schedule = {"horizon": 2004.0, "time": [2000.0, 2000.5, 2001.0, 2002.0, 2004.0], "t_w": [0.0], "t": [0.0]}
    ds = relaxing(stages, 2004.0, 2, system=system, schedule=schedule)
    built: Any = Setting.of(load(tables("quadratic", "sgd", system=system, run={"dtype": "float64"}))).system(0)
    eigenvalues = torch.linalg.eigvalsh(built.inputs.T @ built.inputs / 80).numpy()
    energy = ds.energy.isel(sample=0).mean("replica").values
    elapsed = ds.time.values - 2000
    heated = temperature / 2 * (1 - np.exp(-2 * np.outer(elapsed, eigenvalues))).sum(1)
    assert heated[-1] > 0.3
    np.testing.assert_allclose(energy[1:] - energy[0], heated[1:], rtol=0.04)


@pytest.mark.parametrize("momentum", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_the_step_that_is_compared_with_the_stable_one(nesterov: bool, momentum: float) -> None:
    """H = x²/2 has λ = 1: just below `gradient_step` = 2 x dies out, just above it grows."""
    from glassyrun_dynamics.sgd import SGDOptions

    unit = SGDOptions(learning_rate=1.0, momentum=momentum, nesterov=nesterov).gradient_step
    for factor, grows in ((0.98, False), (1.02, True)):
        moves = SGDOptions(learning_rate=2 / unit * factor, momentum=momentum, nesterov=nesterov).build(
            Context("dynamics", 0, 0, torch.device("cpu"), torch.float64), Bowl(1)
        )
        state = State(torch.ones(1, 1, dtype=torch.float64))
        moves.start(Bowl(1), state)
        moves.advance(Bowl(1), state, 2000)
        assert (float(state.x.abs()) > 1) == grows
