"""The JSON Schema (draft 2020-12) of a whole spec with the installed plugins, for editors that complete and check TOML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema

from glassyrun.options import Options
from glassyrun.registry import POINTS, Registry
from glassyrun.spec.model import Spec
from glassyrun.spec.validate import installed, plugin_points

DRAFT = "https://json-schema.org/draft/2020-12/schema"


class _Lenient(GenerateJsonSchema):
    """A plugin's type that JSON Schema has no word for takes anything; the loader still checks it."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}


def spec_schema(registry: Registry) -> dict[str, Any]:
    """The schema of spec files; where a plugin may stand, one alternative for each installed kind."""
    points = {*POINTS.values(), *plugin_points(registry)}
    kinds = {entry.options for point in POINTS for entry in registry.kinds(point).values()}
    classes = sorted({Spec, *points, *kinds}, key=lambda options: (options.__module__, options.__qualname__))
    references, whole = models_json_schema([(options, "validation") for options in classes], schema_generator=_Lenient)
    names = {options: references[options, "validation"]["$ref"].rpartition("/")[2] for options in classes}
    definitions: dict[str, Any] = whole["$defs"]
    for options in kinds:
        _close(definitions[names[options]], options)
    for base in points:
        alternatives = [{"$ref": f"#/$defs/{names[options]}"} for options in installed(registry, base).values()]
        definitions[names[base]] = {"oneOf": alternatives} if alternatives else {"not": {}}
    spec = definitions.pop(names[Spec])
    document = {"$schema": DRAFT, **spec, "title": "glassyrun spec", "$defs": definitions}
    return _without_null(document)


def _close(definition: dict[str, Any], options: type[Options]) -> None:
    """The kind is what chooses, so it must be there."""
    definition["required"] = ["kind", *(name for name in definition.get("required", ()) if name != "kind")]
    first_line = (options.__doc__ or "").strip().partition("\n")[0]
    definition["properties"]["kind"]["description"] = first_line


def _without_null(node: Any) -> Any:
    """TOML has no null and JSON no infinity, so alternatives and defaults that are one of them are left out."""
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    plain = {key: _without_null(item) for key, item in node.items() if not _unsayable(item)}
    alternatives = plain.get("anyOf")
    if isinstance(alternatives, list):
        left = [item for item in alternatives if item != {"type": "null"}]
        if len(left) == 1 and len(alternatives) > 1:
            del plain["anyOf"]
            return {**left[0], **plain}
        plain["anyOf"] = left
    return plain


def _unsayable(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
