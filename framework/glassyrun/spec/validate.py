"""From the tables of a document to Options, by the models themselves and with every mistake told.

Pydantic checks the fields of one table at a time. Which class a table belongs to is decided here: by `kind` in the registry
where a plugin may stand, by shape where a field takes several tables. So a mistake gives one sentence, not one for each
alternative.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, get_origin

from pydantic import ValidationError

from glassyrun.errors import GlassyrunError
from glassyrun.options import Options, PluginOptions
from glassyrun.registry import POINTS, Registry, kind_of
from glassyrun.spec.complaints import complaints
from glassyrun.spec.document import FAILED, Document, has_failed
from glassyrun.spec.problems import MOST_PROBLEMS, Path, Problem, listed, meant, nearest, shown
from glassyrun.spec.words import all_options_in, fields_of, item_of, members, options_in, value_of, words

AnyOptions = TypeVar("AnyOptions", bound=Options)
MOST_HINTS = 5
"""Keys of one table whose right names are looked for."""


class Validator:
    """Reads one document; `problems` collects what is wrong with it."""

    def __init__(self, document: Document, registry: Registry) -> None:
        self.document = document
        self.registry = registry
        self.problems: list[Problem] = []
        self.parts: dict[str, Any] = {}
        """The tables of the document that are in order, also where the whole is not."""

    def complain(self, path: Path, found: str, expected: str = "", hint: str = "") -> None:
        """Notes a problem."""
        if len(self.problems) <= 2 * MOST_PROBLEMS:
            self.problems.append(self.document.problem(path, found, expected, hint))

    def table(self, options: type[AnyOptions], value: Any, path: Path = ()) -> AnyOptions | Any:
        """`value` as an instance of `options` or of the plugin class its kind names; `FAILED` where it is none."""
        if isinstance(value, options):
            return value
        if not isinstance(value, dict):
            self.complain(path, f"found {shown(value)}", words(options))
            return FAILED
        chosen = self.chosen(options, value, path) if _is_point(options) else options
        if chosen is None:
            return FAILED
        fields = fields_of(chosen)
        children = {
            key: self.value(fields[key].annotation, item, (*path, key)) if key in fields else item
            for key, item in self.known(chosen, value, path).items()
        }
        if not path:
            self.parts = children
        return self.checked(chosen, children, path)

    def checked(self, options: type[AnyOptions], children: dict[str, Any], path: Path) -> AnyOptions | Any:
        """The model's own word on its fields, whose tables have been read."""
        faulty = any(has_failed(child) for child in children.values())
        try:
            return options.model_validate(children)
        except ValidationError as error:
            for place, found, expected, hint in complaints(options, children, error):
                self.complain((*path, *place), found, expected, hint)
        except GlassyrunError as error:
            self.complain(path, str(error))
        except Exception as error:  # noqa: BLE001 -- a plugin's validator; what it meets beside a faulty table says nothing
            if not faulty:
                self.complain(path, f"a check of {options.__name__} raised {type(error).__name__}: {error}")
        return FAILED

    def value(self, annotation: Any, value: Any, path: Path) -> Any:
        """`value` with every table in it read; anything else is left to the model."""
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            self.complain(path, f"found {shown(value)}", "an integer of at most 64 bits, as TOML has them")
            return FAILED
        if isinstance(value, dict):
            return self.any_table(annotation, value, path)
        if isinstance(value, list):
            item = item_of(annotation)
            items = [self.value(item, element, (*path, index)) for index, element in enumerate(value)]
            as_tuple = any(get_origin(member) is tuple for member, _ in members(annotation))
            return tuple(items) if as_tuple else items
        return value

    def any_table(self, annotation: Any, value: dict[str, Any], path: Path) -> Any:
        candidates = options_in(annotation)
        if not candidates:
            item = value_of(annotation)
            return {key: self.value(item, element, (*path, key)) for key, element in value.items()}
        chosen = candidates[0] if len(candidates) == 1 else self.by_shape(candidates, value, path)
        return FAILED if chosen is None else self.table(chosen, value, path)

    def by_shape(self, candidates: list[type[Options]], value: dict[str, Any], path: Path) -> type[Options] | None:
        """The one class whose own keys the table has: `per_decade` or `n` of a grid."""
        own = {
            options: [key for key in fields_of(options) if not any(key in fields_of(c) for c in candidates if c is not options)]
            for options in candidates
        }
        fitting = [options for options, keys in own.items() if any(key in value for key in keys)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            both = listed((f"'{next(key for key in own[options] if key in value)}'" for options in fitting), "and")
            return self.complain(path, f"has {both}", "one of them")
        keys = [key for options in candidates for key in own[options]]
        known = {key for options in candidates for key in fields_of(options)}
        unknown = [key for key in value if key not in known]
        hints = [f"{key}: {hint}" for key in unknown[:MOST_HINTS] if (hint := meant(key, keys))]
        choices = [options for options, keys in own.items() if keys]
        needed = listed(", ".join(f"'{key}'" for key in own[options]) for options in choices)
        return self.complain(path, f"found {shown(value)}", f"{needed} in it", "; ".join(hints))

    def chosen(self, options: type[AnyOptions], value: dict[str, Any], path: Path) -> type[AnyOptions] | None:
        """The installed class that the table's kind names."""
        kinds = installed(self.registry, options)
        expected = f"one of {', '.join(kinds)}" if kinds else "nothing: no plugin brings any"
        kind = value.get("kind")
        if kind is None:
            return self.complain((*path, "kind"), "missing", expected)
        if not isinstance(kind, str):
            return self.complain((*path, "kind"), f"found {shown(kind)}", expected)
        if kind not in kinds:
            return self.complain((*path, "kind"), f"unknown kind {shown(kind)}", expected, self.kind_hint(kind, kinds))
        return kinds[kind]

    def kind_hint(self, kind: str, kinds: Iterable[str]) -> str:
        elsewhere = [point for point in POINTS if kind in self.registry.kinds(point)]
        if elsewhere:
            return f"'{kind}' is one of the {listed(elsewhere, 'and')}"
        broken = "some plugins could not be loaded (see `glassyrun plugins`)" if self.registry.problems else ""
        return meant(kind, kinds) or broken or "a kind of your own needs --plugin FILE.py"

    def known(self, options: type[Options], value: dict[str, Any], path: Path) -> dict[str, Any]:
        """The table without keys that the class does not have; each is a problem.

        Where an override has changed the kind, what the file says of the old kind alone is dropped. A field whose name is
        misspelt is not missing as well.
        """
        fields = fields_of(options)
        if options.model_config.get("extra") != "forbid":
            return value
        was = self.document.replaced.get((*path, "kind"), value.get("kind"))
        known = {key: item for key, item in value.items() if key in fields}
        for key in value:
            if key in fields or (was != value.get("kind") and not self.from_override((*path, key))):
                continue
            near = nearest(key, fields) if len(self.problems) < MOST_PROBLEMS else None
            expected = "" if near else f"one of {', '.join(fields)}"
            self.complain((*path, key), "unknown field", expected, f"did you mean '{near}'?" if near else "")
            if near:
                known.setdefault(near, FAILED)
        return known

    def from_override(self, path: Path) -> bool:
        return any(origin[: len(path)] == path or path[: len(origin)] == origin for origin in self.document.origins)


def installed(registry: Registry, options: type[AnyOptions]) -> dict[str, type[AnyOptions]]:
    """The kinds that may stand where a field is typed with `options`."""
    return {
        kind: entry.options
        for point in POINTS
        for kind, entry in sorted(registry.kinds(point).items())
        if issubclass(entry.options, options)
    }


def _is_point(options: type[Options]) -> bool:
    return issubclass(options, PluginOptions) and kind_of(options) is None


def plugin_points(registry: Registry) -> set[type[PluginOptions]]:
    """All classes without a kind of their own that a field of an installed kind is typed with, beside the four bases."""
    found: set[type[PluginOptions]] = set()
    todo: list[type[Options]] = [entry.options for point in POINTS for entry in registry.kinds(point).values()]
    seen = set(todo)
    while todo:
        for field in fields_of(todo.pop()).values():
            for options in all_options_in(field.annotation):
                if issubclass(options, PluginOptions) and kind_of(options) is None:
                    found.add(options)
                elif options not in seen:
                    seen.add(options)
                    todo.append(options)
    return found
