"""Adams' method: second order with one gradient a step, in quenches and, with noise between the steps, on a curved space."""

from __future__ import annotations

import math

import attrs
import numpy as np
import pytest
import torch
from tests.models import FreeSpins, begin, context, dynamics

from glassyrun import Draw, Sphere, State, System, Tilted
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import QuadraticOptions

WALKERS, TEMPERATURE, FIELD, TIME = 200_000, 0.7, 0.8, 1.2
ERROR = 0.00095
"""Standard error of the mean of one component of so many walkers, a bit more than is seen."""


@attrs.frozen
class OtherCurvature(Sphere):
    """A sphere that is mistaken about its Ricci curvature, which is 1/3 in three dimensions."""

    claimed: float = 0.0

    @property
    def ricci(self) -> float:
        return self.claimed


def in_a_field(sphere: Sphere) -> System:
    """One spin of three components, H = −h x₀."""
    spin = FreeSpins(3)
    spin.manifold = sphere
    return Tilted(spin, torch.tensor([[FIELD, 0.0, 0.0]], dtype=torch.float64))


def equilibrium(generator: torch.Generator) -> tuple[State, float]:
    """Walkers of density e^{k u}, u = x₀/√3, and the mean of u, Langevin's function of k."""
    k = FIELD * math.sqrt(3) / TEMPERATURE
    share = torch.rand(WALKERS, generator=generator, dtype=torch.float64)
    u = 1 + torch.log(share + (1 - share) * math.exp(-2 * k)) / k
    across = torch.nn.functional.normalize(torch.randn(WALKERS, 2, generator=generator, dtype=torch.float64), dim=1)
    x = torch.cat([u.unsqueeze(1), (1 - u * u).sqrt().unsqueeze(1) * across], 1) * math.sqrt(3)
    return State(x), 1 / math.tanh(k) - 1 / k


def drift_of_the_mean(sphere: Sphere, dt: float) -> float:
    """How far the mean of u has moved away from that of equilibrium."""
    system, generator = in_a_field(sphere), torch.Generator().manual_seed(1)
    moves = dynamics("langevin", system, dt=dt, temperature=TEMPERATURE, scheme="adams")
    state, mean = equilibrium(generator)
    variance = torch.tensor(2 * TEMPERATURE * dt, dtype=torch.float64)
    for _ in range(round(TIME / dt)):
        noise = torch.randn(WALKERS, 3, generator=generator, dtype=torch.float64)
        moves.update(system, state, Draw(None, (noise,), variance))
    return float(state.x[:, 0].mean()) / math.sqrt(3) - mean


def test_equilibrium_on_a_sphere_is_kept_to_second_order() -> None:
    coarse, fine = (drift_of_the_mean(Sphere(3**0.5), dt) for dt in (0.4, 0.2))
    assert abs(coarse) > 8 * ERROR
    assert abs(fine) < abs(coarse) / 4 + 3 * ERROR


@pytest.mark.parametrize("claimed", [0.0, 1.0])
def test_without_the_curvature_the_order_is_lost(claimed: float) -> None:
    wrong = drift_of_the_mean(OtherCurvature(3**0.5, claimed), 0.2)
    right = drift_of_the_mean(Sphere(3**0.5), 0.2)
    assert abs(wrong - right) > 3 * ERROR


def final_x(system: System, dt: float, scheme: str, kind: str = "quench", **options: float) -> np.ndarray:
    moves = dynamics(kind, system, dt=dt, scheme=scheme, **options)
    state = begin(system, moves, 2)
    moves.advance(system, state, round(1.6 / dt))
    return state.x.numpy()


@pytest.mark.parametrize("kind", ["pspin", "quadratic"])
def test_a_quench_is_of_second_order(kind: str) -> None:
    options = PSpinOptions(p=3, n=24) if kind == "pspin" else QuadraticOptions(n=6, terms=20, noise=0.3)
    system = options.build(context("system"))
    exact = final_x(system, 0.0025, "heun")
    errors = [np.abs(final_x(system, dt, "adams") - exact).max() for dt in (0.08, 0.04, 0.02)]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(orders - 2) < 0.3), orders


def test_without_temperature_langevin_is_the_quench() -> None:
    system = PSpinOptions(p=3, n=9).build(context("system"))
    np.testing.assert_array_equal(final_x(system, 0.1, "adams"), final_x(system, 0.1, "adams", kind="langevin", temperature=0.0))


@pytest.mark.parametrize("corrected", [True, False])
def test_a_twin_in_a_field_answers_to_second_order(corrected: bool) -> None:
    """The answer to a field that is turned on in the middle, with its share in what the method remembers, and without."""
    system, half = PSpinOptions(p=3, n=24).build(context("system")), 0.8
    field = 1e-4 * torch.linspace(-1, 1, 24, dtype=torch.float64).unsqueeze(0)

    def answer(dt: float, scheme: str) -> np.ndarray:
        moves = dynamics("quench", system, dt=dt, scheme=scheme)
        state = begin(system, moves, 1)
        moves.advance(system, state, round(half / dt))
        twin, tilted = state.copy(), Tilted(system, field)
        if corrected:
            moves.tilt(system, twin, field)
        moves.advance(system, state, round(half / dt))
        moves.advance(tilted, twin, round(half / dt))
        return ((twin.x - state.x) / 1e-4).numpy()

    exact = answer(0.0025, "heun")
    errors = [np.abs(answer(dt, "adams") - exact).max() for dt in (0.08, 0.04)]
    order = math.log2(errors[0] / errors[1])
    assert (order > 1.7) == corrected, order
