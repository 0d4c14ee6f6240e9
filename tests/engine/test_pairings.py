"""What must hold for every pairing of a System and a Dynamics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.engine_tools import PAIRS, final_state, load, tables

from glassyrun.experiment import Setting


@pytest.mark.parametrize(("system", "moves"), PAIRS)
def test_measuring_never_disturbs(system: str, moves: str, tmp_path: Path) -> None:
    """Every observable at every step, one, in another order, or none: the same bits."""
    spec = load(tables(system, moves))
    everything = final_state(spec, tmp_path / "all")
    variants = {
        "none": spec.model_copy(update={"observables": []}),
        "one": spec.model_copy(update={"observables": spec.observables[:1]}),
        "reversed": spec.model_copy(update={"observables": spec.observables[::-1]}),
    }
    for name, variant in variants.items():
        other = final_state(variant, tmp_path / name)
        assert other.step == everything.step == 12
        assert torch.equal(other.x, everything.x), name
        for memory, value in everything.dynamics.items():
            assert torch.equal(other.dynamics[memory], value)


@pytest.mark.parametrize(("system", "moves"), PAIRS)
def test_it_moves_and_repeats(system: str, moves: str, tmp_path: Path) -> None:
    """The same seed gives the same bits, another seed does not, and x is not where it began."""
    spec = load(tables(system, moves))
    once, again = final_state(spec, tmp_path / "once"), final_state(spec, tmp_path / "again")
    other = final_state(spec.model_copy(update={"seed": 4}), tmp_path / "other")
    setting = Setting.of(spec)
    built = setting.system(0)
    start = setting.start(built, setting.dynamics(built, 0), 0)
    assert torch.equal(once.x, again.x)
    assert not torch.equal(once.x, other.x)
    assert not torch.equal(once.x, start.x)
    assert not torch.equal(once.x[0], once.x[1])


@pytest.mark.parametrize("system", ["quadratic", "pspin", "cnn"])
def test_a_batch_of_all_terms_is_the_whole(system: str) -> None:
    """Energy and gradient from every term listed once equal those from all terms, in float64."""
    setting = Setting.of(load(tables(system, "sgd", run={"dtype": "float64"})))
    built = setting.system(0)
    state = setting.start(built, setting.dynamics(built, 0), 0)
    order = torch.randperm(built.terms, generator=torch.Generator().manual_seed(1)).to(state.x.device)
    listed, whole = built.gradient(state, order.expand(2, -1)), built.gradient(state)
    torch.testing.assert_close(listed.gradient, whole.gradient, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(listed.energy.double(), whole.energy.double(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(built.energy(state).double(), whole.energy.double(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("system", ["quadratic", "pspin", "cnn"])
def test_mini_batches_are_unbiased(system: str) -> None:
    """The mean over a partition of the terms into equal batches is the whole, exactly; so it is for energies of subsets."""
    setting = Setting.of(load(tables(system, "sgd", run={"dtype": "float64"})))
    built = setting.system(0)
    state = setting.start(built, setting.dynamics(built, 0), 0)
    size = next(b for b in (7, 5, 4, 3, 2) if built.terms % b == 0)
    order = torch.randperm(built.terms, generator=torch.Generator().manual_seed(1)).to(state.x.device).reshape(-1, size)
    parts = [built.gradient(state, rows.expand(2, -1)) for rows in order]
    whole = built.gradient(state)
    torch.testing.assert_close(torch.stack([p.gradient for p in parts]).mean(0), whole.gradient, rtol=1e-9, atol=1e-12)
    energies = torch.stack([built.energy(state, rows).double() for rows in order])
    torch.testing.assert_close(energies.mean(0), whole.energy.double(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("system", ["quadratic", "pspin", "cnn"])
def test_a_shared_start_is_one_start_and_noise_stays_own(system: str, tmp_path: Path) -> None:
    spec = load(tables(system, "langevin", ensemble={"replicas": 2, "start": "shared"}))
    setting = Setting.of(spec)
    built = setting.system(0)
    start = setting.start(built, setting.dynamics(built, 0), 0)
    assert torch.equal(start.x[0], start.x[1])
    end = final_state(spec, tmp_path / "run")
    assert not torch.equal(end.x[0], end.x[1])
