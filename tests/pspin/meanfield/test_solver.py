"""The theory as a Solver of a spec: variables, grids, errors and refusals."""

from __future__ import annotations

import numpy as np
import pytest

import glassyrun
from glassyrun import Refusal
from glassyrun_pspin.meanfield import extrapolated, solve
from glassyrun_pspin.meanfield.equations import Equations

PLUGIN = '''
from typing import Literal
import glassyrun
from glassyrun import Footprint
from glassyrun_pspin.meanfield.solver import MeanField
from glassyrun_pspin.options import PSpinOptions


class LimitOptions(PSpinOptions):
    """N to infinity."""

    kind: Literal["limit"] = "limit"

    def footprint(self, context):
        return Footprint(2, 0, 0)

    def solver(self):
        return MeanField()


@glassyrun.hookimpl
def glassyrun_systems():
    return [LimitOptions]
'''
SPEC = {
    "system": {"kind": "limit", "n": 64},
    "dynamics": {"kind": "quench", "dt": 0.1},
    "schedule": {"horizon": 20, "t_w": [0, 1, 5], "t": [0, 0.5, 5, 15]},
    "ensemble": {"samples": 2, "replicas": 3},
}


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "limit.py"
    path.write_text(PLUGIN)
    return path


def run(plugin, changes=(), **tables):
    spec = {
        **SPEC,
        **{name: {**SPEC.get(name, {}), **table} if isinstance(table, dict) else table for name, table in tables.items()},
    }
    return glassyrun.run(spec, overrides=changes, plugins=[plugin], quiet=True)


def test_the_dataset_has_the_grids_of_the_spec_and_subtracts_from_a_simulation(plugin):
    theory = run(plugin)
    simulated = run(plugin, system={"kind": "pspin"})
    assert set(theory.data_vars) == {"energy", "mu", "overlap", "overlap_normalised", "msd", "response"}
    assert theory.overlap.dims == ("sample", "replica", "t_w", "t")
    for name in ("energy", "overlap", "msd"):
        difference = simulated[name] - theory[name]
        assert difference.sizes == simulated[name].sizes
        assert np.array_equal(np.isnan(difference), np.isnan(simulated[name]))
        assert (
            0 < np.abs(difference.mean(["sample", "replica"])).max() < (0.1 if name == "energy" else 0.5)
        )  # N = 64, two samples
    assert theory.attrs["complete"] == 1


def test_the_numbers_are_those_of_the_equations_with_their_errors(plugin):
    theory = run(plugin, dynamics={"kind": "langevin", "temperature": 0.5}).isel(sample=1, replica=2)
    best, _ = extrapolated(Equations({3: 1.0}, 0.5), 20, 0.05)
    assert np.abs(theory.energy - best.energy[[best.at(t) for t in theory.time.values]]).max() < 3e-5
    C = np.array([best.C[best.at(1 + t), best.at(1)] for t in theory.t.values])
    assert np.abs(theory.overlap.sel(t_w=1) - C).max() < 5e-5
    assert np.allclose(theory.msd, 2 * (1 - theory.overlap), equal_nan=True)
    found = solve({3: 1.0}, 0.5, np.inf, 20.0)
    assert float(theory.response.sel(t_w=5, t=5)) == pytest.approx(found.susceptibility(5.0, 5.0), abs=1e-9)
    for name in theory.data_vars:
        assert 0 < float(theory[name].attrs["error"]) < 3e-4


def test_a_planted_start_and_a_mixture_are_read_from_the_system(plugin):
    theory = run(
        plugin,
        system={"mixture": {"3": 1.0, "4": 0.5}, "initial_temperature": 1.0},
        dynamics={"kind": "langevin", "temperature": 1.0},
    )
    assert np.abs(theory.energy + 0.5 * 1.25).max() < 1e-5


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"dynamics": {"kind": "sgd", "learning_rate": 0.1, "dt": None}}, "discretises no Langevin equation"),
        ({"dynamics": {"batch_size": 0.5}}, "dynamics.batch_size: .* no mini-batches"),
        ({"dynamics": {"kind": "langevin", "temperature": 0.1, "ramp": {"start": 1.0, "until": 5.0}}}, "no a changing|changing"),
        ({"observables": [{"kind": "gradient_norm"}]}, 'does not know "gradient_norm"'),
        ({"system": {"initial_temperature": 0.59}, "dynamics": {"kind": "langevin", "temperature": 0.5}}, None),
    ],
)
def test_what_the_theory_cannot_do_is_one_sentence(plugin, tables, told):
    if told is None:
        assert run(plugin, **tables).energy.isel(time=0, sample=0, replica=0) == pytest.approx(-0.5 / 0.59, abs=1e-6)
        return
    if tables.get("dynamics", {}).get("kind") == "sgd":
        spec = {**SPEC, "dynamics": {"kind": "sgd", "learning_rate": 0.1}}
        with pytest.raises(Refusal, match=told):
            glassyrun.run(spec, plugins=[plugin], quiet=True)
        return
    with pytest.raises(Refusal, match=told):
        run(plugin, **tables)


def test_several_stages_are_refused(plugin):
    stages = [{"kind": "langevin", "temperature": 0.5, "until": 5}, {"kind": "quench"}]
    with pytest.raises(Refusal, match="found 2 stages"):
        run(plugin, dynamics=stages)
