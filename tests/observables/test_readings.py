"""Every reading against NumPy in float64, in flat space and on the sphere."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from tests.models import FreeSpins, context, dynamics

from glassyrun import Observable, ObservableOptions, Reference, Snapshot, State, System
from glassyrun_observables.constraint import ConstraintOptions
from glassyrun_observables.displacement import DisplacementOptions, MsdOptions
from glassyrun_observables.energy import EnergyOptions
from glassyrun_observables.gradient import GradientOptions
from glassyrun_observables.overlap import OverlapOptions
from glassyrun_observables.participation import ParticipationOptions
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import QuadraticOptions

REPLICAS = 3


def quadratic(sample: int = 0) -> System:
    return QuadraticOptions(n=5, terms=9, noise=0.3).build(context("system", sample=sample))


def pspin(sample: int = 0) -> System:
    return PSpinOptions(p=3, n=12).build(context("system", sample=sample))


SYSTEMS = {"flat": quadratic, "sphere": pspin}


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> System:
    return SYSTEMS[request.param]()


def somewhere(system: System, seed: int = 0, dtype: torch.dtype = torch.float64) -> State:
    """Anywhere: in flat space not of unit size, on the sphere on it."""
    x = torch.from_numpy(np.random.Generator(np.random.Philox(seed)).normal(0.4, 1.7, size=(REPLICAS, system.dof)))
    return State(system.manifold.retract(x).to(dtype))


def read(options: ObservableOptions, system: System, now: State, then: State | None = None, sample: int = 0) -> dict[str, Any]:
    observable: Observable = options.build(context(f"observables/{options.label}", sample=sample), system)
    given = None if then is None else Reference(then.step, then)
    values = observable.read(Snapshot(system, dynamics("quench", system), now), given)
    assert values.keys() == observable.variables.keys()
    return {name: value.numpy() for name, value in values.items()}


def close(found: Any, expected: Any, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_moments_of_the_displacement(system: System, dtype: torch.dtype) -> None:
    now, then = somewhere(system, 1, dtype), somewhere(system, 2, dtype)
    moved = now.x.numpy().astype(np.float64) - then.x.numpy()
    second, fourth = (moved**2).mean(1), (moved**4).mean(1)
    close(read(MsdOptions(), system, now, then)["msd"], second)
    moments = read(DisplacementOptions(), system, now, then)
    close(moments["displacement_fourth"], fourth)
    close(moments["displacement_alpha2"], fourth / (3 * second**2) - 1)


def test_a_gaussian_displacement_has_no_non_gaussian_parameter() -> None:
    """α₂ = 0 for normal components, −2/3 where each component moved equally far."""
    system = FreeSpins(200_000)
    then = State(torch.zeros(1, system.dof, dtype=torch.float64))
    normal = torch.from_numpy(np.random.Generator(np.random.Philox(3)).normal(size=(1, system.dof)))
    assert abs(read(DisplacementOptions(), system, State(normal), then)["displacement_alpha2"][0]) < 0.02
    close(read(DisplacementOptions(), system, State(torch.ones_like(normal)), then)["displacement_alpha2"], [-2 / 3])


def test_a_tiny_displacement_in_float32_is_not_lost() -> None:
    """Two components of a thousand moved by 1e-6: Δ = 2e-15, which no expanded square could see."""
    system = FreeSpins(1000)
    then = somewhere(system, 4, torch.float32)
    then.x.add_(1.5)
    now = then.copy()
    now.x[:, [3, 700]] += 1e-6
    moved = now.x.numpy().astype(np.float64) - then.x.numpy().astype(np.float64)
    assert ((moved != 0).sum(1) == 2).all()
    expected = (moved**2).mean(1)
    close(read(MsdOptions(), system, now, then)["msd"] / expected, 1)
    moments = read(DisplacementOptions(), system, now, then)
    close(moments["displacement_fourth"] / (moved**4).mean(1), 1)
    close(moments["displacement_alpha2"], (moved**4).mean(1) / (3 * expected**2) - 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_overlap_and_its_cosine(system: System, dtype: torch.dtype) -> None:
    now, then = somewhere(system, 1, dtype), somewhere(system, 2, dtype)
    x, past = now.x.numpy().astype(np.float64), then.x.numpy().astype(np.float64)
    values = read(OverlapOptions(), system, now, then)
    close(values["overlap"], (x * past).mean(1))
    cosine = (x * past).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(past, axis=1)
    close(values["overlap_normalised"], cosine)
    differs = np.abs(values["overlap"] - values["overlap_normalised"])
    if "quadratic" in type(system).__module__:
        assert (differs > 0.005).all()
    else:
        assert (differs < 1e-6).all()


def test_participation(system: System) -> None:
    state = somewhere(system, 5)
    x = state.x.numpy()
    close(read(ParticipationOptions(), system, state)["participation"], (x**4).mean(1) / (x**2).mean(1) ** 2)


def test_participation_of_one_and_of_all() -> None:
    """dof where one component carries everything, 1 where all carry the same, whatever the size of x."""
    system = FreeSpins(7)
    x = torch.zeros(2, 7, dtype=torch.float64)
    x[0, 4], x[1] = 2.5, -0.3
    close(read(ParticipationOptions(), system, State(x))["participation"], [7, 1])


def test_the_constraint_is_read_off_the_sphere() -> None:
    """Σσ²/N − 1 of a State that was pushed off: each replica by another factor, out and in."""
    system = pspin()
    state = somewhere(system, 6)
    factors = np.array([1.01, 1.0, 0.9])
    state.x.mul_(torch.from_numpy(factors).unsqueeze(1))
    np.testing.assert_allclose(read(ConstraintOptions(), system, state)["constraint"], factors**2 - 1, rtol=1e-12, atol=1e-14)


def tangent(system: System, x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    if "quadratic" in type(system).__module__:
        return slope
    return slope - (x * slope).sum(1, keepdims=True) / system.dof * x


def test_gradient_norm_is_tangent_and_per_degree_of_freedom(system: System) -> None:
    state = somewhere(system, 7)
    slope = system.gradient(state).gradient.numpy()
    expected = np.linalg.norm(tangent(system, state.x.numpy(), slope), axis=1) / np.sqrt(system.dof)
    close(read(GradientOptions(), system, state)["gradient_norm"], expected)
    if system.dof == 12:
        assert (expected < 0.999 * np.linalg.norm(slope, axis=1) / np.sqrt(system.dof)).all()


def test_energy_is_per_spin_of_a_glass_and_the_mean_of_a_regression(system: System) -> None:
    state = somewhere(system, 8)
    divisor = 12 if system.dof == 12 else 1
    close(read(EnergyOptions(), system, state)["energy"], system.energy(state).numpy() / divisor)


def subset_behind(options: ObservableOptions, system: System, size: int, seed: int, sample: int = 0) -> tuple[int, ...]:
    """The one subset of the terms that explains a reading, found by trying all of them."""
    state = somewhere(system, seed)
    (values,) = read(options, system, state, sample=sample).values()
    fits: list[tuple[int, ...]] = []
    for terms in itertools.combinations(range(system.terms), size):
        chosen = torch.tensor(terms)
        if isinstance(options, EnergyOptions):
            expected = system.energy(state, chosen).numpy() / system.energy_scale
        else:
            slope = system.gradient(state, chosen.expand(REPLICAS, -1)).gradient.numpy()
            expected = np.linalg.norm(tangent(system, state.x.numpy(), slope), axis=1) / np.sqrt(system.dof)
        if np.allclose(values, expected, rtol=1e-9, atol=0):
            fits.append(terms)
    assert len(fits) == 1, fits
    return fits[0]


@pytest.mark.parametrize("options", [EnergyOptions, GradientOptions])
def test_a_subset_of_terms_is_honoured_and_fixed(options: type[EnergyOptions | GradientOptions]) -> None:
    """The same terms at every reading, for every replica and in all samples; another label draws others."""
    few = options(terms=4)
    drawn = {subset_behind(few, quadratic(sample), 4, seed, sample) for sample, seed in ((0, 1), (0, 2), (1, 1), (2, 3))}
    assert len(drawn) == 1
    named = {subset_behind(options(terms=4, name=f"other{k}"), quadratic(), 4, 1) for k in range(3)}
    assert len(named | drawn) > 1


@pytest.mark.parametrize("options", [EnergyOptions, GradientOptions])
def test_a_subset_as_a_share(options: type[EnergyOptions | GradientOptions]) -> None:
    """.34 of 9 terms are 3."""
    assert len(subset_behind(options(terms=0.34), quadratic(), 3, 1)) == 3
