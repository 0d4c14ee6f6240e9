"""Where data sets lie."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from glassyrun import Context

VARIABLE = "GLASSYRUN_DATA"


def data_root(context: Context) -> Path:
    """The folder of data sets: from the command line, the environment variable GLASSYRUN_DATA, or the user's cache."""
    if context.data_root is not None:
        return context.data_root
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_cache_path("glassyrun") / "data"
