"""The covariance of the mini-batch gradient against brute force over all batches, and how curved the energy is along it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine_tools import final_state, load, tables
from tests.models import context, dynamics
from tests.observables.aging import built, curvature
from tests.observables.tools import MLP, normal, read

import glassyrun
from glassyrun import Refusal, State
from glassyrun_landscape import NoiseSpectrumOptions
from glassyrun_landscape.noise import principal
from glassyrun_quadratic.quadratic import Quadratic, QuadraticOptions

LANDSCAPE: list[dict[str, Any]] = [
    {"kind": "hessian_spectrum"},
    {"kind": "hessian_lanczos", "steps": 4, "probes": 2, "extreme": 2, "terms": 6},
    {"kind": "noise_spectrum", "batches": 4, "leading": 2, "probes": 2},
]


def brute_force(system: Quadratic, state: State, size: int, sampling: str) -> np.ndarray:
    """Cov(g_B) over every batch of a law."""
    drawn = itertools.combinations(range(system.terms), size) if sampling == "without_replacement" else None
    batches = torch.tensor(list(drawn or itertools.product(range(system.terms), repeat=size)))
    slopes = system.gradient(State(state.x[:1].expand(len(batches), -1)), batches).gradient.numpy()
    return np.cov(slopes.T, bias=True)


def test_eigenvalues_are_those_of_the_sample_covariance() -> None:
    off = normal(1, 12, 2, 30)
    off -= off.mean(0)
    values, directions = principal(off, 5)
    for replica in range(2):
        covariance = np.cov(off[:, replica].numpy().T)
        known, vectors = np.linalg.eigh(covariance)
        np.testing.assert_allclose(values[replica].numpy(), known[:-6:-1], rtol=1e-9)
        along = np.abs((directions[:, replica].numpy() * vectors[:, :-6:-1].T).sum(1))
        np.testing.assert_allclose(along, 1, rtol=1e-9)


@pytest.mark.parametrize("sampling", ["without_replacement", "with_replacement"])
def test_it_finds_the_noise_of_the_run(sampling: str) -> None:
    """600 batches of 3 of 8 terms in four replicas: eigenvalues, trace, curvature along them, and alignment, within 10 %."""
    system = QuadraticOptions(n=4, terms=8, noise=0.5).build(context("system"))
    state = State(normal(2, 1, 4).expand(4, -1).clone())
    moves = dynamics("sgd", system, batch_size=3, sampling=sampling)
    values = read(NoiseSpectrumOptions(batches=600, leading=3, probes=200), system, state, moves=moves)
    known, vectors = np.linalg.eigh(brute_force(system, state, 3, sampling))
    K = curvature(system).numpy()
    np.testing.assert_allclose(values["noise_spectrum"].mean(0), known[:-4:-1], rtol=0.1)
    np.testing.assert_allclose(values["noise_spectrum_trace"].mean(), known.sum(), rtol=0.1)
    bent = np.einsum("ik,ij,jk->k", vectors, K, vectors)[:-4:-1]
    np.testing.assert_allclose(values["noise_spectrum_curvature"].mean(0), bent, rtol=0.1)
    leading = known[:-4:-1]
    alignment = (bent * leading).sum() / leading.sum() / (np.trace(K) / 4)
    np.testing.assert_allclose(values["noise_spectrum_alignment"].mean(), alignment, rtol=0.1)
    assert alignment > 1.1  # in regression noise goes where the energy is curved


def test_a_stage_without_batches_has_no_noise() -> None:
    system = QuadraticOptions(n=4, terms=8).build(context("system"))
    state = State(normal(2, 2, 4))
    values = read(NoiseSpectrumOptions(batches=6, leading=2), system, state, moves=dynamics("quench", system))
    assert all(np.isnan(value).all() for value in values.values())
    with pytest.raises(
        Refusal, match=r"observables\.noise_spectrum: every step looks at all terms, .* give dynamics\.batch_size"
    ):
        glassyrun.run(tables("quadratic", "quench", observables=[LANDSCAPE[2]]), quiet=True)


def test_more_eigenvalues_than_there_are_are_refused() -> None:
    system = QuadraticOptions(n=4, terms=8).build(context("system"))
    told = r"observables\.noise_spectrum\.leading: found 5, but 50 batches and 4 degrees of freedom have only 4 eigenvalues; lower it"
    with pytest.raises(Refusal, match=told):
        built(NoiseSpectrumOptions(), system)


@pytest.mark.parametrize("system", ["quadratic", "pspin", "mlp"])
def test_the_landscape_is_looked_at_without_a_trace(system: str, tmp_path: Path) -> None:
    """At every step, or never: the same bits in the end; and read twice, the same spectra."""
    table = {"system": MLP} if system == "mlp" else {}
    known = "quadratic" if system == "mlp" else system

    def spec(kinds: list[dict[str, Any]]) -> Any:
        return load(tables(known, "sgd", steps=4, **table, observables=kinds))

    with_all = final_state(spec(LANDSCAPE), tmp_path / "all")
    with_one = final_state(spec([{"kind": "energy"}]), tmp_path / "one")
    assert torch.equal(with_all.x, with_one.x)
    assert all(torch.equal(with_all.dynamics[name], value) for name, value in with_one.dynamics.items())
    first, again = (glassyrun.run(spec(LANDSCAPE), quiet=True) for _ in range(2))
    assert first.equals(again)
    assert np.isfinite(first.noise_spectrum).all()
    assert np.isfinite(first.hessian_spectrum).all()
