"""What the directory of a run is called."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import PurePath

from glassyrun.spec.overrides import split_override

LONGEST = 120
"""Characters; file systems take 255 bytes, and result files add theirs."""
UNSAFE = re.compile(r"[^A-Za-z0-9._=+@-]")


def run_name(path: PurePath | str, overrides: Sequence[str] = (), origin: str | None = None) -> str:
    """`pspin3,system.n=512` for `specs/pspin3.toml --set system.n=512`: one name for one variant of a spec.

    A run that begins from another one has `from=` and the last part of that one's directory in its name.
    The order of overrides does not matter where none lies within another. Names with characters that file names can't
    have, and long ones, are shortened and end in a digest of the whole, so that no two variants share a name.
    """
    stem = PurePath(path).stem
    pairs = _ordered([split_override(text) for text in overrides])
    if origin is not None:
        place = PurePath(origin)
        pairs.append(("from", (place.parent if place.name == "result.nc" else place).name))
    parts = [stem, *(f"{field}={value}" for field, value in pairs)]
    safe = ",".join(UNSAFE.sub("_", part) for part in parts).lstrip(".-") or "run"
    if safe == ",".join(parts) and len(safe) <= LONGEST:
        return safe
    digest = hashlib.blake2b(json.dumps([stem, pairs]).encode(), digest_size=6).hexdigest()
    return f"{safe[: LONGEST - 13]}~{digest}"


def _ordered(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The last word on each field, sorted, unless one field lies within another and the order has a meaning."""
    fields = [field for field, _ in pairs]
    if any(other.startswith(f"{field}.") for field in fields for other in fields):
        return pairs
    return sorted(dict(pairs).items())
