"""What tables say against each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from glassyrun.registry import Registry
from glassyrun.spec.load import load_spec

NET = '[system]\nkind = "net"\ndata = {kind = "digits"}\n[dynamics]\nkind = "walk"\ntemperature = 0\n[schedule]\nhorizon = 10\n'

IMPOSSIBLE = [
    ("time = [1, 3, 2]", "schedule.time.2: found 2.0 after 3.0, expected times that increase"),
    ("time = [1, 1]", "schedule.time.1: found 1.0 after 1.0, expected times that increase"),
    ("time = [1, 200]", "schedule.time.1: found 200.0, beyond the end of the run, expected at most the horizon, 100"),
    ("t_w = [-1]", "schedule.t_w.0: found -1, expected a number ≥ 0"),
    (
        "t = {to = 101, n = 2}",
        "schedule.t.to: found 101.0, beyond the end of the run, expected at most the horizon, 100, or nothing",
    ),
    ("t = {from = 5, to = 2, n = 2}", "schedule.t.from: found 5.0, which is later than to = 2.0, expected at most 2.0"),
    (
        "t = {from = 500, per_decade = 2}",
        "schedule.t.from: found 500.0, beyond the end of the run, expected at most the horizon, 100",
    ),
    (
        "t = {n = 90_000}\nt_w = {n = 90_000}",
        "schedule: asks for 90000 waiting times with 90000 lags each: about 8.1e+09 readings",
    ),
    ("t = {n = 200_000}", "schedule.t.n: found 200000, expected a whole number ≥ 1 and ≤ 100000"),
    ("t = {from = 1e-300, per_decade = 1000}", "schedule.t: asks for"),
]


@pytest.mark.parametrize(("grid", "told"), IMPOSSIBLE)
def test_impossible_grids(good: str, wrong: Callable[..., list[str]], grid: str, told: str) -> None:
    (line,) = wrong(good.replace("horizon = 100", f"{grid}\nhorizon = 100"))
    assert line.split(": ", 1)[1].startswith(told)
    assert line.startswith("x.toml:1")


@pytest.mark.parametrize(
    "grid", ["time = [0, 0.5, 100]", "t = {from = 100, to = 100, n = 1}", "t_w = {to = 100, per_decade = 1000}"]
)
def test_possible_grids(good: str, fakes: Registry, spec_file: Callable[[str], Path], grid: str) -> None:
    load_spec(spec_file(good.replace("horizon = 100", f"{grid}\nhorizon = 100")), registry=fakes)


def test_horizon_against_the_step(good: str, wrong: Callable[..., list[str]]) -> None:
    assert wrong(good, "schedule.horizon=0.05") == [
        "--set schedule.horizon=0.05: found 0.05, which is shorter than one step of 0.1, expected at least 0.1"
    ]
    assert "expected at most 1e+13 steps" in wrong(good, "schedule.horizon=1e300")[0]


def test_samples_of_a_system_without_disorder(wrong: Callable[..., list[str]]) -> None:
    assert wrong(f"{NET}[ensemble]\nsamples = 3\n") == [
        'x.toml:10: ensemble.samples: found 3, but this system "net" has no disorder and all samples would be the same, expected 1; '
        "ensemble.replicas gives several runs on one system"
    ]


def test_labels_must_differ(good: str, wrong: Callable[..., list[str]]) -> None:
    text = f'{good}[[observables]]\nkind = "reading"\n[[observables]]\nkind = "guard"\nname = "reading"\n'
    assert wrong(text) == [
        "x.toml:17: observables.1.name: the label 'reading' is taken by observables.0; give one of them another name, "
        'for example name = "reading_2"'
    ]


def test_checks_are_made_beside_mistakes_elsewhere(good: str, wrong: Callable[..., list[str]]) -> None:
    lines = wrong(good.replace("= 100", "= 100\nt = [300]"), "system.n=0", "dynamics.temperature=-1")
    assert len(lines) == 3
    assert any("schedule.t.0: found 300.0" in line for line in lines)


def test_a_default_observable_that_no_plugin_brings(good: str, fakes: Registry, spec_file: Callable[[str], Path]) -> None:
    registry = Registry({**fakes.entries, "observables": {}})
    with pytest.raises(Exception, match="a glass measures 'reading' by default, but no plugin brings it"):
        load_spec(spec_file(good), registry=registry)
