"""Kinds and options told to people: `glassyrun plugins`, `glassyrun show KIND`, and the spec reference of the documentation.

`python -m glassyrun.describe > docs/spec.md` writes the reference.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from glassyrun.errors import Refusal
from glassyrun.options import Options, PluginOptions
from glassyrun.registry import POINTS, Entry, Registry
from glassyrun.spec.model import LinearGrid, LogGrid, Spec
from glassyrun.spec.problems import meant, shown
from glassyrun.spec.words import all_options_in, field_words, fields_of, options_in

TITLES = {
    "systems": "Systems, `[system]`",
    "dynamics": "Dynamics, `[dynamics]`, or `[[dynamics]]` for stages",
    "observables": "Observables, `[[observables]]`",
    "datasets": "Data sets, `[system.data]`",
}
INTRODUCTION = """# Spec reference

A spec is a TOML file. This page is written by `python -m glassyrun.describe` from the models that check it, with the plugins
that are installed. `--set FIELD=VALUE` changes any field by its dotted name, `observables.0.name` for one in an array.
"""

STAGES = """### Stages

`[dynamics]` is one table, or an array `[[dynamics]]` of stages that follow one another, of one kind or of several:

```toml
[system]
kind = "quadratic"
n = 100

[[dynamics]]
kind = "sgd"
batch_size = 20
until = 1000

[[dynamics]]
kind = "langevin"
temperature = 1e-4

[schedule]
horizon = 1200
```

Each stage but the last has `until`, the time of the run at which it ends; the last one ends at `schedule.horizon`. Time is
the sum of each stage's own: steps for SGD, `dt` for the others. Steps are counted through all stages, so that no batch and no noise
is drawn twice, and a new learning rate goes on with the epoch. Momentum is handed on to a stage that has it too; a temperature
ramp counts from the beginning of its stage. Times of the grids `time` and `t_w` go to the nearest step, lags `t` to multiples of
the smallest `dt`; where t_w + t falls between two steps the pair is NaN. `--set dynamics.1.temperature=0.3` changes a field of the
second stage.
"""


def overview(registry: Registry) -> str:
    """All kinds by what they are, with one line each, and what went wrong with plugins."""
    lines: list[str] = []
    width = max((len(kind) for point in POINTS for kind in registry.kinds(point)), default=0)
    for point in POINTS:
        lines.append(TITLES[point].replace("`", ""))
        entries = sorted(registry.kinds(point).values(), key=lambda entry: entry.kind)
        lines += [f"  {entry.kind:<{width}}  {first_line(entry.options)} ({entry.plugin})" for entry in entries] or ["  none"]
        lines.append("")
    lines += [f"problem: {problem}" for problem in registry.problems]
    return "\n".join(lines).rstrip()


def description(kind: str, registry: Registry) -> str:
    """One kind, or one table of the spec, with its options.

    Raises:
        Refusal: if there is no such kind, with the nearest names.
    """
    found = [entry for point in POINTS for entry in registry.kinds(point).values() if entry.kind == kind]
    tables = engine_tables()
    if found:
        return "\n\n".join(
            _told(f"{entry.kind}  ({_point(entry, registry)} of plugin {entry.plugin})", entry.options) for entry in found
        )
    if kind in tables:
        return _told(f"[{kind}]", tables[kind])
    names = [*(name for point in POINTS for name in registry.kinds(point)), *tables]
    raise Refusal(f"{kind}: no such kind or table; {meant(kind, names) or 'there are ' + ', '.join(names)}")


def reference(registry: Registry) -> str:
    """The spec reference, Markdown."""
    parts = [INTRODUCTION, "## The whole", _table(Spec)]
    for name, options in engine_tables().items():
        parts += [f"## `[{name}]`", text_of(options), _table(options)]
    parts += ["### Grids", "A grid is an array of times or one of two tables."]
    for options in (LogGrid, LinearGrid):
        parts += [text_of(options), _table(options)]
    for point in POINTS:
        parts.append(f"## {TITLES[point]}")
        parts += [STAGES] if point == "dynamics" else []
        for entry in sorted(registry.kinds(point).values(), key=lambda entry: entry.kind):
            parts += [f"### `{entry.kind}`", text_of(entry.options), _table(entry.options)]
            for nested in _nested(entry.options):
                parts += [text_of(nested), _table(nested)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def engine_tables() -> dict[str, type[Options]]:
    """The tables of a spec that belong to the engine."""
    return {
        key: options
        for key, field in fields_of(Spec).items()
        for options in options_in(field.annotation)
        if not issubclass(options, PluginOptions)
    }


def text_of(options: type[Options]) -> str:
    """The docstring of an Options class."""
    return inspect.cleandoc(options.__doc__ or "")


def first_line(options: type[Options]) -> str:
    return text_of(options).partition("\n")[0]


def _point(entry: Entry, registry: Registry) -> str:
    point = next(point for point in POINTS if registry.kinds(point).get(entry.kind) is entry)
    return TITLES[point].partition(",")[0].lower()


def _told(title: str, options: type[Options]) -> str:
    lines = [title, "", text_of(options), "", "Options:"]
    for key, field in _options(options):
        lines += [f"  {key}: {field_words(field)}; {_default(field)}", f"      {field.description or ''}"]
    for nested in _nested(options):
        lines += ["", text_of(nested)]
        for key, field in _options(nested):
            lines += [f"  {key}: {field_words(field)}; {_default(field)}", f"      {field.description or ''}"]
    return "\n".join(line.rstrip() for line in lines if line is not None)


def _table(options: type[Options]) -> str:
    rows = ["| option | takes | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in _options(options):
        default = _default(field).removeprefix("default ")
        cells = (f"`{key}`", field_words(field), default, field.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(rows) if len(rows) > 2 else "No options."


def _options(options: type[Options]) -> Iterator[tuple[str, FieldInfo]]:
    return ((key, field) for key, field in fields_of(options).items() if key != "kind")


def _nested(options: type[Options]) -> list[type[Options]]:
    """Tables below one of a plugin, other than those that another plugin brings."""
    tables = [nested for _, field in _options(options) for nested in all_options_in(field.annotation)]
    return [nested for nested in dict.fromkeys(tables) if not issubclass(nested, PluginOptions)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.get_default(call_default_factory=True, validated_data={})
    if default is None:
        return "optional"
    if isinstance(default, Options):
        given = {key: getattr(default, key, None) for key in type(default).model_fields if key in default.model_fields_set}
        return "default {" + ", ".join(f"{key} = {shown(value)}" for key, value in given.items()) + "}" if given else "optional"
    return f"default {shown(default)}"


if __name__ == "__main__":
    print(reference(Registry.installed()), end="")
