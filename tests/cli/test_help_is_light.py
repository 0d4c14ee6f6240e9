"""`--help` imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from glassyrun.cli import main
code = main(["--help"])
heavy = {"torch", "xarray", "pydantic", "numpy", "matplotlib", "pluggy"} & set(sys.modules)
print("heavy:", sorted(heavy), code)
"""


def test_help_does_not_import_what_takes_long() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("heavy: [] 0\n")
    for word in (
        "plan",
        "plot",
        "plugins",
        "show",
        "schema",
        "collect",
        "watch",
        "--set",
        "--fresh",
        "--plugin",
        "--data",
        "--quiet",
        "--max-wall",
    ):
        assert word in done.stdout


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "glassyrun", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "0.1.0"
