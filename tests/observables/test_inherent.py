"""Where a quench from x(t_w) ends, and the configurations that are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.engine_tools import final_state, load, tables
from tests.models import begin, context, dynamics, streams
from tests.networks.toy import any_module
from tests.observables.tools import normal, read

import glassyrun
from glassyrun import State, Tilted
from glassyrun_observables.inherent import InherentOptions
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import QuadraticOptions


def test_of_a_convex_energy_it_is_the_minimum() -> None:
    system = QuadraticOptions(n=5, terms=20, noise=0.3).build(context("system"))
    state = State(normal(1, 3, 5, scale=3.0))
    best, _, _, _ = np.linalg.lstsq(system.inputs.numpy(), system.targets.numpy())
    values = read(InherentOptions(steps=2000, dt=0.5), system, state)
    lowest = 0.5 * ((system.inputs.numpy() @ best - system.targets.numpy()) ** 2).mean()
    np.testing.assert_allclose(values["inherent_energy"], lowest, rtol=1e-10)
    np.testing.assert_allclose(values["inherent_distance"], ((state.x.numpy() - best) ** 2).mean(1), rtol=1e-9)


def test_of_a_subset_it_is_the_minimum_of_that() -> None:
    """Fewer terms than degrees of freedom can all be fitted: energy 0 of the subset, not of the whole."""
    system = QuadraticOptions(n=5, terms=20, noise=0.3).build(context("system"))
    state = State(normal(1, 1, 5))
    assert read(InherentOptions(steps=4000, dt=0.3, terms=3), system, state)["inherent_energy"].item() < 1e-6
    assert read(InherentOptions(steps=1000, dt=0.3), system, state)["inherent_energy"].item() > 1e-3


@pytest.mark.parametrize("name", ["pspin", "batch_norm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_quench_from_there(name: str, dtype: torch.dtype) -> None:
    """The same bits as the dynamics `quench` started at x(t_w), running statistics included; nothing of the run is touched."""
    glass = PSpinOptions(p=3, n=12).build(context("system", dtype=dtype))
    system = glass if name == "pspin" else any_module(name, dtype)
    state = begin(system, dynamics("sgd", system, momentum=0.5), 2)
    dynamics("sgd", system, learning_rate=0.05).advance(system, state, 2)
    before = state.copy()
    values = read(InherentOptions(steps=25, dt=0.05), system, state)
    assert torch.equal(state.x, before.x)
    assert state.step == before.step
    assert all(torch.equal(state.system[key], before.system[key]) for key in before.system)
    assert all(torch.equal(state.dynamics[key], before.dynamics[key]) for key in before.dynamics)
    end = state.copy()
    dynamics("quench", system, dt=0.05).advance(system, end, 25)
    assert np.array_equal(values["inherent_energy"], (system.energy(end).double() / system.energy_scale).numpy())
    moved = (end.x.double() - state.x.double()).square().mean(1).numpy()
    np.testing.assert_allclose(values["inherent_distance"], moved, rtol=1e-12)
    assert (moved > 0).all()
    if name == "pspin":
        assert (values["inherent_energy"] < (system.energy(state) / 12).numpy() - 0.1).all()


def test_a_field_is_part_of_the_energy() -> None:
    """H − h·x has another minimum."""
    base = QuadraticOptions(n=3, terms=20).build(context("system"))
    system = Tilted(base, torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64))
    state = base.initial(streams(1))
    plain, tilted = (read(InherentOptions(steps=2000, dt=0.3), s, state)["inherent_energy"].item() for s in (base, system))
    assert abs(plain - tilted) > 0.1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("system", ["quadratic", "pspin"])
def test_configurations_are_kept_to_the_bit(system: str, dtype: str, tmp_path: Path) -> None:
    """The displacement between any two of them is the one measured; the last one is where the run ended."""
    kinds = [{"kind": "configurations"}, {"kind": "msd"}]
    spec = tables(system, "sgd", steps=6, observables=kinds, run={"dtype": dtype})
    ds = glassyrun.run(spec, quiet=True)
    x = ds.configurations
    assert x.dims == ("sample", "replica", "t_w", "dof")
    assert x.dtype == dtype
    assert x.sizes["dof"] == ds.attrs["degrees_of_freedom"]
    assert np.array_equal(x[0, :, -1].values, final_state(load(spec), tmp_path / "run").x.cpu().numpy())
    for w in range(7):
        for lag in range(7 - w):
            moved = x[0, :, w + lag].values.astype(float) - x[0, :, w].values
            np.testing.assert_allclose((moved**2).mean(1), ds.msd[0, :, w, lag], rtol=1e-12, atol=1e-30)
