"""A spec as it was written: the parsed tables, and where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import attrs
import tomli

from glassyrun.errors import StorageError
from glassyrun.spec.positions import DEEPEST, LimitExceeded, key_lines
from glassyrun.spec.problems import Path, Problem, SpecError, dotted, nearest, shortened

LARGEST_FILE = 1_000_000
"""Bytes of a spec file."""
IN_PYTHON = "spec"
"""What stands for the file name where a spec is given as a mapping."""


class Failed:
    """Stands where a value was that has been complained about."""

    def __repr__(self) -> str:
        return "a faulty value"


FAILED = Failed()
MISSING: Any = object()


def has_failed(value: Any) -> bool:
    """Whether a value, or one within it, has been complained about."""
    if isinstance(value, dict):
        return any(has_failed(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_failed(item) for item in value)
    return value is FAILED


@attrs.define
class Document:
    """The tables of a spec, the line of each key, and what overrides changed."""

    file: str
    table: dict[str, Any]
    lines: dict[Path, int] = attrs.field(factory=dict)
    origins: dict[Path, str] = attrs.field(factory=dict)
    """Path → the override that set it."""
    replaced: dict[Path, Any] = attrs.field(factory=dict)
    """Path → what the file says there, where an override says otherwise."""

    def problem(self, path: Path, found: str, expected: str = "", hint: str = "") -> Problem:
        """The problem of the value at `path`; what is absent stands where its table is."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.origins:
                return Problem(self.origins[path[:length]], None, dotted(path), found, expected, hint)
            if path[:length] in self.lines:
                return Problem(self.file, self.lines[path[:length]], dotted(path), found, expected, hint)
        return Problem(self.file, None, dotted(path), found, expected, hint)

    def forget(self, path: Path) -> None:
        """Drops all that is known of where `path` and what is below it came from."""
        for known in (self.lines, self.origins, self.replaced):
            for other in [other for other in known if other[: len(path)] == path]:
                del known[other]


def read_document(source: FilePath | Mapping[str, Any]) -> Document:
    """The document of a TOML file, or of tables given in Python.

    Raises:
        SpecError: if the file is absent, too large, no UTF-8, no TOML, or beyond the stated limits.
        StorageError: if it can't be read.
    """
    if isinstance(source, Mapping):
        return Document(IN_PYTHON, {str(key): _plain(value) for key, value in source.items()})
    file = str(source)
    text = _text(source, file)
    try:
        lines = key_lines(text)
        return Document(file, tomli.loads(text), lines)
    except LimitExceeded as limit:
        raise SpecError([Problem(file, limit.line, "", f"found {limit.found}", limit.expected)]) from None
    except tomli.TOMLDecodeError as error:
        found = f"not valid TOML: {error.msg[:1].lower()}{error.msg[1:]}, at {_excerpt(text, error.lineno)}"
        raise SpecError([Problem(file, error.lineno, "", found, column=error.colno)]) from None
    except (RecursionError, ValueError, OverflowError) as error:
        raise SpecError([Problem(file, None, "", f"can't be read as TOML: {shortened(str(error))}")]) from None


def _text(source: FilePath, file: str) -> str:
    try:
        source.lstat()
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            raise StorageError(f"{file}: can't be looked at: {getattr(error, 'strerror', error)}; name a spec file") from None
    if source.is_dir():
        raise SpecError([Problem(file, None, "", "found a directory", "a spec file in TOML")])
    if not source.exists():
        raise SpecError([Problem(file, None, "", "there is no such file", hint=near_spec(source))])
    if not source.is_file():
        raise SpecError([Problem(file, None, "", "not a regular file", "a spec file in TOML")])
    try:
        with source.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise StorageError(f"{file}: can't be read: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise SpecError([Problem(file, None, "", f"more than {LARGEST_FILE:,} bytes", "a spec file of at most that")])
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise SpecError([Problem(file, line, "", found, "a text file in UTF-8")]) from None


def near_spec(source: FilePath) -> str:
    """Which spec may have been meant: one beside it, or one under `specs/`."""
    folders = [folder for folder in (source.parent, FilePath("specs")) if folder.is_dir()]
    specs = [path for folder in folders for path in sorted(folder.glob("*.toml"))]
    near = nearest(source.stem, [path.stem for path in specs])
    return next((f"did you mean '{path}'?" for path in specs if path.stem == near), "")


def _excerpt(text: str, line: int) -> str:
    lines = text.split("\n")
    content = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return f"'{shortened(content)}'" if content else "the end of the file" if line >= len(lines) else "an empty line"


def _plain(value: Any, depth: int = 0) -> Any:
    """Tables and arrays as TOML has them, from whatever a notebook uses (tuples, NumPy numbers and arrays)."""
    if depth > DEEPEST:
        found = f"more than {DEEPEST} nested tables and arrays"
        raise SpecError([Problem(IN_PYTHON, None, "", found, f"at most {DEEPEST} within one another")])
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if type(value).__module__ == "numpy":
        return value.tolist()
    return value
