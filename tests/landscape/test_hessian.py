"""The Hessian against the derivative of the energy itself, on the sphere and in flat space, and its eigenvalues against the semicircle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from tests.engine_tools import load, tables
from tests.models import FreeSpins, begin, context, dynamics
from tests.networks.toy import any_module
from tests.observables.aging import built, curvature
from tests.observables.tools import normal, read

import glassyrun
from glassyrun import Refusal, State, System
from glassyrun_landscape import Curvature, Curved, HessianSpectrumOptions, semicircle_density, semicircle_share
from glassyrun_landscape.spectrum import hessians
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import Quadratic, QuadraticOptions


def spins(n: int, dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    return PSpinOptions(n=n, **(options or {"p": 3})).build(context("system", dtype=dtype))


def by_autograd(system: Any, x: torch.Tensor) -> np.ndarray:
    """P∇²HP − (x·∇H/N)P of one configuration, from −Σ J x…x written down term by term."""

    def energy(at: torch.Tensor) -> torch.Tensor:
        total = at.new_zeros(())
        for part in system.parts:
            couplings, sites = part.pick(torch.arange(part.terms))
            total = total - (couplings * at[sites].prod(1)).sum()
        return total

    x = x.detach()
    second = torch.autograd.functional.hessian(energy, x)
    slope = torch.autograd.functional.jacobian(energy, x)
    projection = torch.eye(len(x), dtype=x.dtype) - torch.outer(x, x) / (x @ x)
    return (projection @ second @ projection - (x @ slope) / (x @ x) * projection).numpy()


@pytest.mark.parametrize("options", [{"p": 3}, {"mixture": {"2": 0.5, "4": 1.0}}, {"p": 3, "diagonals": False}])
def test_products_on_the_sphere(options: dict[str, Any]) -> None:
    system = spins(8, **options)
    state = system.initial([context("x").stream(f"start{r}") for r in range(2)])
    vectors = normal(3, 2, 8)
    product = Curvature(system, state).product(vectors).numpy()
    for row, x, vector in zip(product, state.x, vectors, strict=True):
        np.testing.assert_allclose(row, by_autograd(system, x) @ vector.numpy(), rtol=1e-12, atol=1e-12)
    for matrix, x in zip(hessians(Curvature(system, state)), state.x, strict=True):
        expected = np.linalg.eigvalsh(by_autograd(system, x))
        expected = np.delete(expected, np.abs(expected).argmin())  # the direction of x
        np.testing.assert_allclose(np.linalg.eigvalsh(matrix.numpy())[:-1], expected, rtol=1e-6, atol=1e-7)


def test_single_precision_is_enough_for_spectra() -> None:
    for dtype, error in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        system = spins(60, dtype)
        state = system.initial([context("x").stream("start")])
        values = read(HessianSpectrumOptions(), system, state)["hessian_spectrum"][0]
        expected = np.linalg.eigvalsh(by_autograd(system, state.x[0]).astype(np.float64))
        expected = np.delete(expected, np.abs(expected).argmin())
        np.testing.assert_allclose(values, expected, atol=error)


def test_a_quadratic_energy_has_its_own_hessian() -> None:
    system = QuadraticOptions(n=7, terms=20).build(context("system"))
    state = State(normal(1, 3, 7))
    values = read(HessianSpectrumOptions(), system, state)
    for row in values["hessian_spectrum"]:
        np.testing.assert_allclose(row, np.linalg.eigvalsh(curvature(system).numpy()), rtol=1e-8)
    assert values["hessian_spectrum_index"].tolist() == [0, 0, 0]
    assert values["hessian_spectrum_shift"].tolist() == [0, 0, 0]
    some = read(HessianSpectrumOptions(terms=6), system, state)["hessian_spectrum"]
    assert (some > 1e-9).sum(1).tolist() == [6, 6, 6]  # six data points bend six directions


class Bent(FreeSpins):
    """H = ½ x·Ax on the sphere, which gives products with A."""

    matrix = np.diag([1.0, 2.0, 4.0, 8.0])

    def gradient(self, state: State, batch: torch.Tensor | None = None) -> glassyrun.Evaluation:
        slope = state.x @ torch.from_numpy(self.matrix)
        return glassyrun.Evaluation(0.5 * (slope * state.x).sum(1), slope, state.system)


class Exact(Bent):
    def hessian_product(self, state: State, vectors: torch.Tensor, batch: torch.Tensor | None = None) -> torch.Tensor:
        return vectors @ torch.from_numpy(self.matrix)


def test_a_system_may_give_products_itself() -> None:
    """Exact to rounding, and what differences find."""
    state = State(torch.tensor([[2.0, 0, 0, 0], [0, 0, 0, -2.0]], dtype=torch.float64))
    vectors = normal(4, 2, 4)
    assert isinstance(Exact(4), Curved)
    assert not isinstance(Bent(4), Curved)
    exact, differences = (Curvature(system(4), state).product(vectors) for system in (Exact, Bent))
    torch.testing.assert_close(exact, differences, rtol=1e-6, atol=1e-8)
    for row, expected in zip(
        read(HessianSpectrumOptions(), Exact(4), state)["hessian_spectrum"], ([1, 3, 7], [-7, -6, -4]), strict=True
    ):
        np.testing.assert_allclose(row, expected, rtol=1e-12)  # A less its value along x
    assert read(HessianSpectrumOptions(), Exact(4), state)["hessian_spectrum_index"].tolist() == [0, 3]


def by_energies(system: System, state: State, step: float = 2e-3) -> np.ndarray:
    """∂²E by second differences of the energy of the first replica, in pairs of directions."""
    axes = torch.eye(system.dof, dtype=state.x.dtype) * step
    found = np.zeros((system.dof, system.dof))
    for i, one in enumerate(axes):
        for j, other in enumerate(axes[: i + 1]):
            corners = torch.stack([a * one + b * other for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))])
            energies = system.energy(State(state.x[:1] + corners, 0, {}))
            found[i, j] = found[j, i] = float(energies[0] - energies[1] - energies[2] + energies[3]) / (4 * step**2)
    return found


def test_a_network_has_the_hessian_of_its_loss() -> None:
    data = {"kind": "gaussian_mixture", "dimension": 3, "train": 30, "test": 10, "clusters": 2, "separation": 2.0}
    table = {"kind": "mlp", "widths": [2], "activation": "tanh", "data": data}
    system = load(tables("quadratic", "sgd") | {"system": table}).system.build(context("system"))
    state = system.initial([context("x").stream("start")])
    matrix = hessians(Curvature(system, state))[0].numpy()
    np.testing.assert_allclose(matrix, by_energies(system, state), atol=2e-5)


def test_memory_goes_along_replica_by_replica() -> None:
    """A State with memory is looked at column by column, and gives what is found with many columns at once."""
    system = QuadraticOptions(n=5, terms=9).build(context("system"))
    x = normal(1, 2, 5)
    plain, remembering = State(x), State(x, 0, {"counter": torch.zeros(2)})
    for one, other in zip(hessians(Curvature(system, plain)), hessians(Curvature(system, remembering)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
    network = any_module("batch_norm", torch.float64)
    state = begin(network, dynamics("sgd", network, batch_size=6), 2)
    before = {name: value.clone() for name, value in state.system.items()}
    product = Curvature(network, state).product(normal(2, 1, network.dof).expand(2, -1))
    assert all(torch.equal(state.system[name], value) for name, value in before.items())
    assert bool(torch.isfinite(product).all())
    assert not torch.allclose(product[0], product[1])


# The semicircle.


def test_the_semicircle_is_normalised() -> None:
    at = np.linspace(-5, 6, 200_001)
    density = semicircle_density(at, 0.5, 2.0)
    shares = np.cumsum(density) * (at[1] - at[0])
    np.testing.assert_allclose(shares[::1000], semicircle_share(at[::1000], 0.5, 2.0), atol=1e-4)
    assert semicircle_share(0.5, 0.5, 2.0) == 0.5
    assert (at**2 * density).sum() * (at[1] - at[0]) == pytest.approx(0.25 + 1, rel=1e-4)


MIXTURE: dict[str, Any] = {"mixture": {"3": 1.0, "4": 0.5}}
MODELS: list[tuple[dict[str, Any], float, int]] = [
    *(({"p": 3}, 12**0.5, n) for n in (64, 160)),
    *(({"p": 2}, 2.0, n) for n in (64, 160)),
    (MIXTURE, 2 * 4.5**0.5, 64),
]


@pytest.mark.parametrize(("options", "half_width", "n"), MODELS)
def test_a_glass_has_a_semicircle_that_its_energy_places(options: dict[str, Any], half_width: float, n: int) -> None:
    """Down a quench, at several t_w: centre −x·∇H/N (−pE), half-width 2√f″(1), edges and index; four replicas."""
    spec = {
        "seed": 4,
        "system": {"kind": "pspin", "n": n, **options},
        "dynamics": {"kind": "quench", "dt": 0.1},
        "schedule": {"horizon": 6.0, "t_w": [0.0, 1.0, 6.0], "t": [0.0], "time": [0.0, 1.0, 6.0]},
        "ensemble": {"replicas": 4},
        "observables": [{"kind": "energy"}, {"kind": "hessian_spectrum"}],
        "run": {"threads": 1},
    }
    ds = glassyrun.run(spec, quiet=True).isel(sample=0)
    shift = ds.hessian_spectrum_shift
    if "p" in options:
        np.testing.assert_allclose(shift.values, -options["p"] * ds.energy.values, rtol=1e-4, atol=1e-4)
    values = ds.hessian_spectrum - shift
    level = half_width / 2 * n ** (-2 / 3)  # edges lie inside by 1.2 ± 1.3 of it (Tracy and Widom 1996)
    assert values.sizes["mode"] == n - 1
    for edge in (values.isel(mode=0), -values.isel(mode=-1)):
        inside = (edge + half_width).values / level
        assert inside.min() > -3
        assert inside.max() < 6.5
        assert -1 < inside.mean() < 3.5
    predicted = semicircle_share(0.0, shift.values, half_width)
    off = ds.hessian_spectrum_index.values / (n - 1) - predicted
    assert np.abs(off).max() < 5 / n
    assert np.abs(off.mean(0)).max() < 2.5 / n
    for row in values.transpose(..., "mode").values.reshape(-1, n - 1):
        away = stats.kstest(row, lambda at: semicircle_share(at, 0.0, half_width)).statistic
        assert away < 4.0 / n  # eigenvalues repel each other: far less than for independent numbers


# What is refused.


def test_what_is_too_large_is_refused() -> None:
    large = QuadraticOptions(n=5_001, terms=1).build(context("system"))
    with pytest.raises(Refusal, match=r'observables\.hessian_spectrum: all eigenvalues of 5001 .* take kind = "hessian_lanczos"'):
        built(HessianSpectrumOptions(), large)


def test_what_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Full:
        available = 1_000

    monkeypatch.setattr(psutil, "virtual_memory", Full)
    with pytest.raises(
        Refusal, match=r"observables\.hessian_spectrum: needs 0\.048 GB, but 1e-06 GB are free on cpu; take a smaller"
    ):
        built(HessianSpectrumOptions(), Quadratic(normal(1, 3, 1_000)[:, :1_000], normal(1, 3)))


def test_coordinates_that_are_no_components_are_refused() -> None:
    system = FreeSpins(4)
    type(system).degrees_of_freedom = property(lambda self: 1e8)  # pyrefly: ignore
    try:
        with pytest.raises(Refusal, match="x is written down in coordinates that don't span the space"):
            built(HessianSpectrumOptions(), system)
    finally:
        del type(system).degrees_of_freedom
