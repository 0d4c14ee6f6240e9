"""Directions of the noise held against eigenvectors of the Hessian, where the overlaps are known: 1, 0, ½, and chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import psutil
import pytest
import torch
from tests.models import FreeSpins, context, dynamics
from tests.observables.aging import built
from tests.observables.tools import normal, read

import glassyrun
from glassyrun import Evaluation, Flat, Refusal, State
from glassyrun_landscape import Curvature, HessianSpectrumOptions, NoiseSpectrumOptions, lanczos
from glassyrun_landscape.spectrum import hessians
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import Quadratic, QuadraticOptions


def along_axes(stretch: list[float], spread: list[float], frame: torch.Tensor) -> Quadratic:
    """Two data points along each axis of a frame, with targets ± spread: at x = 0 curvature is stretch²/n, noise goes with stretch · spread."""
    size = torch.tensor(stretch, dtype=torch.float64)
    inputs = (torch.diag(size) @ frame.T).repeat(2, 1)
    targets = torch.tensor(spread, dtype=torch.float64)
    return Quadratic(inputs, torch.cat([targets, -targets]))


STRETCH = [3.0, 2.5, 2.0, 1.5, 1.0, 0.5]
CASES = {"aligned": ([1.0, 1.0, 0, 0, 0, 0], 1.0), "across": ([0, 0, 0, 1.0, 0, 1.0], 0.0), "half": ([0, 1.0, 0, 1.0, 0, 0], 0.5)}


@pytest.mark.parametrize("case", CASES)
def test_spaces_of_a_regression_have_the_overlap_that_was_built_in(case: str) -> None:
    """Noise in two directions alone, against the two most curved of six; whatever batches were drawn."""
    spread, expected = CASES[case]
    frame = torch.linalg.qr(normal(5, 6, 6)).Q
    system = along_axes(STRETCH, spread, frame)
    state = State(torch.zeros(3, 6, dtype=torch.float64))
    moves = dynamics("sgd", system, batch_size=2, sampling="with_replacement")
    options = NoiseSpectrumOptions(batches=30, leading=2, eigenvectors=2, steps=6)
    values = read(options, system, state, moves=moves)
    np.testing.assert_allclose(values["noise_spectrum_subspace"], expected, atol=1e-10)
    np.testing.assert_allclose(values["noise_spectrum_hessian"], [[9 / 6, 6.25 / 6]] * 3, rtol=1e-10)
    assert values["noise_spectrum_hessian_error"].max() < 1e-10
    inside = {"aligned": [1, 1], "across": [0, 0]}
    if case in inside:
        np.testing.assert_allclose(values["noise_spectrum_overlap"].sum(2), [inside[case]] * 3, atol=1e-10)


def test_a_single_direction_of_noise_is_found_among_the_eigenvectors() -> None:
    """(u·v)² is 1 for the third eigenvector and 0 for all others; a second direction does not exist, nor does a space of two."""
    system = along_axes(STRETCH, [0, 0, 1.0, 0, 0, 0], torch.linalg.qr(normal(5, 6, 6)).Q)
    state = State(torch.zeros(2, 6, dtype=torch.float64))
    moves = dynamics("sgd", system, batch_size=2, sampling="with_replacement")
    values = read(NoiseSpectrumOptions(batches=20, leading=2, eigenvectors=4, steps=6), system, state, moves=moves)
    np.testing.assert_allclose(values["noise_spectrum_overlap"][:, 0], [[0, 0, 1, 0]] * 2, atol=1e-10)
    assert np.isnan(values["noise_spectrum_overlap"][:, 1]).all()
    assert np.isnan(values["noise_spectrum_subspace"]).all()
    one = read(NoiseSpectrumOptions(batches=20, leading=1, eigenvectors=4, steps=6), system, state, moves=moves)
    np.testing.assert_allclose(one["noise_spectrum_subspace"], 1, atol=1e-10)  # one direction within a space of four


class Isotropic(FreeSpins):
    """H = ½ x·Ax with noise that is the same in all directions: term μ adds f_μ, and nothing on the mean."""

    matrix = np.diag(np.arange(1.0, 61.0))
    shocks = normal(7, 4000, 60)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.manifold, self.terms = Flat(), len(self.shocks)

    def gradient(self, state: State, batch: torch.Tensor | None = None) -> Evaluation:
        slope = state.x @ torch.from_numpy(self.matrix)
        if batch is not None:
            slope = slope + self.shocks[batch].mean(1)
        return Evaluation((slope * state.x).sum(1), slope, state.system)


def test_isotropic_noise_overlaps_by_chance() -> None:
    """Spaces of 4 and 6 in 60 dimensions, 100 replicas with batches of their own: .1 ± .002, and 1/60 for each pair."""
    system, replicas = Isotropic(60), 100
    options = NoiseSpectrumOptions(batches=8, leading=4, eigenvectors=6, steps=60, probes=1)
    moves = dynamics("sgd", system, batch_size=5, sampling="with_replacement")
    values = read(options, system, State(normal(1, replicas, 60)), moves=moves)
    chance = built(options, system, replicas).variables["noise_spectrum_subspace"].attributes["chance"]
    assert chance == 6 / 60
    assert built(options, system).variables["noise_spectrum_overlap"].attributes["chance"] == 1 / 60
    found = values["noise_spectrum_subspace"]
    assert abs(found.mean() - chance) < 4 * found.std() / replicas**0.5 < 0.02
    np.testing.assert_allclose(values["noise_spectrum_overlap"].mean(0), 1 / 60, atol=4 * 2**0.5 / 60 / replicas**0.5)


def test_on_the_sphere_all_eigenvectors_hold_all_of_the_noise() -> None:
    """N − 1 of them; and each is the one of the whole matrix."""
    system = PSpinOptions(p=3, n=9).build(context("system"))
    state = system.initial([context("x").stream(f"{r}") for r in range(2)])
    moves = dynamics("sgd", system, batch_size=20)
    options = NoiseSpectrumOptions(batches=10, leading=3, eigenvectors=8, steps=8)
    values = read(options, system, state, moves=moves)
    whole = read(HessianSpectrumOptions(), system, state)["hessian_spectrum"]
    np.testing.assert_allclose(values["noise_spectrum_hessian"], whole[:, ::-1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(values["noise_spectrum_overlap"].sum(2), 1, rtol=1e-9)
    curvature = (values["noise_spectrum_overlap"] * values["noise_spectrum_hessian"][:, None]).sum(2)
    np.testing.assert_allclose(values["noise_spectrum_curvature"], curvature, rtol=1e-9, atol=1e-9)
    assert built(options, system).variables["noise_spectrum_overlap"].attributes["chance"] == 1 / 8


def test_ritz_vectors_are_as_good_as_is_told() -> None:
    """Few steps: |Hv − θv| is what the bound says, vectors are orthonormal, and those that don't exist are NaN."""
    system = PSpinOptions(p=3, n=30).build(context("system"))
    state = system.initial([context("x").stream("0")])
    matrix = hessians(Curvature(system, state))[0]
    start = system.manifold.project(state.x, normal(1, 1, 30))
    values, errors, vectors = lanczos(lambda v: system.manifold.project(state.x, v @ matrix), start, 8).leading(5)
    rest = torch.linalg.vector_norm(vectors[:, 0] @ matrix - values[0, :, None] * vectors[:, 0], dim=1)
    torch.testing.assert_close(rest, errors[0], rtol=1e-6, atol=1e-10)
    assert float(errors.max()) > 1e-2
    torch.testing.assert_close(vectors[:, 0] @ vectors[:, 0].T, torch.eye(5, dtype=torch.float64), atol=1e-10, rtol=0)
    flat = lanczos(lambda v: 2 * v, normal(1, 2, 10), 3).leading(2)
    torch.testing.assert_close(flat[0], torch.tensor([[2.0, torch.nan]] * 2, dtype=torch.float64), equal_nan=True)
    assert bool(flat[1][:, 1].isnan().all())
    assert bool(flat[2][1].isnan().all())


def test_without_eigenvectors_nothing_is_added_and_nothing_changes() -> None:
    system = QuadraticOptions(n=6, terms=20).build(context("system"))
    moves, state = dynamics("sgd", system, batch_size=3), State(normal(1, 2, 6))
    plain, more = (read(NoiseSpectrumOptions(leading=2, eigenvectors=k, steps=5), system, state, moves=moves) for k in (0, 2))
    assert set(more) - set(plain) == {f"noise_spectrum_{name}" for name in ("hessian", "hessian_error", "overlap", "subspace")}
    assert all(np.array_equal(value, more[name]) for name, value in plain.items())


def test_what_they_take_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 replicas × 100 numbers × 8 bytes: 50 batches and 5 directions, or a basis of 90 steps, beside the eigenvectors."""

    class Full:
        available = 0

    system = QuadraticOptions(n=100, terms=10).build(context("system"))
    monkeypatch.setattr(psutil, "virtual_memory", Full)
    for fields, vectors in (({}, 55), ({"eigenvectors": 4}, 59), ({"eigenvectors": 4, "steps": 90}, 94)):
        with pytest.raises(Refusal, match=f"needs {vectors * 2400 / 1e9:.3g} GB, but 0 GB are free on cpu; take fewer batches"):
            built(NoiseSpectrumOptions(**fields), system, replicas=3)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"eigenvectors": 2}, "steps: found 40, expected at most 23, the dimension of the space; lower it"),
        ({"eigenvectors": 9, "steps": 8}, "eigenvectors: found 9, expected at most 8, the number of steps; lower it"),
    ],
)
def test_more_steps_than_dimensions_are_refused(fields: dict[str, int], told: str) -> None:
    system = PSpinOptions(p=3, n=24).build(context("system"))
    with pytest.raises(Refusal) as error:
        built(NoiseSpectrumOptions(**fields), system)
    assert str(error.value) == f"observables.noise_spectrum.{told}"


def test_a_run_keeps_both_dimensions() -> None:
    """Two of one kind under their own names, in a run whose last stage has no batches."""
    table: dict[str, Any] = {"kind": "noise_spectrum", "batches": 6, "leading": 2, "probes": 1}
    spec = {
        "system": {"kind": "quadratic", "n": 5, "terms": 12},
        "dynamics": [
            {"kind": "sgd", "learning_rate": 0.1, "batch_size": 3, "until": 4.0},
            {"kind": "quench", "dt": 0.1},
        ],
        "schedule": {"horizon": 5.0, "t_w": [0.0, 2.0, 5.0], "t": [0.0]},
        "observables": [{**table, "eigenvectors": 3, "steps": 5}, {**table, "name": "other", "eigenvectors": 2, "steps": 4}],
    }
    ds = glassyrun.run(spec, quiet=True)
    assert ds.noise_spectrum_overlap.dims[-2:] == ("direction", "eigenvector")
    assert ds.other_overlap.dims[-2:] == ("other_direction", "other_eigenvector")
    assert ds.noise_spectrum_overlap.sizes["eigenvector"] == 3
    assert np.isfinite(ds.noise_spectrum_overlap.isel(t_w=[0, 1])).all()
    assert np.isnan(ds.noise_spectrum_overlap.isel(t_w=2)).all()
    assert ds.noise_spectrum_subspace.attrs["chance"] == 3 / 5
