"""A Spec written out loads back to an equal one; what two specs differ in; what a run is called."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from glassyrun.errors import Refusal
from glassyrun.registry import Registry
from glassyrun.spec.dump import diff_specs, dump_spec
from glassyrun.spec.load import load_spec
from glassyrun.spec.names import run_name

positive = st.floats(min_value=1e-3, max_value=1.0)
optional_grid = st.one_of(
    st.lists(st.floats(0, 10), min_size=1, max_size=4, unique=True).map(sorted),
    st.fixed_dictionaries({"per_decade": st.floats(0.1, 50)}, optional={"from": st.floats(0, 1), "to": st.floats(2, 10)}),
    st.fixed_dictionaries({"n": st.integers(1, 50)}, optional={"from": st.floats(0, 1), "to": st.floats(2, 10)}),
)
glass = st.fixed_dictionaries(
    {"kind": st.just("glass"), "n": st.integers(2, 1000)},
    optional={
        "size": st.one_of(st.floats(1e-300, allow_nan=False), st.just(math.inf)),
        "mixture": st.dictionaries(st.text(min_size=1, max_size=4), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        "shape": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
        "share": st.one_of(st.integers(1, 9), st.floats(0.1, 1)),
        "fields": st.lists(st.fixed_dictionaries({"strength": st.floats(-9, 9)}, optional={"along": st.just("y")}), max_size=2),
        "planted": st.booleans(),
    },
)
digits = st.fixed_dictionaries({"kind": st.just("digits")}, optional={"count": st.integers(1, 9)})
noisy = st.fixed_dictionaries({"kind": st.just("noisy"), "of": digits}, optional={"level": st.floats(0, 1)})
net = st.fixed_dictionaries({"kind": st.just("net"), "data": digits | noisy}, optional={"extra": st.lists(noisy, max_size=2)})
walk = st.fixed_dictionaries({"kind": st.just("walk"), "temperature": st.floats(0, 5)}, optional={"dt": positive})
name = st.from_regex(r"[a-z][a-z0-9_]{1,6}", fullmatch=True)
tables = st.fixed_dictionaries(
    {
        "system": glass | net,
        "dynamics": walk,
        "schedule": st.fixed_dictionaries({"horizon": st.floats(10, 1e6)}, optional={"time": optional_grid, "t": optional_grid}),
    },
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "ensemble": st.fixed_dictionaries({}, optional={"replicas": st.integers(1, 9), "start": st.just("shared")}),
        "observables": st.lists(name, unique=True, max_size=3).map(lambda names: [{"kind": "reading", "name": n} for n in names]),
    },
)


@settings(max_examples=200, deadline=None)
@given(tables=tables)
def test_a_dumped_spec_loads_back_equal(tables: dict[str, Any], fakes: Registry) -> None:
    spec = load_spec(tables, registry=fakes)
    text = dump_spec(spec)
    again = load_spec(tomli.loads(text), registry=fakes)
    assert again == spec
    assert dump_spec(again) == text
    assert diff_specs(again, spec) == []


def test_a_dump_has_the_names_of_the_file_and_no_none(good: str, fakes: Registry, spec_file: Callable[[str], Path]) -> None:
    dumped = tomli.loads(dump_spec(load_spec(spec_file(good), ["schedule.t={from = 1, n = 3}"], fakes)))
    assert dumped["schedule"]["t"] == {"from": 1.0, "n": 3}
    assert dumped["observables"] == [{"kind": "reading"}, {"kind": "guard"}]
    assert "threads" not in dumped["run"]


def test_none_that_is_not_the_default_cannot_be_written(good: str, fakes: Registry, spec_file: Callable[[str], Path]) -> None:
    spec = load_spec(spec_file(good), registry=fakes)
    with pytest.raises(Refusal, match="seed is None"):
        dump_spec(spec.model_copy(update={"seed": None}))


def test_differences_are_named_by_field(good: str, fakes: Registry, spec_file: Callable[[str], Path]) -> None:
    observables = '[[observables]]\nkind = "reading"\n[[observables]]\nkind = "reading"\nname = "b"\n'
    old = load_spec(spec_file(good + observables), registry=fakes)
    new = load_spec(
        spec_file(good + observables), ["system.n=65", "observables.1.terms=3", "schedule.t=[1]", "run.threads=2"], fakes
    )
    found = diff_specs(old, new)
    expected = [
        ("system.n", 64, 65),
        ("schedule.t.from", 0.0, None),
        ("schedule.t.per_decade", 8.0, None),
        ("schedule.t", None, [1.0]),
        ("observables.b.terms", None, 3),
        ("run.threads", None, 2),
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert diff_specs(tomli.loads(dump_spec(old)), old) == []
    swapped = old.model_copy(update={"observables": old.observables[::-1]})
    assert diff_specs(old, swapped) == []


def test_names_of_runs() -> None:
    assert run_name("specs/pspin3.toml") == "pspin3"
    assert run_name(Path("specs/pspin3.toml"), ["system.n = 512"]) == "pspin3,system.n=512"
    assert run_name("a.toml", ["b=1", "a=2", "b=3"]) == "a,a=2,b=3"
    assert run_name("a.toml", ["s={n = 1}", "s.n=2"]) != run_name("a.toml", ["s.n=2", "s={n = 1}"])


override = st.tuples(st.sampled_from(["a", "b.c", "a.x"]), st.text("12 ,=/.\"'[]é~\n", max_size=5)).map("=".join)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["x", "x,a=1", "x~1", "ü", "..", "-x"]), st.lists(override, max_size=3)), min_size=2, max_size=2
    )
)
def test_two_variants_never_share_a_name_and_names_are_safe(variants: list[tuple[str, list[str]]]) -> None:
    def meaning(stem: str, overrides: list[str]) -> object:
        pairs = [tuple(part.strip() for part in text.split("=", 1)) for text in overrides]
        nested = any(other.startswith(f"{field}.") for field, _ in pairs for other, _ in pairs)
        return stem, pairs if nested else sorted(dict(pairs).items())

    (one, two), names = variants, [run_name(f"{stem}.toml", overrides) for stem, overrides in variants]
    assert (names[0] == names[1]) == (meaning(*one) == meaning(*two))
    for made in names:
        assert len(made) <= 120
        assert not set(made) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._,=+-~")
        assert not made.startswith((".", "-"))


def test_long_names_are_cut_and_stay_apart() -> None:
    one, two = (run_name("x.toml", [f"a={'1' * 300}{end}"]) for end in "12")
    assert one != two
    assert len(one) == len(two) == 120
