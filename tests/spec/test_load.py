"""Every mistake of a spec is named, in one go, at its place."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glassyrun.registry import Registry
from glassyrun.spec.load import load_spec
from glassyrun.spec.problems import MOST_PROBLEMS, SpecError

Wrong = Callable[..., list[str]]
Write = Callable[[str], Path]


def change(good: str, old: str, new: str) -> str:
    """The good spec with a mistake; a table that is given in another way is left out."""
    assert old in good
    for table in ("system", "schedule"):
        if new.startswith(f"{table} ="):
            good = re.sub(rf"\[{table}\]\n([a-z]+ = .*\n)+", "", good)
    return good.replace(old, new)


def test_a_good_spec_is_resolved(good: str, fakes: Registry, spec_file: Write) -> None:
    spec = load_spec(spec_file(good), registry=fakes)
    assert (spec.seed, spec.system.kind, spec.system.n, spec.dynamics.temperature) == (3, "glass", 64, 0.5)
    assert [observable.kind for observable in spec.observables] == ["reading", "guard"]
    assert spec.schedule.horizon == 100.0
    assert spec.schedule.time.per_decade == 10


def test_named_observables_replace_the_default_but_not_what_is_always_measured(
    good: str, fakes: Registry, spec_file: Write
) -> None:
    text = good + '[[observables]]\nkind = "reading"\nname = "other"\n'
    spec = load_spec(spec_file(text), registry=fakes)
    assert [observable.label for observable in spec.observables] == ["other", "guard"]


MISTAKES = [
    ("seed = 3", "sede = 3", "x.toml:1: sede: unknown field; did you mean 'seed'?"),
    ("temperature", "Temperature", "x.toml:9: dynamics.Temperature: unknown field; did you mean 'temperature'?"),
    (
        "n = 64",
        "n = 64\nzzzz = 1",
        "x.toml:6: system.zzzz: unknown field, expected one of kind, n, size, law, mixture, shape, share,",
    ),
    ('"glass"', '"glas"', "x.toml:4: system.kind: unknown kind \"glas\", expected one of glass, net; did you mean 'glass'?"),
    (
        '"glass"',
        '"walk"',
        "x.toml:4: system.kind: unknown kind \"walk\", expected one of glass, net; 'walk' is one of the dynamics",
    ),
    ('"glass"', "7", "x.toml:4: system.kind: found 7, expected one of glass, net"),
    ('kind = "glass"\n', "", "x.toml:3: system.kind: missing, expected one of glass, net"),
    ("n = 64", "n = -3", "x.toml:5: system.n: found -3, expected a whole number ≥ 2 and ≤ 1000"),
    ("n = 64", "n = true", "x.toml:5: system.n: found true, expected a whole number ≥ 2 and ≤ 1000"),
    (
        "n = 64",
        "n = 64.0",
        "x.toml:5: system.n: found 64.0, expected a whole number ≥ 2 and ≤ 1000; write 64, without the decimal point",
    ),
    ("n = 64", 'n = "64"', 'x.toml:5: system.n: found "64", expected a whole number ≥ 2 and ≤ 1000; write it without quotes'),
    ("n = 64", "n = 1979-05-27", "x.toml:5: system.n: found 1979-05-27, expected a whole number ≥ 2 and ≤ 1000"),
    ("n = 64", "n = [1, 2]", "x.toml:5: system.n: found [1, 2], expected a whole number ≥ 2 and ≤ 1000"),
    ("n = 64", "n = {a = 1}", "x.toml:5: system.n: found a table with a, expected a whole number ≥ 2 and ≤ 1000"),
    ("n = 64", f"n = {2**63}", f"x.toml:5: system.n: found {2**63}, expected an integer of at most 64 bits, as TOML has them"),
    ("n = 64\n", "", "x.toml:3: system.n: missing, expected a whole number ≥ 2 and ≤ 1000"),
    (
        "n = 64",
        'n = 64\nlaw = "gausian"',
        'x.toml:6: system.law: found "gausian", expected "gaussian" or "binary"; did you mean \'gaussian\'?',
    ),
    ("n = 64", "n = 64\nshare = 0.0", "x.toml:6: system.share: found 0.0, expected a whole number ≥ 1 or a number > 0 and ≤ 1"),
    ("n = 64", "n = 64\nshape = [1,\n  'a']", 'x.toml:7: system.shape.1: found "a", expected a whole number'),
    ("n = 64", "n = 64\nmixture.3 = 'a'", 'x.toml:6: system.mixture.3: found "a", expected a number'),
    ("n = 64", "n = 64\nplanted = 1", "x.toml:6: system.planted: found 1, expected true or false"),
    (
        "n = 64",
        "n = 64\nlaw = 'binary'\nmixture.3 = 1.0",
        "x.toml:3: system: a mixture has Gaussian couplings; leave out law or mixture",
    ),
    ("n = 64", "n = 64\n[[system.fields]]\n", "x.toml:6: system.fields.0.strength: missing, expected a number"),
    (
        "n = 64",
        "n = 64\n[[system.fields]]\nstrength = 1.0\nalon = 'x'",
        "x.toml:8: system.fields.0.alon: unknown field; did you mean 'along'?",
    ),
    ("0.5", "nan", "x.toml:9: dynamics.temperature: found nan, expected a number ≥ 0; only finite numbers have a meaning here"),
    ('"walk"\ntemperature = 0.5', '"leap"\nlength = 11.0', "x.toml:7: dynamics: a leap of 11.0 is too long; take 10 or less"),
    ("[schedule]\nhorizon = 100", "", "x.toml: schedule: missing, expected a table with horizon, time, t_w, t"),
    ("seed = 3\n", "schedule = 3\n", "x.toml:1: schedule: found 3, expected a table with horizon, time, t_w, t"),
    (
        "= 100",
        "= 100\n[run]\ndevice = 'gpu'",
        'x.toml:14: run.device: found "gpu", expected a string that matches ^(auto|cpu|cuda(:\\d{1,3})?)$',
    ),
    ("= 100", "= 100\nt = {}", "x.toml:13: schedule.t: found an empty table, expected 'per_decade' or 'n' in it"),
    (
        "= 100",
        "= 100\nt = {per_decad = 3}",
        "x.toml:13: schedule.t: found a table with per_decad, expected 'per_decade' or 'n' in it; per_decad: did you mean",
    ),
    ("= 100", "= 100\nt = {per_decade = 3, n = 3}", "x.toml:13: schedule.t: has 'per_decade' and 'n', expected one of them"),
    ("= 100", "= 100\nt = {from = -1, n = 3}", "x.toml:13: schedule.t.from: found -1, expected a number ≥ 0"),
    (
        "= 100",
        "= 100\nt = 3",
        "x.toml:13: schedule.t: found 3, expected an array of 1 to 100000 items (each item a number ≥ 0), a table with from, to,",
    ),
    ("= 100", "= 100\nt = [1, nan]", "x.toml:13: schedule.t.1: found nan, expected a number ≥ 0; only finite numbers"),
    (
        "= 100",
        "= 100\n[[observables]]\nkind = 'readin'",
        'x.toml:14: observables.0.kind: unknown kind "readin", expected one of guard, reading; did you',
    ),
    (
        "= 100",
        "= 100\n[observables]\nkind = 'reading'",
        "x.toml:13: observables: found a table with kind, expected an array of at most 1000 items (each item a table with a kind)",
    ),
    ("seed = 3\n", "system = 'glass'\n", 'x.toml:1: system: found "glass", expected a table with a kind'),
]


def test_a_missing_field_is_explained(good: str, wrong: Wrong) -> None:
    assert wrong(change(good, "n = 64\n", "")) == [
        "x.toml:3: system.n: missing, expected a whole number ≥ 2 and ≤ 1000; it is the number of spins"
    ]


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES)
def test_a_mistake_gives_its_sentence(good: str, wrong: Wrong, old: str, new: str, line: str) -> None:
    lines = wrong(change(good, old, new))
    assert any(found.startswith(line) for found in lines), "\n".join(lines)
    assert len(lines) == 1, "\n".join(lines)


def test_all_mistakes_in_one_go_and_in_the_order_of_the_file(good: str, wrong: Wrong) -> None:
    text = change(good, "n = 64", "n = 1\nlaw = 3")
    text = change(text, "temperature = 0.5", "temperatur = 0.5").replace("100", "-1\nt = {}") + "[run]\nthreads = 0\n[x]\n"
    places = [line.split(": ")[:2] for line in wrong(text, "seed=-1")]
    assert places == [
        ["x.toml:5", "system.n"],
        ["x.toml:6", "system.law"],
        ["x.toml:10", "dynamics.temperatur"],
        ["x.toml:13", "schedule.horizon"],
        ["x.toml:14", "schedule.t"],
        ["x.toml:16", "run.threads"],
        ["x.toml:17", "x"],
        ["--set seed=-1", "found -1, expected a whole number ≥ 0 and < 2^63"],
    ]


def test_nested_data_sets_are_found_by_kind(good: str, fakes: Registry, spec_file: Write, wrong: Wrong) -> None:
    net = change(
        good,
        'kind = "glass"\nn = 64',
        'kind = "net"\n[system.data]\nkind = "noisy"\n[system.data.of]\nkind = "digits"\ncount = 7',
    )
    spec = load_spec(spec_file(net), registry=fakes)
    assert spec.system.data.of.count == 7
    assert wrong(net.replace("digits", "digit")) == [
        "x.toml:8: system.data.of.kind: unknown kind \"digit\", expected one of digits, noisy; did you mean 'digits'?"
    ]
    assert wrong(net.replace("count", "cuont").replace("[system.data]", "[system.data]\nlevel = 2.0")) == [
        "x.toml:6: system.data.level: found 2.0, expected a number ≥ 0 and ≤ 1",
        "x.toml:10: system.data.of.cuont: unknown field; did you mean 'count'?",
    ]


def test_infinity_passes_where_a_plugin_allows_it(good: str, fakes: Registry, spec_file: Write) -> None:
    assert load_spec(spec_file(good), ["system.size=inf"], fakes).system.size == math.inf


def test_arrays_fill_tuples(good: str, fakes: Registry, spec_file: Write) -> None:
    assert load_spec(spec_file(good), ["system.shape=[4, 5, 6]"], fakes).system.shape == (4, 5, 6)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a = \n", "x.toml:1:5: not valid TOML: invalid value, at 'a ='"),
        ("[system\nn = 1", "x.toml:1:8: not valid TOML"),
        ("a = 1\na = 2", "x.toml:2:"),
        ('a = "', "x.toml:1:6: not valid TOML"),
        ("a = " + "[" * 1000, "x.toml:1: found more than 32 nested tables and arrays, expected at most 32"),
        ("\na = " + "9" * 5000, "x.toml:2: found a value of 5000 characters without quotes, expected a number of at most 64"),
        ("a = 0x" + "f" * 60, "x.toml:1: a: unknown field"),
        ("#" * 1_000_001, "x.toml: more than 1,000,000 bytes"),
        ("", "x.toml: system: missing, expected a table with a kind"),
    ],
)
def test_what_is_no_toml_or_beyond_the_limits(wrong: Wrong, text: str, start: str) -> None:
    assert wrong(text)[0].startswith(start)


def test_files_that_are_none(tmp_path: Path, fakes: Registry, spec_file: Write) -> None:
    (tmp_path / "quench.toml").write_text("")
    (tmp_path / "latin.toml").write_bytes(b"a = 1\nb = '\xe9'")
    for name, told in {
        "quenhc.toml": f"there is no such file; did you mean '{tmp_path / 'quench.toml'}'?",
        ".": "found a directory, expected a spec file in TOML",
        "latin.toml": "byte 0xe9 is not UTF-8, expected a text file in UTF-8",
    }.items():
        with pytest.raises(SpecError) as caught:
            load_spec(tmp_path / name, registry=fakes)
        assert str(caught.value).endswith(told)


def test_many_mistakes_are_counted_not_listed(wrong: Wrong, good: str) -> None:
    lines = wrong("".join(f"x{n} = 1\n" for n in range(10_000)) + good)
    assert len(lines) == MOST_PROBLEMS + 1
    assert "more problems" in lines[-1]


def test_tables_given_in_python(fakes: Registry) -> None:
    tables = {"system": {"kind": "glass", "n": np.int64(8)}, "dynamics": {"kind": "walk", "temperature": np.float64(0.5)}}
    spec = load_spec({**tables, "schedule": {"horizon": 10, "t": np.array([1.0, 2.0]), "time": (1, 2)}}, registry=fakes)
    assert (spec.system.n, spec.schedule.t, spec.schedule.time) == (8, [1.0, 2.0], [1.0, 2.0])
    with pytest.raises(SpecError) as caught:
        load_spec({**tables, "schedule": {"horizon": -1}}, registry=fakes)
    assert str(caught.value) == "spec: schedule.horizon: found -1, expected a number > 0"


def test_options_given_in_python(fakes: Registry, good: str, spec_file: Write) -> None:
    spec = load_spec(spec_file(good), registry=fakes)
    again = load_spec({"system": spec.system, "dynamics": spec.dynamics, "schedule": spec.schedule, "seed": 3}, registry=fakes)
    assert again == spec
