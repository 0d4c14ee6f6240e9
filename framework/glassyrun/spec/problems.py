"""What is wrong with a spec, in one sentence each, with its place."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from glassyrun.errors import GlassyrunError, printable

Path = tuple[str | int, ...]
"""Where a value sits in the document: keys of tables and indices of arrays."""

MOST_PROBLEMS = 50
"""Problems told at once; the rest is counted."""
LONGEST_SHOWN = 60


@attrs.frozen
class Problem:
    """One mistake: where it stands, what was found, what was expected, and what may have been meant."""

    file: str
    """The spec file as it was typed, or the override that brought the value: `--set FIELD=VALUE`."""
    line: int | None
    field: str
    found: str
    expected: str = ""
    hint: str = ""
    column: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        named = not self.field or self.file.startswith(f"--set {self.field}=")
        sentence = f"{place}: {self.found}" if named else f"{place}: {self.field}: {self.found}"
        sentence += f", expected {self.expected}" if self.expected else ""
        sentence += f"; {self.hint}" if self.hint else ""
        return printable(" ".join(sentence.split()))


class SpecError(GlassyrunError):
    """A spec with mistakes; `problems` has every one of them, and the message one line for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = list(problems)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:MOST_PROBLEMS]]
        if len(self.problems) > MOST_PROBLEMS:
            lines.append(f"{self.problems[0].file}: and at least {counted(len(self.problems) - MOST_PROBLEMS, 'more problem')}")
        return "\n".join(lines)


def dotted(path: Iterable[str | int]) -> str:
    """The path as `--set` takes it: `observables.0.name`; keys that are no bare words are quoted."""
    return ".".join(
        str(part) if isinstance(part, int) or re.fullmatch(r"[A-Za-z0-9_-]{1,60}", part) else shortened(json.dumps(part))
        for part in path
    )


def shortened(text: str, longest: int = LONGEST_SHOWN) -> str:
    """One line of bounded length."""
    text = " ".join(text[: 10 * longest].split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def shown(value: Any) -> str:
    """A value in the notation of TOML, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return shortened(json.dumps(value[:200], ensure_ascii=False))
    if isinstance(value, dict):
        return f"a table with {shortened(', '.join(map(str, list(value)[:9])))}" if value else "an empty table"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)} items" if len(value) > 4 else f"[{shortened(', '.join(map(shown, value)))}]"
    return shortened(str(value))


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, if any is near: a beginning (`T`), initials (`lr`), or a slip of the fingers."""
    lowered = {name.lower(): name for name in names}
    begun = [name for low, name in lowered.items() if low.startswith(word.lower()) and word]
    initials = [name for low, name in lowered.items() if "_" in low and word.lower() == "".join(p[:1] for p in low.split("_"))]
    if len(begun or initials) == 1:
        return (begun or initials)[0]
    close = difflib.get_close_matches(word[:100].lower(), lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def meant(word: str, names: Iterable[str]) -> str:
    """`did you mean 'x'?`, or nothing."""
    name = nearest(word, names)
    return f"did you mean '{name}'?" if name else ""


def counted(number: int, what: str) -> str:
    """`1 sample`, `2 samples`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def listed(names: Iterable[str], conjunction: str = "or") -> str:
    """`a, b or c`."""
    names = list(names)
    return f" {conjunction} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
