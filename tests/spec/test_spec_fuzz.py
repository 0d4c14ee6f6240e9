"""Random harm to a valid spec gives a Spec or a SpecError with a place in each line, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from glassyrun.registry import Registry
from glassyrun.spec.document import read_document
from glassyrun.spec.load import load_spec
from glassyrun.spec.model import Spec
from glassyrun.spec.problems import SpecError

BASE = {
    "seed": 1,
    "system": {
        "kind": "net",
        "width": 3,
        "extra": [{"kind": "digits", "count": 3}],
        "data": {"kind": "noisy", "of": {"kind": "digits"}},
    },
    "dynamics": {"kind": "walk", "temperature": 0.5},
    "schedule": {"horizon": 10, "t_w": [0, 1], "t": {"from": 1, "n": 3}, "time": {"per_decade": 3}},
    "ensemble": {"samples": 1, "replicas": 2, "start": "own"},
    "run": {"device": "cpu", "threads": 1},
    "observables": [{"kind": "reading"}, {"kind": "guard", "name": "g", "terms": 1}],
}
KEYS = ["kind", "n", "from", "to", "per_decade", "data", "of", "name", "terms", "horizon", "t", "glass", "", "é\n", "seed", "0"]
LEAVES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.sampled_from(["glass", "net", "walk", "digits", "reading", "", "cpu", "\x00", "x" * 300, "own"]),
    st.datetimes(),
    st.times(),
    st.just([]),
    st.just({}),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3), max_leaves=5
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of the document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in list(items) for place in ((value, key), *places(item))]


def copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


@st.composite
def harmed(draw: Any) -> dict[str, Any]:
    tables = copied(BASE)
    for _ in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from(places(tables) or [(tables, "seed")]))
        harm = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
        if harm == "replace":
            container[key] = draw(VALUES)
        elif harm == "remove":
            del container[key]
        elif isinstance(container, dict):
            container[draw(st.sampled_from(KEYS))] = container.pop(key) if harm == "rename" else draw(VALUES)
        else:
            container.append(draw(VALUES))
    return tables


def outcome(source: Any, registry: Registry, overrides: tuple[str, ...] = (), place: str = "spec") -> None:
    try:
        assert isinstance(load_spec(source, overrides, registry), Spec)
    except SpecError as error:
        told = str(error).splitlines()
    else:
        return
    assert told
    for line in told:
        assert re.match(rf"({re.escape(place)}(:\d+)*|--set .*?): \S", line), line


@settings(max_examples=600, deadline=None)
@given(tables=harmed())
def test_harmed_tables(tables: dict[str, Any], fakes: Registry) -> None:
    outcome(tables, fakes)


@settings(max_examples=300, deadline=None)
@given(tables=harmed(), data=st.data())
def test_harmed_text(tables: dict[str, Any], data: Any, fakes: Registry, tmp_path_factory: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "harmed.toml"
    content = bytearray(tomli_w.dumps(tables).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(bytes(content))
    outcome(file, fakes, place=str(file))


@settings(max_examples=300, deadline=None)
@given(
    overrides=st.lists(
        st.tuples(st.text(max_size=4) | st.sampled_from(["system.n", "observables.0", "schedule.t", "a.b"]), st.text(max_size=8)),
        max_size=3,
    )
)
def test_any_overrides(overrides: list[tuple[str, str]], fakes: Registry) -> None:
    outcome(BASE, fakes, tuple("=".join(pair) for pair in overrides))


def test_the_unharmed_spec_is_good(fakes: Registry, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(tomli_w.dumps(BASE))
    assert read_document(tmp_path / "x.toml").table == BASE
    assert isinstance(load_spec(tmp_path / "x.toml", registry=fakes), Spec)
