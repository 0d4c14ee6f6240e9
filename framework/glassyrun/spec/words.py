"""What a field of an Options class takes, read from its annotation and told in words."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from glassyrun.options import Options, PluginOptions
from glassyrun.spec.problems import listed

PLAIN = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", dict: "a table", Any: "anything"}
COMPARISONS: tuple[tuple[type, str, str], ...] = ((at.Gt, "gt", ">"), (at.Ge, "ge", "≥"), (at.Lt, "lt", "<"), (at.Le, "le", "≤"))


def key_of(name: str, field: FieldInfo) -> str:
    """The key in the file of a field."""
    return field.validation_alias if isinstance(field.validation_alias, str) else field.alias or name


def fields_of(options: type[Options]) -> dict[str, FieldInfo]:
    """The fields of an Options class under their keys in the file."""
    return {key_of(name, field): field for name, field in options.model_fields.items()}


def bare(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The annotation without `Annotated`, and what was annotated."""
    metadata: tuple[Any, ...] = ()
    while True:
        if isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif get_origin(annotation) is Annotated:
            inner, *more = get_args(annotation)
            annotation, metadata = inner, (*metadata, *more)
        else:
            return annotation, metadata


def members(annotation: Any, metadata: Sequence[Any] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The alternatives of an annotation with their constraints; None, which TOML can't say, left out."""
    annotation, own = bare(annotation)
    constraints = (*metadata, *own)
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from members(member, constraints)
    elif annotation is not type(None):
        yield annotation, constraints


def options_in(annotation: Any) -> list[type[Options]]:
    """The Options classes among the alternatives."""
    return [member for member, _ in members(annotation) if isinstance(member, type) and issubclass(member, Options)]


def all_options_in(annotation: Any) -> list[type[Options]]:
    """The Options classes anywhere in an annotation, in arrays and tables too."""
    here = options_in(annotation)
    for inner in (item_of(annotation), value_of(annotation)):
        here += all_options_in(inner) if inner is not Any else []
    return here


def item_of(annotation: Any) -> Any:
    """The annotation of an element of an array field, `Any` where it takes no array."""
    for member, _ in members(annotation):
        if get_origin(member) in (list, tuple, set, frozenset, Sequence, Iterable):
            return get_args(member)[0]
    return Any


def value_of(annotation: Any) -> Any:
    """The annotation of a value of a table field with free keys."""
    for member, _ in members(annotation):
        if get_origin(member) is not None and get_origin(member) is not Literal and len(get_args(member)) == 2:
            return get_args(member)[1]
    return Any


def field_words(field: FieldInfo) -> str:
    """What a field takes, in words."""
    return words(field.annotation, field.metadata, field.description or "")


def words(annotation: Any, metadata: Sequence[Any] = (), description: str = "") -> str:
    """`a number > 0 and ≤ 1`, `"own" or "shared"`, `an array (each item a number ≥ 0) or a table with from, to, n`."""
    told: list[str] = []
    for member, constraints in members(annotation, metadata):
        phrase = _member_words(member, _flat(constraints), description)
        if phrase not in told:
            told.append(phrase)
    return listed(told) or "nothing"


def _member_words(member: Any, constraints: list[Any], description: str) -> str:
    origin = get_origin(member)
    if origin is Literal:
        return listed(f'"{choice}"' if isinstance(choice, str) else str(choice).lower() for choice in get_args(member))
    if isinstance(member, type) and issubclass(member, PluginOptions) and not _fixed_kind(member):
        return "a table with a kind"
    if isinstance(member, type) and issubclass(member, Options):
        return f"a table with {', '.join(fields_of(member))}"
    if origin in (list, tuple, set, frozenset, Sequence):
        return f"an array{_length(constraints)} (each item {words(get_args(member)[0])})"
    if origin is dict:
        return f"a table (each value {words(get_args(member)[1])})"
    word = PLAIN.get(origin or member, f"a value of type {getattr(member, '__name__', member)}")
    return word + _limits(constraints) + _pattern(constraints, description)


def _fixed_kind(options: type[PluginOptions]) -> bool:
    return get_origin(options.model_fields["kind"].annotation) is Literal


def _flat(constraints: Iterable[Any]) -> list[Any]:
    flat: list[Any] = []
    for constraint in constraints:
        flat.extend(constraint.metadata if isinstance(constraint, FieldInfo) else [constraint])
    return flat


def _limits(constraints: list[Any]) -> str:
    limits = [
        f"{sign} {_number(getattr(constraint, name))}"
        for kind, name, sign in COMPARISONS
        for constraint in constraints
        if isinstance(constraint, kind)
    ]
    return f" {' and '.join(limits)}" if limits else ""


def _number(value: Any) -> str:
    return f"2^{value.bit_length() - 1}" if isinstance(value, int) and value > 2**53 and not value & (value - 1) else str(value)


def _length(constraints: list[Any]) -> str:
    least = next((c.min_length for c in constraints if isinstance(c, at.MinLen)), 0)
    most = next((c.max_length for c in constraints if isinstance(c, at.MaxLen)), None)
    if most is not None:
        return f" of {least} to {most} items" if least else f" of at most {most} items"
    return f" of at least {least} items" if least else ""


def _pattern(constraints: list[Any], description: str) -> str:
    pattern = next((c.pattern for c in constraints if getattr(c, "pattern", None)), None)
    told = f" ({description})" if description else ""
    return f" that matches {pattern}{told}" if pattern else ""
