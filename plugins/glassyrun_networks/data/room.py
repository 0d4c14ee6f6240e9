"""Memory is asked for before it is taken."""

from __future__ import annotations

import psutil


def lacking(need: int) -> str | None:
    """Why `need` bytes can't be had on this machine, a clause; None where they can."""
    free = psutil.virtual_memory().available
    return None if need <= free else f"{need / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free"
