"""Flat space: everything about a quadratic energy is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models import begin, context, dynamics, evolve_many

from glassyrun import State, System
from glassyrun_quadratic.quadratic import Quadratic, QuadraticOptions


def regression(n: int = 3, terms: int = 12, seed: int = 1, **options: object) -> Quadratic:
    return QuadraticOptions(n=n, terms=terms, noise=0.3, **options).build(context("system", seed=seed))  # type: ignore[arg-type]


def hessian(system: Quadratic) -> np.ndarray:
    inputs = system.inputs.numpy()
    return inputs.T @ inputs / system.terms


def many(system: System, start: torch.Tensor, replicas: int) -> State:
    return State(start.expand(replicas, -1).clone())


def test_the_gradient_is_the_derivative_of_the_energy() -> None:
    system = regression()
    state = begin(system, dynamics("quench", system), 4)
    x = state.x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(system.energy(State(x)).sum(), x)
    evaluation = system.gradient(state)
    torch.testing.assert_close(evaluation.gradient, slope, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(evaluation.energy, system.energy(state), rtol=1e-12, atol=0)


def test_mini_batches_are_unbiased() -> None:
    """The mean over a partition of the terms is the whole, exactly."""
    system = regression()
    state = begin(system, dynamics("quench", system), 2)
    parts = [system.gradient(state, torch.arange(k, k + 3).expand(2, -1)) for k in range(0, 12, 3)]
    whole = system.gradient(state)
    torch.testing.assert_close(torch.stack([p.gradient for p in parts]).mean(0), whole.gradient)
    torch.testing.assert_close(torch.stack([p.energy for p in parts]).mean(0), whole.energy)


def test_two_time_correlation_is_that_of_the_ornstein_uhlenbeck_process() -> None:
    """Covariance at three pairs (t_w, t), from a fixed start: ⟨δx(t)δx(t′)ᵀ⟩ = T K⁻¹ (e^{−K|t−t′|} − e^{−K(t+t′)}).

    The mean is checked beside it: x̂ + e^{−Kt}(x₀ − x̂). 20,000 replicas; four standard errors, below .02.
    """
    system, temperature, replicas = regression(), 0.5, 20_000
    moves = dynamics("langevin", system, dt=0.05, temperature=temperature)
    state = many(system, torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64), replicas)
    start = state.x[0].numpy().copy()
    K = hessian(system)
    minimum = np.linalg.solve(K, system.inputs.numpy().T @ system.targets.numpy() / system.terms)
    values, vectors = np.linalg.eigh(K)

    def decay(t: float) -> np.ndarray:
        return vectors @ np.diag(np.exp(-values * t)) @ vectors.T

    kept: dict[int, np.ndarray] = {}
    for step in (10, 30, 60):
        evolve_many(system, moves, state, step - state.step)
        kept[step] = state.x.numpy().copy()
    for i, j in ((10, 30), (10, 60), (30, 60)):
        a, b = kept[i], kept[j]
        mean = minimum + decay(j * 0.05) @ (start - minimum)
        error = b.std(0) / replicas**0.5
        assert np.all(error < 0.02)
        assert np.all(np.abs(b.mean(0) - mean) < 4 * error + 2e-3)
        product = (a - a.mean(0))[:, :, None] * (b - b.mean(0))[:, None, :]
        exact = temperature * np.linalg.inv(K) @ (decay((j - i) * 0.05) - decay((i + j) * 0.05))
        error = product.std(0) / replicas**0.5
        assert np.all(error < 0.02)
        assert np.all(np.abs(product.mean(0) - exact) < 4 * error + 2e-3)


@pytest.mark.parametrize(
    ("kind", "options", "order"), [("langevin", {"temperature": 0.0}, 2), ("quench", {"scheme": "euler"}, 1)]
)
def test_order_of_convergence_without_noise(kind: str, options: dict[str, object], order: int) -> None:
    system = regression()
    errors = []
    for steps in (20, 40, 80):
        moves = dynamics(kind, system, dt=1.0 / steps, **options)
        state = begin(system, moves, 1)
        start = state.x[0].numpy().copy()
        moves.advance(system, state, steps)
        K = hessian(system)
        minimum = np.linalg.solve(K, system.inputs.numpy().T @ system.targets.numpy() / system.terms)
        values, vectors = np.linalg.eigh(K)
        exact = minimum + vectors @ (np.exp(-values) * (vectors.T @ (start - minimum)))
        errors.append(np.abs(state.x[0].numpy() - exact).max())
    measured = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(measured - order) < 0.3), (errors, measured)


def test_stationary_variance_is_of_second_order_in_dt() -> None:
    """One degree of freedom, where the stationary variance of the linear step can be worked out from the code's own steps.

    x ← A x + noise is measured exactly: A from the step without noise, the noise's variance from unit draws.
    """
    system = regression(n=1)
    stiffness, temperature = float(hessian(system)[0, 0]), 0.7
    errors = []
    for dt in (0.4, 0.2, 0.1):
        moves = dynamics("langevin", system, dt=dt, temperature=temperature)
        base = begin(system, moves, 1)
        draw = moves.draw(0, base)

        def step(x: float, before: float, after: float, moves=moves, draw=draw) -> float:
            from glassyrun import Draw

            state = State(torch.tensor([[x]], dtype=torch.float64))
            noise = tuple(torch.tensor([[z]], dtype=torch.float64) for z in (before, after))
            moves.update(system, state, Draw(None, noise, draw.variance))
            return float(state.x[0, 0])

        still = step(0.0, 0.0, 0.0)
        factor = step(1.0, 0.0, 0.0) - still
        kicks = [step(0.0, 1.0, 0.0) - still, step(0.0, 0.0, 1.0) - still]
        variance = sum(kick**2 for kick in kicks) / (1 - factor**2)
        errors.append(abs(variance - temperature / stiffness))
    measured = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(measured > 1.7), (errors, measured)


def test_stochastic_gradient_langevin_reaches_the_posterior_as_dt_falls() -> None:
    """The posterior N(x̂, T K⁻¹) comes out as dt → 0; at finite dt the gradient noise adds dt Σ_B/(2K) to the variance.

    Σ_B is the variance of the mini-batch gradient at the stationary law, worked out from the terms. One degree of freedom.
    """
    system = QuadraticOptions(n=1, terms=10, noise=1.0).build(context("system"))
    temperature, batch, replicas = 0.02, 2, 4_000
    stiffness = float(hessian(system)[0, 0])
    a, y = system.inputs[:, 0].numpy(), system.targets.numpy()
    minimum = (a @ y) / (a @ a)
    variance = {}
    for dt in (0.2, 0.1, 0.05):
        moves = dynamics("langevin", system, dt=dt, temperature=temperature, batch_size=batch, sampling="with_replacement")
        state = many(system, torch.full((1, 1), minimum, dtype=torch.float64), replicas)
        evolve_many(system, moves, state, round(5 / stiffness / dt), batch=batch, seed=1)
        readings = []
        for _ in range(40):
            evolve_many(system, moves, state, round(0.25 / stiffness / dt), batch=batch, seed=1)
            readings.append(float(state.x.var()))
        variance[dt] = np.mean(readings)
        noise = (np.var(a * (a * minimum - y)) + np.var(a * a) * variance[dt]) / batch
        foreseen = temperature / stiffness + dt * noise / (2 * stiffness)
        assert variance[dt] == pytest.approx(foreseen, rel=0.05 + dt * stiffness)
    # Richardson's extrapolation to dt → 0 gives the posterior; at dt = .2 the bias is larger than the posterior itself
    assert 2 * variance[0.05] - variance[0.1] == pytest.approx(temperature / stiffness, rel=0.1)
    assert variance[0.2] > 1.5 * temperature / stiffness


def test_power_spectrum_has_the_eigenvalues_it_says() -> None:
    system = regression(n=40, terms=60, spectrum="power", exponent=0.5)
    quantile = (np.arange(40) + 0.5) / 40
    np.testing.assert_allclose(np.linalg.eigvalsh(hessian(system)), quantile ** (1 / 1.5), atol=1e-10)


def test_ramp_is_linear_and_ends() -> None:
    system = regression()
    moves = dynamics("langevin", system, dt=0.1, temperature=0.5, ramp={"start": 2.0, "until": 10.0})
    assert moves.temperature_at(0.0) == 2.0
    assert moves.temperature_at(5.0) == pytest.approx(1.25)
    assert moves.temperature_at(20.0) == 0.5
    state = begin(system, moves, 1)
    assert float(moves.draw(0, state).variance) == pytest.approx(2 * (2.0 - 1.5 * 0.005) * 0.05)
    assert float(moves.draw(500, state).variance) == pytest.approx(2 * 0.5 * 0.05)
