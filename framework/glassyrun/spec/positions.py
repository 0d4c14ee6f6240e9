"""On which line each key of a TOML document stands. The parser proper is tomli; this only finds places.

The scanner also states the limits of a spec, before anything recursive or costly looks at it: nesting depth, the length of a
number, how many keys there are and how many items an array has.
"""

from __future__ import annotations

import bisect
import re
from contextlib import suppress

import attrs
import tomli

from glassyrun.spec.problems import Path

DEEPEST = 32
"""Arrays and tables within one another."""
LONGEST_NUMBER = 64
"""Characters of a number or date; TOML's integers have 64 bits."""
MOST_KEYS = 20_000
"""Keys and headers of tables in a whole spec."""
MOST_ITEMS = 100_000
"""Items of one array, as many as a grid may have points."""

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
BLANKS = re.compile(r"[ \t]*")
BETWEEN = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
SCALAR = re.compile(r"[^,\]}#\n]+")


class Malformed(Exception):
    """Not TOML; tomli says what is wrong with it."""


@attrs.define
class LimitExceeded(Exception):
    """Valid perhaps, but beyond what a spec may ask of the reader."""

    line: int
    found: str
    expected: str


def key_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every key, and of array elements that stand on another line than their key.

    A table that dotted keys or headers only imply stands where it is first named. What is malformed is left to tomli:
    the positions end there.

    Raises:
        LimitExceeded: for nesting deeper than `DEEPEST`, numbers longer than `LONGEST_NUMBER`, more keys than `MOST_KEYS` or
            items of an array than `MOST_ITEMS`.
    """
    scanner = Scanner(text)
    with suppress(Malformed):
        scanner.document()
    return scanner.lines


class Scanner:
    """A cursor over the text; every method reads one thing and leaves the cursor behind it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}
        """Elements so far of each array of tables."""
        self.keys = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]

    def line(self, offset: int) -> int:
        return bisect.bisect_left(self._newlines, offset) + 1

    def document(self) -> None:
        table: Path = ()
        while True:
            self.match(BETWEEN)
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table, depth=len(table))
            self.match(BLANKS)
            if self.at < len(self.text) and self.text[self.at] not in "#\r\n":
                raise Malformed

    def header(self) -> Path:
        """`[a.b]` or `[[a.b]]`, whose path has the index of each array of tables in it."""
        array = self.text.startswith("[[", self.at)
        line = self.line(self.at)
        self.expect("[[" if array else "[")
        parts = self.key()
        self.expect("]]" if array else "]")
        path: Path = ()
        for part in parts[:-1]:
            path = (*path, part)
            self.lines.setdefault(path, line)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        path = (*path, parts[-1])
        if array:
            self.lines.setdefault(path, line)
            index = self.counts.get(path, 0)
            self.counts[path] = index + 1
            path = (*path, index)
        self.lines[path] = line
        self.check_keys(line)
        return path

    def pair(self, table: Path, depth: int) -> None:
        """`a.b = value`."""
        line = self.line(self.at)
        path = table
        for part in self.key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self.check_keys(line)
        self.expect("=")
        self.match(BLANKS)
        self.value(path, depth + 1)

    def key(self) -> list[str]:
        parts = [self.key_part()]
        while self.text.startswith(".", self.at):
            self.at += 1
            parts.append(self.key_part())
            self.check_depth(len(parts))
        return parts

    def key_part(self) -> str:
        self.match(BLANKS)
        quote = self.text[self.at : self.at + 1]
        pattern = {'"': STRINGS[2], "'": STRINGS[3]}.get(quote, BARE_KEY)
        token = self.match(pattern)
        if not token:
            raise Malformed
        self.match(BLANKS)
        return _unquoted(token) if quote in ('"', "'") else token

    def value(self, path: Path, depth: int) -> None:
        self.check_depth(depth)
        first = self.text[self.at : self.at + 1]
        if first == "[":
            self.sequence(path, depth, "]")
        elif first == "{":
            self.sequence(path, depth, "}")
        elif first in ('"', "'"):
            if not any(self.match(pattern) for pattern in STRINGS):
                raise Malformed
        else:
            self.scalar()

    def sequence(self, path: Path, depth: int, end: str) -> None:
        """The elements of an array or the pairs of an inline table."""
        self.at += 1
        index = 0
        while True:
            self.match(BETWEEN)
            if self.text.startswith(end, self.at):
                self.at += 1
                return
            if end == "}":
                self.pair(path, depth)
            else:
                self.element(path, index, depth)
            index += 1
            if index > MOST_ITEMS:
                found = f"an array of more than {MOST_ITEMS:,} items"
                raise LimitExceeded(self.line(self.at), found, f"at most {MOST_ITEMS:,} in one array")
            self.match(BETWEEN)
            if self.text.startswith(",", self.at):
                self.at += 1
            elif not self.text.startswith(end, self.at):
                raise Malformed

    def element(self, path: Path, index: int, depth: int) -> None:
        line = self.line(self.at)
        if line != self.lines.get(path) or self.text.startswith(("[", "{"), self.at):
            self.lines[(*path, index)] = line
        self.value((*path, index), depth + 1)

    def scalar(self) -> None:
        start = self.at
        token = self.match(SCALAR).strip()
        if not token:
            raise Malformed
        if len(token) > LONGEST_NUMBER:
            found = f"a value of {len(token)} characters without quotes"
            raise LimitExceeded(self.line(start), found, f"a number of at most {LONGEST_NUMBER} characters")

    def match(self, pattern: re.Pattern[str]) -> str:
        """What `pattern` takes here; nothing where it does not fit."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    def expect(self, token: str) -> None:
        self.match(BLANKS)
        if not self.text.startswith(token, self.at):
            raise Malformed
        self.at += len(token)

    def check_keys(self, line: int) -> None:
        self.keys += 1
        if self.keys > MOST_KEYS:
            raise LimitExceeded(line, f"more than {MOST_KEYS:,} keys and tables", f"at most {MOST_KEYS:,} in a spec")

    def check_depth(self, depth: int) -> None:
        if depth > DEEPEST:
            expected = f"at most {DEEPEST} within one another"
            raise LimitExceeded(self.line(self.at), f"more than {DEEPEST} nested tables and arrays", expected)


def _unquoted(token: str) -> str:
    """The key that a quoted key spells."""
    try:
        return str(tomli.loads(f"key = {token}")["key"])
    except tomli.TOMLDecodeError as error:
        raise Malformed from error
