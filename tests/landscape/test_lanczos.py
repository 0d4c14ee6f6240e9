"""Lanczos and its quadrature against all eigenvalues, and what the observable makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from tests.models import context
from tests.observables.aging import built, curvature
from tests.observables.tools import normal, read

from glassyrun import Refusal, State
from glassyrun_landscape import (
    Curvature,
    HessianLanczosOptions,
    HessianSpectrumOptions,
    lanczos,
    semicircle_density,
    spectral_density,
)
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import Quadratic, QuadraticOptions


def symmetric(seed: int, replicas: int, n: int) -> torch.Tensor:
    matrix = normal(seed, replicas, n, n)
    return (matrix + matrix.mT) / (2 * n) ** 0.5


def of(matrix: torch.Tensor) -> Any:
    return lambda vectors: torch.einsum("rij,rj->ri", matrix, vectors)


def test_all_steps_give_all_eigenvalues() -> None:
    matrix = symmetric(1, 3, 30)
    found = lanczos(of(matrix), normal(2, 3, 30), 30)
    values, weights, errors = found.ritz()
    np.testing.assert_allclose(values.numpy(), np.linalg.eigvalsh(matrix.numpy()), atol=1e-10)
    np.testing.assert_allclose(weights.sum(1).numpy(), 1, rtol=1e-12)
    assert float(errors.max()) < 1e-6
    basis = found.basis.permute(1, 0, 2)
    torch.testing.assert_close(basis @ basis.mT, torch.eye(30, dtype=torch.float64).expand(3, -1, -1), atol=1e-12, rtol=0)


def test_few_steps_give_the_moments_of_the_start() -> None:
    """Gauss: v·H^k v/|v|² for all k < 2 × steps, here with 6 steps of 200 dimensions."""
    matrix, start = symmetric(1, 2, 200), normal(2, 2, 200)
    values, weights, _ = lanczos(of(matrix), start, 6).ritz()
    vector = start
    for k in range(12):
        moment = (start * vector).sum(1) / start.square().sum(1)
        torch.testing.assert_close((weights * values**k).sum(1), moment, rtol=1e-9, atol=1e-10)
        vector = of(matrix)(vector)


def test_extreme_eigenvalues_are_those_of_arpack_within_the_error_told() -> None:
    matrix = symmetric(1, 1, 300)
    matrix[0, 0, 0] += 4.0
    values, _, errors = lanczos(of(matrix), normal(2, 1, 300), 60).ritz()
    operator = LinearOperator((300, 300), matvec=lambda v: matrix[0].numpy() @ v, dtype=np.float64)
    known = np.linalg.eigvalsh(matrix[0].numpy())
    np.testing.assert_allclose(values[0, -1].item(), eigsh(operator, k=1, which="LA")[0].item(), rtol=1e-8)
    for value, error in zip(values[0].numpy(), errors[0].numpy(), strict=True):
        assert np.abs(known - value).min() <= error + 1e-10


def test_a_space_that_ends_gives_no_false_values() -> None:
    """Three eigenvalues, none of them 0: after three steps nothing is left, and what is padded has no weight."""
    frame = torch.linalg.qr(normal(1, 20, 20)).Q
    matrix = (frame * torch.tensor([2.0] * 5 + [3.0] * 5 + [7.0] * 10, dtype=torch.float64)) @ frame.T
    system = Quadratic(torch.linalg.cholesky(matrix).T * 20**0.5, torch.zeros(20, dtype=torch.float64))
    options = HessianLanczosOptions(steps=8, probes=2, extreme=5, step=0.5)
    values = read(options, system, State(normal(3, 1, 20)))
    np.testing.assert_allclose(values["hessian_lanczos_largest"][0, :3], [7, 3, 2], rtol=1e-8)
    np.testing.assert_allclose(values["hessian_lanczos_smallest"][0, :3], [2, 3, 7], rtol=1e-8)
    assert np.isnan(values["hessian_lanczos_largest"][0, 3:]).all()
    assert values["hessian_lanczos_flat"].item() == 0
    assert values["hessian_lanczos_negative"].item() == 0


def test_flat_directions_are_counted() -> None:
    """Fewer data points than degrees of freedom: 40 of 100 directions are bent; with 60 probes within four standard errors."""
    system = QuadraticOptions(n=100, terms=40).build(context("system"))
    values = read(HessianLanczosOptions(steps=41, probes=60), system, State(normal(3, 2, 100)))
    share = np.array([0.6, 0.6])
    error = (2 * 0.6 * 0.4 / 102 / 60) ** 0.5  # of the share of a random direction, Beta(30, 20)
    assert np.abs(values["hessian_lanczos_flat"] - share).max() < 4 * error
    largest = np.linalg.eigvalsh(curvature(system).numpy())[-1]
    np.testing.assert_allclose(values["hessian_lanczos_largest"][:, 0], largest, rtol=1e-7)


def test_it_agrees_with_all_eigenvalues_on_the_sphere() -> None:
    """All N − 1 steps: without the direction of x."""
    system = PSpinOptions(p=3, n=24).build(context("system"))
    state = system.initial([context("x").stream(f"{r}") for r in range(2)])
    whole = read(HessianSpectrumOptions(), system, state)
    values = read(HessianLanczosOptions(steps=23, extreme=4, probes=40), system, state)
    np.testing.assert_allclose(values["hessian_lanczos_smallest"], whole["hessian_spectrum"][:, :4], rtol=1e-5)
    np.testing.assert_allclose(values["hessian_lanczos_largest"], whole["hessian_spectrum"][:, :-5:-1], rtol=1e-5)
    assert values["hessian_lanczos_largest_error"].max() < 1e-5
    index = values["hessian_lanczos_negative"] * 23
    np.testing.assert_allclose(index, whole["hessian_spectrum_index"], atol=4 * 23 * (0.5 / 25 / 40) ** 0.5)
    moment = (values["hessian_lanczos_weight"] * values["hessian_lanczos_node"] ** 2).sum(2).mean(1)
    np.testing.assert_allclose(moment, (whole["hessian_spectrum"] ** 2).mean(1), rtol=0.15)


def test_the_density_is_the_semicircle() -> None:
    """40 probes of 30 steps in 400 dimensions, broadened by 0.15: within .03 of the semicircle so broadened."""
    matrix = symmetric(1, 1, 400)
    probes = [lanczos(of(matrix), normal(k, 1, 400), 30).ritz() for k in range(40)]
    nodes, weights = (np.stack([found[part][0].numpy() for found in probes]) for part in (0, 1))
    at = np.linspace(-1.8, 1.8, 25)
    fine = np.linspace(-2, 2, 4_001)
    kernel = np.exp(-0.5 * ((at[:, None] - fine) / 0.15) ** 2) / (0.15 * (2 * np.pi) ** 0.5)
    expected = (kernel * semicircle_density(fine, 0.0, 2.0)).sum(1) * (fine[1] - fine[0])
    np.testing.assert_allclose(spectral_density(nodes, weights, at, 0.15), expected, atol=0.03)


def test_probes_depend_on_nothing_but_seed_replica_and_time() -> None:
    system = PSpinOptions(p=3, n=24).build(context("system"))
    state = State(system.initial([context("x").stream("0")]).x.repeat(2, 1), 5)
    options = HessianLanczosOptions(steps=6, probes=3)
    first, again = (read(options, system, state)["hessian_lanczos_node"] for _ in range(2))
    assert np.array_equal(first, again)
    later = read(options, system, State(state.x, 6))["hessian_lanczos_node"]
    rows = [tuple(row) for nodes in (first, later) for row in nodes.reshape(-1, 6)]
    assert len({*rows}) == 12


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"steps": 24}, "steps: found 24, expected at most 23, the dimension of the space; lower it"),
        ({"steps": 2, "extreme": 3}, "extreme: found 3, expected at most 2, the number of steps; lower it"),
    ],
)
def test_more_steps_than_dimensions_are_refused(fields: dict[str, int], told: str) -> None:
    system = PSpinOptions(p=3, n=24).build(context("system"))
    with pytest.raises(Refusal) as error:
        built(HessianLanczosOptions(**fields), system)
    assert str(error.value) == f"observables.hessian_lanczos.{told}"


def test_a_basis_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Full:
        available = 10_000

    system = QuadraticOptions(n=100, terms=10).build(context("system"))
    built(HessianLanczosOptions(), system, replicas=3)
    monkeypatch.setattr(psutil, "virtual_memory", Full)
    with pytest.raises(Refusal, match=r"needs 9\.6e-05 GB, but 1e-05 GB are free on cpu; take fewer steps or replicas"):
        built(HessianLanczosOptions(), system, replicas=3)


def test_single_precision_finds_the_extremes() -> None:
    double = PSpinOptions(p=3, n=60).build(context("system"))
    state = double.initial([context("x").stream("0")])
    known = read(HessianSpectrumOptions(), double, state)["hessian_spectrum"][0]
    single = PSpinOptions(p=3, n=60).build(context("system", dtype=torch.float32))
    there = single.initial([context("x").stream("0")])
    found = Curvature(single, there)
    values, _, _ = lanczos(found.product, normal(1, 1, 60).float(), 50).ritz()
    whole = read(HessianSpectrumOptions(), single, there)["hessian_spectrum"][0]
    assert abs(float(values[0, -1]) - whole[-1]) < 1e-2
    assert known.shape == whole.shape
