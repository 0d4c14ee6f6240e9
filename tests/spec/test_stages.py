"""`[[dynamics]]`: stages one after another, and what can be wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from glassyrun.describe import reference
from glassyrun.registry import Registry
from glassyrun.schema import spec_schema
from glassyrun.spec.dump import diff_specs, dump_spec
from glassyrun.spec.load import load_spec

Write = Callable[[str], Path]
Wrong = Callable[..., list[str]]

STAGES = """\
[system]
kind = "glass"
n = 64

[[dynamics]]
kind = "walk"
temperature = 0.5
until = 30

[[dynamics]]
kind = "leap"
dt = 0.5
until = 60

[[dynamics]]
kind = "walk"
temperature = 0.1

[schedule]
horizon = 100
"""
LAST = "temperature = 0.1"


@pytest.fixture
def staged(fakes: Registry, spec_file: Write) -> Callable[..., Any]:
    return lambda *overrides: load_spec(spec_file(STAGES), overrides, fakes)


def test_stages_are_read_in_their_order(staged: Callable[..., Any], good: str, fakes: Registry, spec_file: Write) -> None:
    stages = staged().stages
    assert [(stage.kind, stage.until) for stage in stages] == [("walk", 30), ("leap", 60), ("walk", None)]
    single = load_spec(spec_file(good), (), fakes)
    assert single.stages == (single.dynamics,)


def test_a_field_of_a_stage_is_set_by_its_number(staged: Callable[..., Any]) -> None:
    assert [stage.time_step for stage in staged("dynamics.1.dt=0.25").stages] == [0.1, 0.25, 0.1]
    assert staged("dynamics.2.temperature=0.3").stages[2].temperature == 0.3
    added = staged("dynamics.2.until=80", "dynamics.3.kind=leap").stages
    assert [stage.kind for stage in added] == ["walk", "leap", "walk", "leap"]
    changed = staged("dynamics.0.kind=leap", "dynamics.0.until=20").stages[0]
    assert (changed.kind, changed.until) == ("leap", 20)


@pytest.mark.parametrize(
    ("count", "words"), [(0, "has no stage;"), (1, "has one stage, dynamics.0;"), (2, "has 2 stages, dynamics.0 to dynamics.1;")]
)
def test_a_stage_is_never_added_by_mistake(wrong: Wrong, count: int, words: str) -> None:
    stages = ", ".join(['{ kind = "walk", temperature = 1, until = 30 }'] * count)
    text = f'dynamics = [{stages}]\n[system]\nkind = "glass"\nn = 4\n[schedule]\nhorizon = 60\n'
    told = wrong(text, f"dynamics.{count}.dt=0.2")
    assert f"--set dynamics.{count}.dt=0.2: the spec {words} give dynamics.{count}.kind=… first to add one" in told


def test_a_field_of_all_stages_at_once_is_refused(wrong: Wrong) -> None:
    assert wrong(STAGES, "dynamics.dt=0.2") == [
        "--set dynamics.dt=0.2: dynamics is an array of length 3, expected the number of an item behind it, such as dynamics.0.dt"
    ]
    assert wrong(STAGES, "dynamics.3.temperature=1") == [
        "--set dynamics.3.temperature=1: the spec has 3 stages, dynamics.0 to dynamics.2; give dynamics.3.kind=… first to add one"
    ]
    assert "ends before that" in wrong(STAGES, "dynamics.9.dt=1")[0]


FAULTS = [
    (
        "until = 60\n",
        "",
        "x.toml:10: dynamics.1.until: missing, expected the time at which dynamics.2 begins, a time between 30 and",
    ),
    (
        "until = 30\n",
        "",
        "x.toml:5: dynamics.0.until: missing, expected the time at which dynamics.1 begins, a time between 0 and",
    ),
    (
        "until = 60",
        "until = 20",
        "x.toml:13: dynamics.1.until: found 20, a stage that ends before it begins: dynamics.0 lasts until 30",
    ),
    ("until = 60", "until = 30", "x.toml:13: dynamics.1.until: found 30, a stage that ends before it begins"),
    (
        "until = 60",
        "until = 30.4",
        "x.toml:13: dynamics.1.until: found 30.4, which is less than one step of 0.5 after its stage begins at 30",
    ),
    (
        "until = 30",
        "until = 0.01",
        "x.toml:8: dynamics.0.until: found 0.01, which is less than one step of 0.1 after its stage begins at 0",
    ),
    (
        "until = 60",
        "until = 101",
        "x.toml:13: dynamics.1.until: found 101, beyond the end of the run, expected a time between 30 and",
    ),
    (
        "until = 60",
        "until = 100",
        "x.toml:13: dynamics.1.until: found 100, the end of the run, which leaves no time for dynamics.2",
    ),
    (
        LAST,
        f"{LAST}\nuntil = 90",
        "x.toml:18: dynamics.2.until: found 90, but the last stage ends at 100, expected 100; leave it out",
    ),
    (
        LAST,
        f"{LAST}\nuntil = 110",
        "x.toml:18: dynamics.2.until: found 110, but the last stage ends at 100, expected 100; leave it out",
    ),
    ("until = 60", "until = -1", "x.toml:13: dynamics.1.until: found -1, expected a number > 0"),
    ("until = 60", "until = inf", "x.toml:13: dynamics.1.until: found inf, expected a number > 0"),
    ("until = 60", 'until = "60"', 'x.toml:13: dynamics.1.until: found "60", expected a number > 0'),
    ("until = 60", "untill = 60", "x.toml:13: dynamics.1.untill: unknown field; did you mean 'until'?"),
    (
        "horizon = 100",
        "horizon = 60.05",
        "x.toml:20: schedule.horizon: found 60.05, which is less than one step of 0.1 after its stage",
    ),
    ('kind = "leap"', 'kind = "leep"', 'x.toml:11: dynamics.1.kind: unknown kind "leep", expected one of leap, walk'),
    ("dt = 0.5", "length = 11.0", "x.toml:10: dynamics.1: a leap of 11.0 is too long; take 10 or less"),
]


@pytest.mark.parametrize(("old", "new", "told"), FAULTS)
def test_what_is_wrong_with_a_stage_is_told_at_its_line(wrong: Wrong, old: str, new: str, told: str) -> None:
    assert old in STAGES
    lines = wrong(STAGES.replace(old, new))
    assert len(lines) == 1
    assert lines[0].startswith(told)


def test_the_last_stage_may_name_the_horizon(staged: Callable[..., Any]) -> None:
    assert staged("dynamics.2.until=100").stages[2].until == 100


def test_one_table_ends_with_the_run(good: str, wrong: Wrong, fakes: Registry, spec_file: Write) -> None:
    text = good.replace("temperature = 0.5", "temperature = 0.5\nuntil = 50")
    assert wrong(text) == [
        "x.toml:10: dynamics.until: found 50, but the run ends at 100, expected 100; leave it out, or make [[dynamics]] an array "
        "and add the stage that follows"
    ]
    assert load_spec(spec_file(text.replace("until = 50", "until = 100")), (), fakes).stages[0].until == 100


def test_no_stage_at_all(good: str, wrong: Wrong) -> None:
    (line,) = wrong(good, "dynamics=[]")
    assert line.startswith("--set dynamics=[]: found [], expected a table with a kind or an array of 1 to 1000 items")


def test_a_faulty_stage_hides_no_other_fault(wrong: Wrong) -> None:
    lines = wrong(STAGES.replace('kind = "leap"', 'kind = "leep"').replace("n = 64", "n = 1"), "dynamics.0.temperature=-1")
    assert len(lines) == 3


def test_a_dump_of_stages_loads_back(staged: Callable[..., Any], fakes: Registry) -> None:
    text = dump_spec(staged())
    again = load_spec(tomli.loads(text), registry=fakes)
    assert again == staged()
    assert dump_spec(again) == text


def test_stages_are_told_apart_by_their_number(staged: Callable[..., Any]) -> None:
    """Two of one kind, too: else a change in the first would hide behind the third."""
    assert diff_specs(staged(), staged("dynamics.0.temperature=0.7")) == [("dynamics.0.temperature", 0.5, 0.7)]
    assert diff_specs(staged(), staged("dynamics.2.temperature=0.7")) == [("dynamics.2.temperature", 0.1, 0.7)]


def test_the_schema_takes_one_table_and_an_array(good: str, fakes: Registry) -> None:
    schema = json.loads(json.dumps(spec_schema(fakes), allow_nan=False))
    validator = jsonschema.Draft202012Validator(schema)
    for text in (good, STAGES):
        validator.validate(tomli.loads(text))
    for text in (STAGES.replace("until = 60", 'until = "60"'), STAGES.replace("leap", "leep"), f"dynamics = []\n{good}"):
        table: dict[str, Any] = tomli.loads(text) if "dynamics = []" not in text else {**tomli.loads(good), "dynamics": []}
        assert not validator.is_valid(table)


def test_the_reference_tells_of_stages(fakes: Registry) -> None:
    text = reference(fakes)
    assert "[[dynamics]]" in text
    assert "| `until` | a number > 0 | optional |" in text
