"""`--set FIELD=VALUE`: one value of a spec changed from the command line."""

from __future__ import annotations

import contextlib
import functools
import operator
from typing import Any

import tomli

from glassyrun.spec.document import MISSING, Document
from glassyrun.spec.positions import LimitExceeded, key_lines
from glassyrun.spec.problems import Path, Problem, shortened, shown

LONGEST = 10_000
"""Characters of one override."""


def apply_override(document: Document, text: str) -> Problem | None:
    """Sets one field of the document; what is wrong with the override, if anything.

    `FIELD` is a dotted path; a number in it is an index where an array is, and the index behind the last one adds an
    element. Tables that are not there are made. `VALUE` is a TOML value, or else a string as it stands.
    """
    origin = f"--set {shortened(text)}"
    field, equals, value = text.partition("=")
    if not equals:
        return Problem(origin, None, "", "no '='", "FIELD=VALUE, for example system.n=512")
    try:
        path, parsed = _path(field), _value(value.strip())
    except ValueError as error:
        return Problem(origin, None, shortened(field), str(error))
    try:
        _place(document, path, parsed, origin)
    except LookupError as error:
        return Problem(origin, None, shortened(field), shortened(str(error.args[0]), 300))
    return None


def split_override(text: str) -> tuple[str, str]:
    """Field and value of `FIELD=VALUE`, as typed."""
    field, _, value = text.partition("=")
    return field.strip(), value.strip()


def _path(field: str) -> list[str]:
    """The parts of a dotted key, by TOML's own rules.

    Raises:
        ValueError: if it is none.
    """
    if len(field) > LONGEST or "\n" in field or not field.strip():
        raise ValueError("no field, expected a dotted name such as system.n")
    document: Any = None
    lines: dict[tuple[str | int, ...], int] = {}
    with contextlib.suppress(tomli.TOMLDecodeError, LimitExceeded):
        lines, document = dict(key_lines(f"{field} = 0")), tomli.loads(f"{field} = 0")
    path = max(lines, key=len, default=())
    nested: Any = functools.reduce(operator.getitem, path, document)
    if nested != 0:  # a comment, a header, or no key at all
        raise ValueError("not a field name, expected a dotted name such as system.n or observables.0.name")
    return [str(part) for part in path]


def _value(text: str) -> Any:
    """A TOML value; a string as it stands where it is none and does not look like one.

    Raises:
        ValueError: if it begins like a string, array or table and does not end like one.
    """
    document = f"value = {text}"
    try:
        if len(text) > LONGEST:
            raise ValueError(f"found a value of {len(text)} characters, expected at most {LONGEST}")
        key_lines(document)
        parsed = tomli.loads(document)
    except LimitExceeded as limit:
        raise ValueError(f"found {limit.found}, expected {limit.expected}") from None
    except RecursionError:
        raise ValueError("found too many nested tables and arrays") from None
    except tomli.TOMLDecodeError as error:
        if text.startswith(("[", "{", '"', "'")):
            raise ValueError(f"not a valid TOML value: {error.msg[:1].lower()}{error.msg[1:]}") from None
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _place(document: Document, parts: list[str], value: Any, origin: str) -> None:
    """Puts `value` where `parts` point.

    Raises:
        LookupError: with a sentence, if the way there leads through a plain value or an index that is not there.
    """
    container: Any = document.table
    path: Path = ()
    new: Any = None
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        key = _key(container, part, following, path)
        path = (*path, key)
        old = _get(container, key)
        if following is None:
            before = document.replaced.get(path, old)
            document.forget(path)
            document.origins[path] = origin
            if before is not MISSING:
                document.replaced[path] = before
            new = value
        elif old is MISSING:
            if path[:-1] == ("dynamics",) and _adds(container, key) and following != "kind":
                count = len(container)
                have = f"{count} stages, dynamics.0 to dynamics.{count - 1}" if count > 1 else "one stage, dynamics.0"
                raise LookupError(f"the spec has {have if count else 'no stage'}; give dynamics.{count}.kind=… first to add one")
            document.origins[path] = origin
            new = list[Any]() if following == "0" else dict[str, Any]()
        elif isinstance(old, dict | list):
            new = old
        else:
            raise LookupError(f"{'.'.join(map(str, path))} is {shown(old)}, and nothing is below it")
        if _adds(container, key):
            container.append(new)
        else:
            container[key] = new
        container = new


def _key(container: Any, part: str, following: str | None, path: Path) -> str | int:
    if isinstance(container, dict):
        return part
    where = ".".join(map(str, path))
    if not part.isdecimal() or len(part) > 9:
        rest = part if following is None else f"{part}.{following}"
        raise LookupError(
            f"{where} is an array of length {len(container)}, expected the number of an item behind it, such as {where}.0.{rest}"
        )
    if int(part) > len(container):
        raise LookupError(f"{where} ends before that, expected an index up to {len(container)}, which adds one")
    return int(part)


def _adds(container: Any, key: str | int) -> bool:
    return isinstance(container, list) and key == len(container)


def _get(container: Any, key: str | int) -> Any:
    if isinstance(container, list):
        return container[key] if isinstance(key, int) and key < len(container) else MISSING
    return container.get(key, MISSING)
