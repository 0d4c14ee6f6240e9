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
    assert theory.overlap.dims == ("t_w", "t")
    for name in ("energy", "overlap", "msd"):
        difference = (simulated - theory)[name]
        assert difference.sizes == simulated[name].sizes  # whatever their number: no sample or replica is lost
        assert np.array_equal(np.isnan(difference), np.isnan(simulated[name]))
        assert (
            0 < np.abs(difference.mean(["sample", "replica"])).max() < (0.1 if name == "energy" else 0.5)
        )  # N = 64, two samples
    assert theory.attrs["complete"] == 1


def test_the_numbers_are_those_of_the_equations_with_their_errors(plugin):
    theory = run(plugin, dynamics={"kind": "langevin", "temperature": 0.5})
    best, _ = extrapolated(Equations({3: 1.0}, 0.5), 20, 0.05)
    assert np.abs(theory.energy - best.energy[[best.at(t) for t in theory.time.values]]).max() < 3e-5
    C = np.array([best.C[best.at(1 + t), best.at(1)] for t in theory.t.values])
    assert np.abs(theory.overlap.sel(t_w=1) - C).max() < 5e-5
    assert np.allclose(theory.msd, 2 * (1 - theory.overlap), equal_nan=True)
    found = solve({3: 1.0}, 0.5, np.inf, 20.0)
    assert float(theory.response.sel(t_w=5, t=5)) == pytest.approx(found.susceptibility(5.0, 5.0), abs=1e-9)
    assert np.allclose(theory.mu, 0.5 - 3 * theory.energy, atol=2e-4)
    assert (theory.overlap.sel(t=0) == 1).all()
    assert (theory.msd.sel(t=0) == 0).all()
    largest = {"energy": found.energy_error(theory.time.values).max(), "mu": found.mu_error(theory.time.values).max()}
    pairs = [(w, t) for w in theory.t_w.values for t in theory.t.values if 0 < t <= 20 - w]
    largest["overlap"] = found.correlation_error(*np.transpose(pairs)).max()
    largest["response"] = found.susceptibility_error(*np.transpose(pairs)).max()
    for name, error in largest.items():
        assert theory[name].attrs["error"] == pytest.approx(error, rel=0.06), name  # two digits
    assert theory.msd.attrs["error"] == pytest.approx(2 * largest["overlap"], rel=0.06)


def test_a_run_that_grows_has_the_errors_of_its_later_times(plugin, tmp_path):
    """E, mu and C are less well known later; what the shorter run said of them is not kept."""
    spec = {
        **SPEC,
        "dynamics": {"kind": "langevin", "temperature": 0.5},
        "schedule": {"horizon": 10, "t_w": [1], "t": [0, 2, 5]},
    }
    short = glassyrun.run(spec, tmp_path / "run", plugins=[plugin], quiet=True)
    grown = glassyrun.run(spec, tmp_path / "run", overrides=["schedule.horizon=30"], plugins=[plugin], quiet=True)
    fresh = glassyrun.run(spec, overrides=["schedule.horizon=30"], plugins=[plugin], quiet=True)
    for name in fresh.data_vars:
        assert grown[name].attrs["error"] == fresh[name].attrs["error"] >= short[name].attrs["error"]
    assert fresh.energy.attrs["error"] > short.energy.attrs["error"]


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
        ({"observables": [{"kind": "noise_response"}]}, "no thermal noise"),
        ({"system": {"initial_temperature": 0.59}, "dynamics": {"kind": "langevin", "temperature": 0.5}}, None),
    ],
)
def test_what_the_theory_cannot_do_is_one_sentence(plugin, tables, told):
    if told is None:
        assert run(plugin, **tables).energy.isel(time=0) == pytest.approx(-0.5 / 0.59, abs=1e-6)
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
