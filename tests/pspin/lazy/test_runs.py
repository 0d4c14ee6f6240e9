"""Runs whose disorder is drawn on the way: exact continuation, undisturbed by who looks, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.engine.test_resume import attempt, bytes_of
from tests.engine_tools import Crash, load

import glassyrun
from glassyrun import Context, Stream, api
from glassyrun_dynamics.quench import QuenchOptions
from glassyrun_pspin.lazy.system import LazyPSpin

QUENCH = {"kind": "quench", "scheme": "heun", "dt": 0.1}
HOT = {"kind": "langevin", "scheme": "adams", "dt": 0.1, "temperature": 0.4}
STRANG = {"kind": "langevin", "dt": 0.1, "temperature": 0.4}
PLAIN = ["msd", "overlap"]
AFTERWARDS = ["gradient_norm", "segment", "inherent", "response"]
OPTIONS: dict[str, dict[str, Any]] = {"inherent": {"dt": 0.1, "steps": 5}, "response": {"opposite": True}}


def tables(moves: dict[str, Any], kinds: list[str], n: float = 1e6, steps: int = 8, **changes: Any) -> dict[str, Any]:
    every = {"from": 0.0, "to": steps * 0.1, "n": steps // 2 + 1}
    return {
        "seed": 5,
        "system": {"kind": "pspin", "p": 3, "n": n, "disorder": "lazy"},
        "dynamics": moves,
        "schedule": {"horizon": steps * 0.1, "time": every, "t_w": [0.0, 0.2], "t": every},
        "ensemble": {"replicas": 2},
        "observables": [{"kind": kind, **OPTIONS.get(kind, {})} for kind in kinds],
    } | changes


def measured(source: dict[str, Any]) -> xr.Dataset:
    return glassyrun.run(source, quiet=True)


@pytest.mark.parametrize("gently", [True, False], ids=["stopped", "killed"])
@pytest.mark.parametrize(
    ("moves", "kinds", "n"),
    [
        (QUENCH, PLAIN, 1e6),
        (QUENCH, PLAIN + AFTERWARDS, float("inf")),
        (HOT, PLAIN + AFTERWARDS, 1e6),
        (STRANG, PLAIN, 40),
        (HOT, PLAIN, 30),
    ],
    ids=["quench", "limit", "thermal", "small", "spins"],
)
def test_interrupted_runs_end_with_the_same_bytes(
    moves: dict[str, Any], kinds: list[str], n: float, gently: bool, tmp_path: Path
) -> None:
    source = tables(moves, kinds, n, steps=12, run={"checkpoint_seconds": 1e-9})
    if n == 30:
        source["system"]["coordinates"] = "spins"
        source["observables"].append({"kind": "participation"})
    spec = load(source)
    assert attempt(spec, tmp_path / "whole", Crash())
    rounds = 1
    while not attempt(spec, tmp_path / "parts", Crash(after=3, gently=gently)):
        rounds += 1
        assert rounds < 50
    assert rounds > 2
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")


@pytest.mark.parametrize("moves", [QUENCH, HOT, STRANG], ids=["quench", "adams", "strang"])
def test_who_looks_on_leaves_no_trace(moves: dict[str, Any]) -> None:
    """Readings that look where the trajectory does not are taken when it is complete."""
    bare, watched = measured(tables(moves, PLAIN)), measured(tables(moves, [*AFTERWARDS[::-1], *PLAIN]))
    for name in ("energy", "msd", "overlap"):
        np.testing.assert_array_equal(bare[name], watched[name])
    assert bool(np.isfinite(watched.gradient_norm).all())
    assert watched.attrs["degrees_of_freedom"] == 1e6


def test_a_longer_horizon_gives_the_bits_of_one_go(tmp_path: Path) -> None:
    short, long = (tables(HOT, PLAIN, steps=steps) for steps in (6, 12))
    for source in (short, long):
        horizon = source["schedule"]["horizon"]
        source["schedule"] = {"horizon": horizon, "time": [0.0, 0.2, 0.6], "t_w": [0.0, 0.2], "t": [0.1, 0.3, 0.5]}
    api.run(short, tmp_path / "grown", quiet=True)
    api.run(long, tmp_path / "grown", quiet=True)
    api.run(long, tmp_path / "whole", quiet=True)
    for name in ("energy", "msd", "overlap"):
        grown, whole = (xr.open_dataset(tmp_path / place / "result.nc")[name] for place in ("grown", "whole"))
        np.testing.assert_array_equal(grown, whole)


def test_a_horizon_for_which_there_is_no_room_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    short, long = tables(QUENCH, PLAIN, steps=6), tables(QUENCH, PLAIN, steps=400)
    for source in (short, long):
        source["schedule"] = {"horizon": source["schedule"]["horizon"]}
    before = api.run(short, tmp_path / "run", quiet=True)
    with pytest.raises(glassyrun.Refusal, match=r"system\.axes = \d+ must be set"):
        api.run(long, tmp_path / "run", quiet=True)
    xr.testing.assert_identical(api.run(short, tmp_path / "run", quiet=True), before)


def test_a_failure_is_found_again_by_whoever_looks() -> None:
    """After a direction that could not be drawn nothing may be looked at: observables that go on without others would find nonsense."""
    context = Context("system", 0, 0, torch.device("cpu"), torch.float64)
    system = LazyPSpin({3: 1.0}, 1e6, context, room=4096, pivot_tolerance=1e-12)
    moves = QuenchOptions(dt=0.025, scheme="heun").build(context.child("dynamics"), system)
    state = system.initial([Stream("start/0", 0, 0)])
    start = state.copy()  # lies in the span, so that looking there draws nothing
    with pytest.raises(glassyrun.GlassyrunError, match="is too small") as first:
        moves.advance(system, state, 400)
    for look in (system.energy, system.gradient):
        for where in (state, start):
            with pytest.raises(glassyrun.GlassyrunError, match="is too small") as again:
                look(where)
            assert str(again.value) == str(first.value)


def test_a_planted_start_is_the_same_whoever_looks_first() -> None:
    """Without a reading at time 0 the first look is behind the first kick."""
    energies = []
    for times in ([0.0, 0.4], [0.4]):
        source = tables(STRANG, PLAIN, n=float("inf"))
        source["system"]["initial_temperature"] = 0.8
        source["schedule"] = {"horizon": 0.4, "time": times, "t_w": [0.0], "t": [0.4]}
        energies.append(measured(source).energy.sel(time=0.4).values)
    np.testing.assert_allclose(energies[0], energies[1], rtol=1e-9)
    np.testing.assert_allclose(energies[0][0, 0], energies[0][0, 1], rtol=1e-9)  # two replicas


def test_what_goes_on_from_a_run_does_not_know_who_looked_at_it(tmp_path: Path) -> None:
    source = tables(QUENCH, PLAIN, steps=6)
    ends = []
    for name, kinds in (("bare", PLAIN), ("watched", [*PLAIN, *AFTERWARDS])):
        first = source | {"observables": [{"kind": kind, **OPTIONS.get(kind, {})} for kind in kinds]}
        api.run(first, tmp_path / name, quiet=True)
        ends.append(api.run(source, tmp_path / f"{name}2", start_from=tmp_path / name, quiet=True).energy.values)
    np.testing.assert_array_equal(*ends)


def test_a_longer_run_begins_where_a_shorter_one_ended(tmp_path: Path) -> None:
    """With room for more axes."""
    api.run(tables(QUENCH, PLAIN, steps=6), tmp_path / "first", quiet=True)
    long = tables(QUENCH, PLAIN, steps=400)
    second = api.run(long, tmp_path / "second", start_from=tmp_path / "first", quiet=True)
    whole = measured(tables(QUENCH, PLAIN, steps=12))
    np.testing.assert_allclose(second.energy.values[..., 1], whole.energy.interp(time=0.6 + second.time.values[1]), atol=0.05)
    assert float(second.energy[0, 0, 0]) == pytest.approx(float(whole.energy.sel(time=0.6, method="nearest")[0, 0]), abs=1e-9)


def test_what_is_read_after_the_end_belongs_to_that_end(tmp_path: Path) -> None:
    for steps in (6, 12):
        source = tables(HOT, [*PLAIN, "gradient_norm"], steps=steps)
        source["schedule"] = {"horizon": source["schedule"]["horizon"]}
        if steps == 6:
            api.run(source, tmp_path / "run", quiet=True)
    with pytest.raises(glassyrun.Refusal, match="gradient_norm was read after the end of each trajectory"):
        api.run(source, tmp_path / "run", quiet=True)


def test_another_run_goes_on_in_the_same_disorder(tmp_path: Path) -> None:
    """A quench from the end of a quench goes on as if nothing had happened; with another seed it is refused."""
    source = tables(QUENCH, PLAIN, steps=6)
    api.run(source, tmp_path / "first", quiet=True)
    second = api.run(source, tmp_path / "second", start_from=tmp_path / "first", quiet=True)
    whole = measured(tables(QUENCH, PLAIN, steps=12))
    np.testing.assert_allclose(second.energy.values[..., -1], whole.energy.sel(time=1.2).values, rtol=1e-12)
    with pytest.raises(glassyrun.Refusal, match="that of another seed"):
        api.run(source | {"seed": 6}, tmp_path / "third", start_from=tmp_path / "first", quiet=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"diagonals": False}, "diagonals = false with disorder"),
        ({"couplings": "binary"}, "only Gaussian couplings"),
        ({"dilution": 2.0}, "dilution with disorder"),
        ({"n": 1e16}, "expected at most 1e"),
        ({"n": 10.5}, "expected a whole number"),
        ({"pivot_tolerance": 0.5}, "pivot_tolerance"),
        ({"direction_tolerance": -1.0}, "direction_tolerance"),
        ({"disorder": "full", "axes": 300}, "axes belongs to disorder"),
    ],
)
def test_what_has_no_meaning_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    source = tables(QUENCH, PLAIN)
    source["system"] |= changes
    with pytest.raises(glassyrun.GlassyrunError, match=sentence):
        load(source)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dynamics": {"kind": "sgd", "learning_rate": 0.1, "batch_size": 1}, "schedule": {"horizon": 9}}, "keeps no terms"),
        ({"dynamics": QUENCH | {"batch_size": 0.5}}, "keeps no terms"),
        ({"observables": [{"kind": "participation"}]}, "reads x component by component"),
        ({"run": {"dtype": "float32"}}, "needs 'float64'"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(glassyrun.GlassyrunError, match=sentence):
        measured(tables(QUENCH, PLAIN, n=1e12) | changes)


def test_a_thermal_run_that_does_not_fit_is_told_before() -> None:
    source = tables(STRANG, PLAIN, n=1e9)
    source["schedule"] = {"horizon": 5000.0}
    with pytest.raises(glassyrun.Refusal, match="steps fit"):
        measured(source)


def test_a_tolerance_that_is_too_small_is_told() -> None:
    source = tables(QUENCH | {"dt": 0.025}, PLAIN)
    source["system"] |= {"pivot_tolerance": 1e-12}
    source["schedule"] = {"horizon": 5.0}
    with pytest.raises(glassyrun.GlassyrunError, match="pivot_tolerance = 1e-12: is too small"):
        measured(source)


def test_fewer_spins_than_directions_are_exact_all_the_same() -> None:
    """N = 8: the frame fills the space, and all couplings are then drawn."""
    ds = measured(tables(STRANG, PLAIN, n=8, steps=40))
    assert bool(np.isfinite(ds.energy).all())
    assert float(ds.energy.min()) > -2.5
