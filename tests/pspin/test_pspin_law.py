"""The law of the disorder: covariances against closed forms, signs, planted starts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from glassyrun import State
from glassyrun_pspin.couplings import Law
from glassyrun_pspin.diluted import DilutedCouplings
from glassyrun_pspin.full import FullCouplings
from glassyrun_pspin.layout import Shape

SITES, DRAWS = 12, 40_000


def at_overlap(q: float, n: int = SITES) -> torch.Tensor:
    """Two configurations of overlap q, and not aligned with the axes."""
    generator = torch.Generator().manual_seed(11)
    a, b = torch.randn(2, n, dtype=torch.float64, generator=generator)
    a *= math.sqrt(n) / a.norm()
    b -= (b @ a) / n * a
    b *= math.sqrt(n) / b.norm()
    return torch.stack([a, q * a + math.sqrt(1 - q * q) * b])


def deviations(p: int, repeats: bool, context, scale: float = 1.0):
    """Standard deviation of each coupling, as drawn: binary couplings show it; and the monomials of its sites."""
    drawn = FullCouplings.draw(Shape(SITES, p, repeats), scale, Law(binary=True), context().stream("law"), context(), None)
    return drawn.pick(torch.arange(drawn.terms))


def elementary(values: torch.Tensor, p: int) -> float:
    return sum(math.prod(values[list(s)].tolist()) for s in itertools.combinations(range(len(values)), p))


@pytest.mark.parametrize("p", [2, 3, 4])
@pytest.mark.parametrize("q", [1.0, 0.5, 0.2])
def test_covariance_is_exactly_half_n_q_to_the_p(p, q, context):
    """Σ variance · σ…σ · σ′…σ′ is the covariance; with repeated indices it must be N q^p/2 to rounding, whatever σ, σ′."""
    couplings, sites = deviations(p, True, context, scale=1.3)
    x = at_overlap(q)
    products = x[:, sites].prod(-1)
    assert float((couplings**2 * products[0] * products[1]).sum()) == pytest.approx(1.69 * SITES / 2 * q**p, rel=1e-10)


@pytest.mark.parametrize("p", [2, 3, 4])
@pytest.mark.parametrize("q", [1.0, 0.5, 0.2])
def test_covariance_without_diagonals_is_the_elementary_polynomial(p, q, context):
    couplings, sites = deviations(p, False, context)
    x = at_overlap(q)
    products = x[:, sites].prod(-1)
    expected = math.factorial(p) / (2 * SITES ** (p - 1)) * elementary(x[0] * x[1], p)
    assert float((couplings**2 * products[0] * products[1]).sum()) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("diagonals", [True, False])
def test_covariance_of_drawn_energies(diagonals, context):
    """40,000 draws of the disorder through the public law, N = 12, p = 3, at three overlaps at once."""
    shape = Shape(SITES, 3, diagonals)
    x = torch.cat([at_overlap(1.0)[:1], at_overlap(0.5)[1:], at_overlap(0.2)[1:]])
    drawn = FullCouplings.draw(shape, 1.0, Law(binary=True), context().stream("law"), context(), None)
    deviation, sites = drawn.pick(torch.arange(drawn.terms))
    normal = context().stream("many").normal((DRAWS, drawn.terms), dtype=torch.float64, device=torch.device("cpu"))
    couplings = Law().draw(normal, deviation.abs().expand_as(normal), None)
    energies = -couplings @ x[:, sites].prod(-1).t()
    for other, q in enumerate((1.0, 0.5, 0.2)):
        product = energies[:, 0] * energies[:, other]
        expected = SITES / 2 * q**3 if diagonals else 3 / SITES**2 * elementary(x[0] * x[other], 3)
        error = float(product.std()) / math.sqrt(DRAWS)
        assert abs(float(product.mean()) - expected) < 3.5 * error
        assert error < 0.05


def test_systems_of_different_samples_have_this_law(pspin):
    """The whole way from options to energy, for a few hundred samples."""
    x = at_overlap(0.5)
    energies = np.array([pspin(sample, n=SITES).energy(State(x)).numpy() for sample in range(600)])
    covariance = energies.T @ energies / len(energies)
    assert covariance[0, 0] == pytest.approx(SITES / 2, rel=0.2)
    assert covariance[1, 1] == pytest.approx(SITES / 2, rel=0.2)
    assert abs(covariance[0, 1] - SITES / 16) < 3.5 * SITES / 2 / math.sqrt(600)


def test_gaussian_couplings_are_normal_and_binary_ones_are_signs(context):
    shape, stream = Shape(40, 3, True), context().stream("law")
    deviation = FullCouplings.draw(shape, 1.0, Law(binary=True), stream, context(), None)
    drawn = FullCouplings.draw(shape, 1.0, Law(), stream, context(), None)
    terms = torch.arange(drawn.terms)
    size, ratio = deviation.pick(terms)[0].abs(), drawn.pick(terms)[0] / deviation.pick(terms)[0].abs()
    assert torch.unique((size**2 * 40**2 / 3).round(decimals=6)).tolist() == pytest.approx([1 / 6, 1 / 2, 1], abs=1e-5)
    assert float((ratio**2).mean()) == pytest.approx(1, abs=0.05)
    assert float((ratio**4).mean()) == pytest.approx(3, abs=0.3)
    assert float((ratio.abs() > 0.6745).double().mean()) == pytest.approx(0.5, abs=0.02)
    assert abs(float(torch.sign(deviation.pick(terms)[0]).mean())) < 0.03


def test_padding_is_zero_and_every_term_has_a_place_of_its_own(context):
    for p in (2, 3, 4):
        drawn = FullCouplings.draw(Shape(30, p, True), 1.0, Law(), context().stream("law"), context(), None)
        places, _ = drawn.layout.locate(torch.arange(drawn.terms))
        assert len(torch.unique(places)) == drawn.terms
        assert int((drawn.store != 0).sum()) == drawn.terms


def test_probability_of_a_planted_sign():
    law, bias = Law(binary=True, beta=2.0), torch.tensor([-1.5, -0.3, 0.0, 0.2, 0.8], dtype=torch.float64)
    normal = torch.randn(200_000, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    deviation = torch.full_like(normal, 0.5)
    plus = (law.draw(normal, deviation, bias.expand_as(normal)) > 0).double().mean(0)
    torch.testing.assert_close(plus, 0.5 * (1 + torch.tanh(2.0 * 0.5 * bias)), atol=0.005, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"n": 64, "initial_temperature": 0.7},
        {"n": 64, "initial_temperature": 0.7, "couplings": "binary"},
        {"n": 32, "p": 4, "initial_temperature": 0.8},
        {"n": 64, "p": 2, "initial_temperature": 1.5},
        {"n": 48, "mixture": {"2": 0.5, "3": -0.8}, "initial_temperature": 1.2},
    ],
    ids=["gaussian", "binary", "p4", "p2", "mixture"],
)
def test_a_planted_start_has_the_energy_of_its_temperature(options, pspin):
    """E(0) = −f(1)/T_i, −1/(2T_i) for pure p, exactly on average; f(1)/N is the variance between samples."""
    samples = 40
    energies = []
    for sample in range(samples):
        system = pspin(sample, **options)
        start = system.initial([system.context.stream("start").child(r) for r in range(2)])
        assert torch.equal(start.x[0], start.x[1])
        energies.append(float(system.energy(start)[0]) / system.n)
    strength = sum(a * a for a in options.get("mixture", {"3": 1.0}).values()) / 2
    error = math.sqrt(strength / options["n"] / samples)
    assert abs(np.mean(energies) + strength / options["initial_temperature"]) < 3 * error
    assert np.std(energies) == pytest.approx(math.sqrt(strength / options["n"]), rel=0.4)


def test_a_diluted_planted_start(pspin):
    energies = []
    for sample in range(40):
        system = pspin(sample, n=30, dilution=2.0, initial_temperature=0.8)
        energies.append(float(system.energy(system.initial([system.context.stream("start")]))[0]) / 30)
    # On the sphere the mean of σ1²σ2²σ3² at three different sites is N²/((N+2)(N+4)).
    assert abs(np.mean(energies) + 900 / (32 * 34) / 1.6) < 3 * math.sqrt(0.5 / 30 / 40)


def test_diluted_couplings_come_from_all_tuples(context):
    drawn = DilutedCouplings.draw(8, 3, 50_000, 1.0, Law(), context().stream("law"), context(), None)
    ranks, counts = torch.unique(drawn.sites, dim=0, return_counts=True)
    assert len(ranks) == math.comb(8, 3)
    assert float(((counts - 50_000 / 56) ** 2 / (50_000 / 56)).sum()) < 55 + 4 * math.sqrt(110)


def test_random_starts_are_uniform_and_repeat(pspin):
    system = pspin(n=50)
    streams = [system.context.stream("start").child(r) for r in range(300)]
    x = system.initial(streams).x
    torch.testing.assert_close((x * x).sum(1), torch.full((300,), 50.0, dtype=torch.float64))
    assert abs(float(x.mean())) < 4 / math.sqrt(300 * 50)
    assert torch.equal(system.initial([streams[4], streams[4]]).x[0], x[4])
