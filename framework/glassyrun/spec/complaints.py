"""Pydantic's errors of one table, told in our words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from glassyrun.options import Options
from glassyrun.spec.document import has_failed
from glassyrun.spec.problems import MOST_PROBLEMS, Path, meant, shown
from glassyrun.spec.words import field_words, fields_of, item_of, members, value_of, words

Complaint = tuple[Path, str, str, str]
"""Place within the table, what was found, what was expected, hint."""
OWN_TEXT = ("value_error", "assertion_error")


def complaints(options: type[Options], children: Mapping[str, Any], error: ValidationError) -> Iterator[Complaint]:
    """One complaint for each place that is wrong, however many alternatives of a field refused it.

    An array may be wrong in a hundred thousand places: no more are looked at than will be told.
    """
    told: dict[Path, Complaint] = {}
    for detail in islice(error.errors(include_url=False), 4 * MOST_PROBLEMS):
        place, value = _walk(children, detail["loc"])
        if place and has_failed(value):  # one table of an array, for example
            continue
        if detail["type"] == "missing":
            place = (*place, *detail["loc"][len(place) :])
            told[place] = (place, "missing", _expected(options, place), _described(options, place))
        elif detail["type"] in OWN_TEXT:
            told[place] = (place, str(detail.get("ctx", {}).get("error", detail["msg"])), "", "")
        elif place and place not in told:
            told[place] = (place, f"found {shown(value)}", _expected(options, place), _hint(options, place, value))
        elif not place:
            told.setdefault(place, (place, detail["msg"], "", ""))
    for place, complaint in told.items():
        if not any(other[: len(place)] == place and other != place for other in told):
            yield complaint


def _walk(children: Mapping[str, Any], location: tuple[int | str, ...]) -> tuple[Path, Any]:
    """The place in the table that pydantic's location means: without the names of a union's alternatives."""
    place: Path = ()
    value: Any = children
    for step in location:
        if _has(value, step):
            value = value[step]
            place = (*place, step)
    return place, value


def _has(value: Any, step: int | str) -> bool:
    return step in value if isinstance(value, Mapping) else isinstance(value, list | tuple) and step in range(len(value))


def _annotation(options: type[Options], place: Path) -> Any:
    field = fields_of(options).get(str(place[0]))
    annotation: Any = field.annotation if field else Any
    for step in place[1:]:
        annotation = item_of(annotation) if isinstance(step, int) else value_of(annotation)
    return annotation


def _expected(options: type[Options], place: Path) -> str:
    field = fields_of(options).get(str(place[0]))
    if len(place) == 1 and field is not None:
        return field_words(field)
    return words(_annotation(options, place))


def _described(options: type[Options], place: Path) -> str:
    """What a field that is missing is for."""
    field = fields_of(options).get(str(place[0])) if len(place) == 1 else None
    return f"it is the {field.description}" if field is not None and field.description else ""


def _hint(options: type[Options], place: Path, value: Any) -> str:
    """What the user may have meant."""
    alternatives = [member for member, _ in members(_annotation(options, place))]
    choices = [str(choice) for member in alternatives if get_origin(member) is Literal for choice in get_args(member)]
    if isinstance(value, float) and not math.isfinite(value):
        return "only finite numbers have a meaning here"
    if isinstance(value, str) and choices:
        return meant(value, choices)
    if isinstance(value, str) and (int in alternatives or float in alternatives) and _is_number(value):
        return "write it without quotes"
    if isinstance(value, float) and float not in alternatives and int in alternatives and value.is_integer():
        return f"write {int(value)}, without the decimal point"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
