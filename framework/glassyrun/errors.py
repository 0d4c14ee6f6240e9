"""What a user can cause, and the exit code each cause ends with."""

from __future__ import annotations

from typing import Any


def printable(text: str) -> str:
    """The text with control characters spelt out: names in a stranger's file must not steer the terminal they are shown on."""
    return "".join(sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode() for sign in text)


class GlassyrunError(Exception):
    """Something a user can mend.

    The message is one sentence that says where, what was found, what was expected and what to do; the command line prints
    it as it stands, without a traceback.
    """

    exit_code = 2

    def __str__(self) -> str:
        return printable(super().__str__())


class Refusal(GlassyrunError):
    """What the spec asks for has no meaning or does not fit. Plugins raise it from `build`, `footprint` and `load`."""


class DataError(GlassyrunError):
    """A data set is absent, damaged, or of the wrong shape."""


class PluginError(GlassyrunError):
    """A plugin raised, or gave back something else than its contract says; the message names it."""


class Diverged(GlassyrunError):
    """The dynamics left the region where its time step makes sense; what was measured before is kept."""

    exit_code = 3
    partial: Any = None
    """The dataset of what was measured, where the run is kept in no directory."""


class Locked(GlassyrunError):
    """Another process owns the run directory."""

    exit_code = 4


class StorageError(GlassyrunError):
    """Reading or writing the run directory failed (full disk, missing rights, damaged file)."""

    exit_code = 5


class OutOfMemory(GlassyrunError):
    """The host or the GPU ran out of memory in the middle of a run; what was measured before is kept where that was possible."""

    exit_code = 5


class Stopped(GlassyrunError):
    """The run was asked to stop; it saved its state and can go on."""

    exit_code = 75
