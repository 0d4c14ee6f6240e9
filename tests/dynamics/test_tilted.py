"""A field on any System, H − h·x, and the null model whose numbers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.models import FreeSpins, begin, context, dynamics, streams

from glassyrun import State, System, Tilted
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import QuadraticOptions

REPLICAS = 3


def base(kind: str) -> System:
    if kind == "quadratic":
        return QuadraticOptions(n=5, terms=12, noise=0.3).build(context("system"))
    return PSpinOptions(p=3, n=9).build(context("system"))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).normal(size=shape))


@pytest.fixture(params=["quadratic", "pspin"])
def bare(request: pytest.FixtureRequest) -> System:
    return base(request.param)


@pytest.mark.parametrize("rows", [1, REPLICAS])
def test_the_field_lowers_the_energy_along_it(bare: System, rows: int) -> None:
    field = normal(rows, bare.dof, seed=1)
    state = bare.initial(streams(REPLICAS))
    along = (state.x.numpy() * field.numpy()).sum(1)
    tilted = Tilted(bare, field)
    np.testing.assert_allclose(tilted.energy(state).numpy(), bare.energy(state).numpy() - along, rtol=1e-12)
    batch = torch.tensor([[0, 3, 5], [2, 2, 7], [1, 8, 4]])
    for terms in (None, batch):
        look, without = tilted.gradient(state, terms), bare.gradient(state, terms)
        np.testing.assert_allclose(look.energy.numpy(), without.energy.numpy() - along, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(look.gradient.numpy(), (without.gradient - field).numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        tilted.energy(state, batch[0]).numpy(), bare.energy(state, batch[0]).numpy() - along, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("rows", [1, REPLICAS])
def test_the_gradient_is_the_slope_of_the_energy(bare: System, rows: int) -> None:
    """By central differences along each axis, from `energy` and from the energy of a look."""
    tilted = Tilted(bare, normal(rows, bare.dof, seed=2))
    state = tilted.initial(streams(REPLICAS))
    slope, small = tilted.gradient(state).gradient, 1e-4

    def differences(energy: Any) -> torch.Tensor:
        columns = []
        for axis in torch.eye(bare.dof, dtype=torch.float64) * small:
            columns.append((energy(State(state.x + axis)) - energy(State(state.x - axis))) / (2 * small))
        return torch.stack(columns, 1)

    torch.testing.assert_close(differences(tilted.energy), slope, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(differences(lambda at: tilted.gradient(at).energy), slope, rtol=1e-6, atol=1e-6)


def test_the_gradient_is_what_autograd_finds() -> None:
    tilted = Tilted(base("quadratic"), normal(1, 5, seed=3))
    x = normal(REPLICAS, 5, seed=4).requires_grad_()
    (slope,) = torch.autograd.grad(tilted.energy(State(x)).sum(), x)
    torch.testing.assert_close(tilted.gradient(State(x.detach())).gradient, slope, rtol=1e-12, atol=1e-12)


def test_spins_turn_towards_the_field_and_a_minimum_moves_with_it() -> None:
    """x → +√N h/|h| on the sphere; x̂ → x̂ + K⁻¹h in flat space, which is its susceptibility."""
    field = normal(1, 6, seed=5)
    system = Tilted(FreeSpins(6), field)
    moves = dynamics("quench", system, dt=0.05)
    state = begin(system, moves, 2)
    moves.advance(system, state, 3_000)
    torch.testing.assert_close(state.x, (6**0.5 * field / field.norm()).expand(2, -1), rtol=1e-6, atol=1e-6)

    bare = base("quadratic")
    at_zero = bare.gradient(State(torch.zeros(1, 5, dtype=torch.float64))).gradient
    K = curvature(bare)
    push = normal(1, 5, seed=6)
    minimum = torch.linalg.solve(K, -at_zero[0]) + torch.linalg.solve(K, push[0])
    assert float(Tilted(bare, push).gradient(State(minimum.unsqueeze(0))).gradient.abs().max()) < 1e-11


# The null model.


def curvature(system: System) -> torch.Tensor:
    """The Hessian of a quadratic energy, row by row from its gradient."""
    axes = torch.eye(system.dof, dtype=torch.float64)
    return system.gradient(State(axes)).gradient - system.gradient(State(torch.zeros_like(axes))).gradient


def test_inputs_are_unit_normal() -> None:
    """Marchenko-Pastur at n/M = .1: mean eigenvalue 1, second moment 1 + .1."""
    K = curvature(QuadraticOptions(n=60, terms=600).build(context("system")))
    assert float(K.trace()) / 60 == pytest.approx(1, abs=5 * (2 / 36_000) ** 0.5)
    assert float(K.square().sum()) / 60 == pytest.approx(1.1, abs=0.05)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_noise_is_what_stays_at_the_minimum(noise: float) -> None:
    """The least energy is (σ²/2)(1 − n/M), and the minimum is near a teacher of unit normal components."""
    system = QuadraticOptions(n=40, terms=2_000, noise=noise).build(context("system"))
    K = curvature(system)
    minimum = torch.linalg.solve(K, -system.gradient(State(torch.zeros(1, 40, dtype=torch.float64))).gradient[0])
    least = float(system.energy(State(minimum.unsqueeze(0)))[0])
    assert least == pytest.approx(noise**2 / 2 * (1 - 40 / 2_000), rel=0.15, abs=1e-12)
    assert float(minimum.square().mean()) == pytest.approx(1, abs=5 * (2 / 40) ** 0.5)


@pytest.mark.parametrize("scale", [0.0, 0.25, 3.0])
def test_the_start_has_the_scale_that_was_asked_for(scale: float) -> None:
    plain = QuadraticOptions(n=2_000, terms=1).build(context("system"))
    scaled = QuadraticOptions(n=2_000, terms=1, initial_scale=scale).build(context("system"))
    x = scaled.initial(streams(2)).x
    assert float(x.std()) == pytest.approx(scale, rel=0.08)
    torch.testing.assert_close(x, scale * plain.initial(streams(2)).x)
