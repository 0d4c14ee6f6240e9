"""The lazy p-spin as a System under the built-in dynamics: known limits for N → ∞."""

from __future__ import annotations

import math

import pytest
import torch

from glassyrun import Context, Dynamics, State, Stream
from glassyrun_dynamics.langevin import LangevinOptions
from glassyrun_dynamics.quench import QuenchOptions
from glassyrun_pspin.lazy.system import LazyPSpin

CONTEXT = Context("system", 0, 0, torch.device("cpu"), torch.float64)


def begun(n: float, room: int, moves: QuenchOptions | LangevinOptions, planted: float = 0.0) -> tuple[LazyPSpin, Dynamics, State]:
    system = LazyPSpin({3: 1.0}, n, CONTEXT, room=room, planted=planted)
    dynamics = moves.build(CONTEXT.child("dynamics"), system)
    state = system.initial([Stream("start", 0, 0)])
    dynamics.start(system, state)
    return system, dynamics, state


def energy_after(time: float, moves: QuenchOptions | LangevinOptions, planted: float = 0.0) -> float:
    """Per spin, N → ∞."""
    system, dynamics, state = begun(math.inf, 1000, moves, planted)
    dynamics.advance(system, state, round(time / moves.dt))
    return float(system.energy(state)[0]) / system.energy_scale


def test_a_quench_goes_to_the_energy_of_the_limit() -> None:
    """E(5) = −1.0356 of the integral equations (conventions: dt → 0 by Richardson), in second order."""
    coarse, fine, finest = (energy_after(5.0, QuenchOptions(dt=dt, scheme="heun")) for dt in (0.2, 0.1, 0.05))
    assert 3.0 < (coarse - fine) / (fine - finest) < 5.5
    assert finest + (finest - fine) / 3 == pytest.approx(-1.0356, abs=1.5e-4)


@pytest.mark.parametrize("scheme", ["heun", "adams"])
@pytest.mark.parametrize("temperature", [0.8, 0.6])
def test_a_planted_start_stays_where_it_is(temperature: float, scheme: str) -> None:
    """Equilibrium: −1/(2T) at all times, but for an error of second order in dt."""
    errors = [
        energy_after(2.5, LangevinOptions(dt=dt, temperature=temperature, scheme=scheme), planted=1 / temperature)
        + 1 / (2 * temperature)
        for dt in (0.1, 0.05)
    ]
    assert 3.3 < errors[0] / errors[1] < 6.5
    assert abs(errors[1]) < 0.012
