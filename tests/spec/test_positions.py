"""The scanner of key positions against tomli."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import tomli
import tomli_w
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glassyrun.spec.positions import DEEPEST, LimitExceeded, key_lines


def keys(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [p for key, item in value.items() for p in ((*path, key), *keys(item, (*path, key)))]
    if isinstance(value, list):
        return [p for index, item in enumerate(value) for p in keys(item, (*path, index))]
    return []


def check(text: str) -> int:
    """Every key has a line that spells it; how many keys there are."""
    lines, found = text.split("\n"), key_lines(text)
    paths = keys(tomli.loads(text))
    for path in paths:
        spelled = {str(path[-1]), json.dumps(path[-1])[1:-1], json.dumps(path[-1], ensure_ascii=False)[1:-1]}
        line = lines[found[path] - 1]
        assert any(form in line for form in spelled), (path, line)
    return len(paths)


STRINGS = [
    '"""\n[fake]\nfalse_key = 1\n"""',
    "'''\n[[fake]]\n'' x = \"\"\" '''",
    '"a # = [ \\" \\\\"',
    "'b ] } \\'",
    '""""quoted""""',
    '""',
]
SCALARS = [*STRINGS, "1", "-2.5e3", "inf", "true", "1979-05-27 07:32:00", "0x_ff".replace("_", ""), "[]", "{}"]
PADDING = st.sampled_from(["", "  ", "# [comment] a = 1", "\t"])


class Writer:
    """Random TOML in which every key is named once, so that its line is known."""

    def __init__(self, draw: Any) -> None:
        self.draw, self.count, self.lines = draw, 0, []

    def choose(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def key(self) -> str:
        self.count += 1
        return self.choose(
            f"k{self.count}_",
            f'"k {self.count}_"',
            f"'k.{self.count}_'",
            f'"k\\u00e9{self.count}_"',
            f"{self.count}0{self.count}_",
        )

    def value(self, depth: int) -> str:
        shape = self.choose("scalar", "scalar", "array", "table") if depth else "scalar"
        if shape == "scalar":
            return self.choose(*SCALARS)
        if shape == "table":
            pairs = [f"{self.dotted()} {self.choose('=', ' = ')} {self.value(depth - 1)}" for _ in range(self.choose(0, 1, 3))]
            return "{" + self.choose(", ", ",").join(pairs) + "}"
        gap = self.choose(" ", "\n", " # ], {\n", "\n\n   ")
        items = [self.value(depth - 1) for _ in range(self.choose(1, 2, 4))]
        return f"[{gap}" + f",{gap}".join(items) + self.choose("", ",") + f"{gap}]"

    def dotted(self) -> str:
        return self.choose(".", " . ").join(self.key() for _ in range(self.choose(1, 1, 2, 3)))

    def pairs(self) -> None:
        for _ in range(self.choose(0, 1, 3)):
            self.lines += [self.draw(PADDING), f"{self.choose('', '  ')}{self.dotted()} = {self.value(3)} {self.draw(PADDING)}"]

    def document(self) -> str:
        self.pairs()
        for _ in range(self.choose(0, 2, 4)):
            name = self.dotted()
            if self.choose(True, False):
                self.lines.append(f"[ {name} ] # note")
                self.pairs()
                continue
            for _ in range(self.choose(1, 2, 3)):
                self.lines.append(f"[[{name}]]")
                self.pairs()
                if self.choose(True, False):
                    self.lines.append(f"[{name}.{self.key()}]")
                    self.pairs()
        return "\n".join(self.lines)


@st.composite
def documents(draw: Any) -> str:
    return Writer(draw).document()


@settings(max_examples=300, deadline=None)
@given(documents())
def test_every_key_of_a_document_is_found_on_its_line(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    "text", ["a", "a =", "a = [", "a = {", "a = {b", "a = [1", "a = [1,", "[", "[[", "[a", "[[a]", 'a = "', "a."]
)
def test_what_ends_too_soon_is_left_to_tomli(text: str) -> None:
    key_lines(text)


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="[]{}\"'=.#,\n\\ ab1", max_size=40))
def test_whatever_tomli_takes_has_positions(text: str) -> None:
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:
        key_lines(text)
        return
    assume(text.strip())
    check(text)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.integers(0, 9), lambda inner: st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3), max_leaves=12
    )
)
def test_documents_as_tomli_w_writes_them(value: Any) -> None:
    tables = value if isinstance(value, dict) else {"key": value}
    found = key_lines(tomli_w.dumps(tables))
    assert set(keys(tables)) <= set(found)


def test_lines_of_a_known_document() -> None:
    text = 'a.b = 1\n\n[c]\nd = """\nx = 1\n"""\ne = [1,\n  2, {f = 3}]\n[[g]]\nh = 1\n[[g]]\n[g.i]\nj = 2\n'
    expected = {
        ("a",): 1, ("a", "b"): 1, ("c",): 3, ("c", "d"): 4, ("c", "e"): 7, ("c", "e", 1): 8, ("c", "e", 2): 8,
        ("c", "e", 2, "f"): 8, ("g",): 9, ("g", 0): 9, ("g", 0, "h"): 10, ("g", 1): 11, ("g", 1, "i"): 12, ("g", 1, "i", "j"): 13,
    }  # fmt: skip
    assert key_lines(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "{a = " * 100_000,
        "a" + ".a" * 100_000 + " = 1",
        "[a" + ".a" * 100_000 + "]",
        "\n\na = " + "9" * 500_000,
    ],
)
def test_limits_are_stated_at_once(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(LimitExceeded) as caught:
        key_lines(text)
    assert caught.value.line == text.rstrip("9").count("\n") + 1
    assert time.monotonic() - began < 5


def test_the_deepest_allowed_nesting_is_read() -> None:
    text = "a = " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    tomli.loads(text)
    key_lines(text)
