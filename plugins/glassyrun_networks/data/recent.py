"""The data set that was loaded last: stating the size of a run and building it both ask for the data, which is read once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

import attrs

from glassyrun import LabelledData


@attrs.frozen
class _Entry:
    key: Hashable
    data: LabelledData
    expires: float


_last: list[_Entry] = []
"""One data set at most. A System on the CPU keeps the same memory, so that remembering it costs nothing beside it."""


def recent(key: Callable[[], Hashable], load: Callable[[], LabelledData], patience: float) -> LabelledData:
    """The data set that was loaded last if it has this key, else what `load` gives, which is then the last one.

    Args:
        key: what the data depend on; asked again after loading, which may have brought files.
        load: reads, downloads or draws.
        patience: seconds after which a set that came with warnings (a sample in place of the whole) is looked for again.
    """
    wanted = key()
    if _last and _last[0].key == wanted and time.monotonic() < _last[0].expires:
        return _last[0].data
    _last.clear()
    data = load()
    _last[:] = [_Entry(key(), data, time.monotonic() + (patience if data.warnings else float("inf")))]
    return data


def forget() -> None:
    """Lets go of it."""
    _last.clear()
