"""A plugin that raises or returns nonsense is named, and the rest works."""

from __future__ import annotations

import importlib.metadata
import textwrap
from pathlib import Path

import pytest

from glassyrun import provenance
from glassyrun.errors import GlassyrunError
from glassyrun.provenance import digests_for
from glassyrun.registry import Registry, import_file
from glassyrun.spec.load import load_spec

HEAD = """
from typing import Literal
import glassyrun
from glassyrun import ObservableOptions, hookimpl

class Fine(ObservableOptions):
    kind: Literal["fine"] = "fine"
    def build(self, context, system): raise NotImplementedError

class NoKind(ObservableOptions):
    def build(self, context, system): raise NotImplementedError

class NoDefault(ObservableOptions):
    kind: Literal["x"]
    def build(self, context, system): raise NotImplementedError

class Shouting(ObservableOptions):
    kind: Literal["LOUD!"] = "LOUD!"
    def build(self, context, system): raise NotImplementedError

class Unbuilt(ObservableOptions):
    kind: Literal["unbuilt"] = "unbuilt"
"""


def plugin(tmp_path: Path, body: str, name: str = "mine") -> Path:
    file = tmp_path / f"{name}.py"
    file.write_text(HEAD + textwrap.dedent(body))
    return file


def hook(expression: str) -> str:
    return f"@hookimpl\ndef glassyrun_observables():\n    return {expression}\n"


NONSENSE = [
    ("[Fine, NoKind]", 'gave NoKind, which has no field kind: Literal["…"] = "…"; it is left out'),
    ("[NoDefault, Fine]", 'gave NoDefault, which has no field kind: Literal["…"] = "…"'),
    ("[Shouting, Fine]", "gave Shouting, which has the kind 'LOUD!', expected one lower-case word"),
    ("[Unbuilt, Fine]", "gave Unbuilt, which lacks build"),
    ("[Fine, Fine]", "gave Fine, which repeats the kind 'fine' of plugin 'mine'"),
    ("[3, Fine]", "gave 3, which is no subclass of glassyrun.ObservableOptions"),
    ("[glassyrun.SystemOptions, Fine]", "gave SystemOptions, which is no subclass of glassyrun.ObservableOptions"),
]
WORSE = [
    ("Fine", "gave a ModelMetaclass, expected a list of Options classes"),
    ("None", "gave a NoneType, expected a list of Options classes"),
    ("'fine'", "gave a str, expected a list of Options classes"),
    ("1 / 0", "raised in glassyrun_observables and is left out there: ZeroDivisionError: division by zero"),
    ("exit(3)", "raised in glassyrun_observables and is left out there: SystemExit: 3"),
]


@pytest.mark.parametrize(("expression", "told"), NONSENSE + WORSE)
def test_nonsense_is_named_and_the_rest_works(tmp_path: Path, expression: str, told: str) -> None:
    registry = Registry()
    registry.add("mine", import_file(plugin(tmp_path, hook(expression))))
    (problem,) = registry.problems
    assert problem.startswith("plugin 'mine'")
    assert told in problem
    assert list(registry.kinds("observables")) == (["fine"] if (expression, told) in NONSENSE else [])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("x = 1", "has none of the hooks glassyrun_systems, glassyrun_dynamics, glassyrun_observables, glassyrun_datasets"),
        (hook("[Fine]").replace("observables", "observable"), "it has a hook glassyrun_observable, which does not exist"),
        (hook("[Fine]").replace("()", "(registry)"), "its hook glassyrun_observables takes arguments, expected none"),
    ],
)
def test_hooks_that_are_none(tmp_path: Path, body: str, told: str) -> None:
    registry = Registry()
    registry.add("mine", import_file(plugin(tmp_path, body)))
    (problem,) = registry.problems
    assert told in problem
    assert "\n" not in problem


def test_an_installed_plugin_that_fails_to_import_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        importlib.metadata.EntryPoint("absent", "no_such_module_anywhere", "glassyrun"),
        importlib.metadata.EntryPoint("whole", "glassyrun_observables", "glassyrun"),
        importlib.metadata.EntryPoint("zero", "math:no_such_name", "glassyrun"),
    ]
    real = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda **given: points if given == {"group": "glassyrun"} else real(**given)
    )
    monkeypatch.setattr(provenance, "_versions", dict)
    registry = Registry.installed()
    assert "energy" in registry.kinds("observables")
    assert [problem.split(" (")[0] for problem in registry.problems] == ["plugin 'absent'", "plugin 'zero'"]
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in registry.problems[0]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.py", "import no_such_module", "importing it raised ModuleNotFoundError"),
        ("b.py", "def f(:", "importing it raised SyntaxError"),
        ("c.py", "raise SystemExit(3)", "importing it raised SystemExit"),
        ("d.txt", "x = 1", "not a Python file; its name must end in .py"),
        ("e.py", None, "there is no such file"),
    ],
)
def test_a_file_that_was_asked_for_must_be_good(tmp_path: Path, name: str, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(GlassyrunError, match=told):
        Registry.installed([tmp_path / name])


def test_digests_name_the_plugins_that_occur(fakes: Registry, good: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(good)
    spec = load_spec(tmp_path / "x.toml", registry=fakes)
    assert list(digests_for(spec)) == ["glassyrun", "fake_plugin.py"]
    assert digests_for(spec)["fake_plugin.py"] == fakes.digests["fakes"]


def test_digests_follow_the_source_not_the_place(tmp_path: Path) -> None:
    digests = []
    for folder, body in (("one", "x = 1"), ("two", "x = 1"), ("three", "x = 2")):
        (tmp_path / folder).mkdir()
        registry = Registry()
        registry.add("mine", import_file(plugin(tmp_path / folder, hook("[Fine]") + body)))
        digests.append(registry.digests["mine"])
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 32
