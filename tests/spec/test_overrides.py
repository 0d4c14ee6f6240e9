"""`--set FIELD=VALUE`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from glassyrun.registry import Registry
from glassyrun.spec.load import load_spec

Write = Callable[[str], Path]
Wrong = Callable[..., list[str]]


@pytest.fixture
def overridden(good: str, fakes: Registry, spec_file: Write) -> Callable[..., object]:
    return lambda *overrides: load_spec(spec_file(good), overrides, fakes)


def test_values_are_toml_or_else_strings(overridden: Callable[..., object]) -> None:
    spec = overridden(
        "system.n=1_00",
        "run.device=cuda:0",
        "system.law = binary",
        'run.dtype="float64"',
        "schedule.t=[1, 2]",
        "system.planted=true",
    )
    assert (spec.system.n, spec.run.device, spec.system.law, spec.run.dtype) == (100, "cuda:0", "binary", "float64")
    assert spec.schedule.t == [1.0, 2.0]
    assert spec.system.planted is True


def test_the_last_word_counts(overridden: Callable[..., object]) -> None:
    assert overridden("system.n=5", "system.n=6").system.n == 6


def test_tables_are_made_and_array_elements_reached_by_index(overridden: Callable[..., object]) -> None:
    spec = overridden("observables.0.kind=reading", "observables.0.terms=3", "observables.1.kind=guard", "observables.1.name=g")
    assert [(o.label, o.terms) for o in spec.observables] == [("reading", 3), ("g", None)]
    assert overridden("system.mixture.3=0.5", "system.mixture.4=1.0").system.mixture == {"3": 0.5, "4": 1.0}
    assert overridden("schedule.t_w={to = 50, n = 3}", "schedule.t_w.to=40").schedule.t_w.to == 40


def test_a_change_of_kind_drops_what_the_file_says_of_the_old_one(
    overridden: Callable[..., object], good: str, wrong: Wrong
) -> None:
    spec = overridden("dynamics.kind=leap", "dynamics.length=2.0")
    assert (spec.dynamics.kind, spec.dynamics.length) == ("leap", 2.0)
    assert wrong(good, "dynamics.kind=leap", "dynamics.temperature=2.0") == [
        "--set dynamics.temperature=2.0: unknown field, expected one of kind, until, dt, length"
    ]
    assert wrong(good.replace("temperature", "temprature"), "dynamics.kind=walk")[0].endswith(
        "unknown field; did you mean 'temperature'?"
    )


BAD = {
    "system.n": "--set system.n: no '=', expected FIELD=VALUE, for example system.n=512",
    "=3": "--set =3: no field, expected a dotted name such as system.n",
    "system..n=3": "--set system..n=3: not a field name, expected a dotted name such as system.n or observables.0.name",
    "a b=3": "--set a b=3: not a field name",
    "system.n=[1": "--set system.n=[1: not a valid TOML value: unclosed array",
    "system.n=" + "[" * 99: "--set system.n=[",
    "system.n.x=3": "--set system.n.x=3: system.n is 64, and nothing is below it",
    "system.temprature=3": "--set system.temprature=3: unknown field",
    "dynamics.temperatur=3": "--set dynamics.temperatur=3: unknown field; did you mean 'temperature'?",
    "run.dtype=float16": '--set run.dtype=float16: found "float16", expected "float32" or "float64"; did you mean',
    "observables.1.kind=reading": "--set observables.1.kind=reading: observables: found a table with 1, expected an array",
    "schedule.horizon=1\nb=2": '--set schedule.horizon=1 b=2: found "1\\nb=2", expected a number > 0',
    "\n=3": "--set =3: no field",
}


@pytest.mark.parametrize("override", BAD)
def test_what_is_wrong_with_an_override_is_told_at_it(good: str, wrong: Wrong, override: str) -> None:
    (line,) = wrong(good, override)
    assert line.startswith(BAD[override])


def test_indices_beyond_the_array(good: str, wrong: Wrong) -> None:
    text = good + '[[observables]]\nkind = "reading"\n'
    assert wrong(text, "observables.5.name=x") == [
        "--set observables.5.name=x: observables ends before that, expected an index up to 1, which adds one"
    ]
    assert wrong(text, "observables.first.name=x")[0].startswith(
        "--set observables.first.name=x: observables is an array of length 1, expected the number of an item behind it"
    )


def test_places_follow_what_an_override_replaced(good: str, wrong: Wrong) -> None:
    text = good.replace("horizon = 100", "horizon = 100\nt = {from = 3, to = 5, n = -1}")
    assert wrong(text)[0].startswith("x.toml:13: schedule.t.n")
    assert wrong(text, "schedule.t={n = 0}")[0].startswith("--set schedule.t={n = 0}: schedule.t.n: found 0")
    assert wrong(text, "schedule.t.n=0")[0].startswith("--set schedule.t.n=0: found 0")
