"""The JSON Schema agrees with the loader."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from glassyrun.describe import reference
from glassyrun.registry import Registry
from glassyrun.schema import spec_schema
from glassyrun.spec.load import load_spec
from glassyrun.spec.problems import SpecError

SYSTEM = 'system = {kind = "glass", n = 8}\n'
NET = 'system = {kind = "net", data = {kind = "noisy", of = {kind = "digits", count = 3}}}\n'
DYNAMICS = 'dynamics = {kind = "walk", temperature = 1}\n'
SCHEDULE = "schedule = {horizon = 10}\n"
REST = DYNAMICS + SCHEDULE
VALID = [
    SYSTEM + REST,
    NET + REST,
    SYSTEM + DYNAMICS + "schedule = {horizon = 1.5, t = [0, 1], t_w = {per_decade = 2}, time = {from = 0, to = 1, n = 2}}",
    SYSTEM + REST + 'observables = [{kind = "reading", terms = 3, name = "a"}, {kind = "guard"}]',
    SYSTEM + REST + 'run = {device = "cuda:1", threads = 2}\nensemble = {start = "shared"}',
    'system = {kind = "glass", n = 8, size = 2.0, mixture = {3 = 1.0}, shape = [1], share = 0.5, fields = [{strength = 1}]}\n'
    + REST,
]
INVALID = [
    "",
    SYSTEM + DYNAMICS,
    SYSTEM.replace("8", "1") + REST,
    SYSTEM.replace("8", '"8"') + REST,
    SYSTEM.replace(", n = 8", "") + REST,
    SYSTEM.replace('kind = "glass", ', "") + REST,
    SYSTEM.replace("glass", "walk") + REST,
    SYSTEM.replace("n = 8", "n = 8, m = 2") + REST,
    SYSTEM.replace("n = 8", 'n = 8, law = "other"') + REST,
    SYSTEM.replace("n = 8", "n = 8, share = 1.5") + REST,
    SYSTEM.replace("n = 8", "n = 8, fields = [{}]") + REST,
    NET.replace("noisy", "nosy") + REST,
    NET.replace("digits", "glass") + REST,
    NET.replace("count = 3", "count = 0") + REST,
    SYSTEM + REST + 'observables = [{kind = "glass"}]',
    SYSTEM + REST + 'observables = [{kind = "guard", name = "A"}]',
    SYSTEM + REST + 'run = {device = "gpu"}',
    SYSTEM + REST + "seed = -1",
    SYSTEM + REST + "sede = 1",
    SYSTEM + DYNAMICS + "schedule = {horizon = 0}",
    SYSTEM + DYNAMICS + "schedule = {horizon = 1, t = {}}",
    SYSTEM + DYNAMICS + "schedule = {horizon = 1, t = {n = 2, per_decade = 2}}",
    SYSTEM + DYNAMICS + "schedule = {horizon = 1, t = []}",
]


@pytest.fixture(scope="module")
def validator(fakes: Registry) -> Any:
    schema = json.loads(json.dumps(spec_schema(fakes), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("text", VALID)
def test_what_loads_passes(text: str, validator: Any, fakes: Registry) -> None:
    load_spec(tomli.loads(text), registry=fakes)
    validator.validate(tomli.loads(text))


@pytest.mark.parametrize("text", INVALID)
def test_what_does_not_load_fails(text: str, validator: Any, fakes: Registry) -> None:
    with pytest.raises(SpecError):
        load_spec(tomli.loads(text), registry=fakes)
    assert not validator.is_valid(tomli.loads(text))


def test_kinds_are_completed_with_their_text(validator: Any) -> None:
    definitions = validator.schema["$defs"]
    alternatives = {reference["$ref"].rpartition("/")[2] for reference in definitions["DatasetOptions"]["oneOf"]}
    assert alternatives == {"DigitsOptions", "NoisyOptions"}
    kind = definitions["DigitsOptions"]["properties"]["kind"]
    assert (kind["const"], kind["description"]) == ("digits", "Fake digits.")
    assert validator.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_installed_plugins_have_a_schema() -> None:
    schema = spec_schema(Registry.installed())
    jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(schema, allow_nan=False)))
    assert '"null"' not in json.dumps(schema)
    assert ": null" not in json.dumps(schema)


SHIPPED = sorted((Path(__file__).parents[2] / "specs").glob("*.toml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_specs_load_and_fit_the_schema(file: Path) -> None:
    registry = Registry.installed()
    load_spec(file, registry=registry)
    jsonschema.Draft202012Validator(spec_schema(registry)).validate(tomli.loads(file.read_text()))


def test_the_reference_has_every_option_in_whole_tables(fakes: Registry) -> None:
    text = reference(fakes)
    for told in ("### `glass`", "### `noisy`", "## `[schedule]`", "| `per_decade` | a number > 0 and ≤ 1000 | required |"):
        assert told in text
    assert '| `law` | "gaussian" or "binary" | "gaussian" | law of a coupling |' in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    for title in ("A fake glass.", "A field along one direction.", "| `strength` | a number | required |"):
        assert title in text
