"""A registry of fake kinds, and a shorthand for what is wrong with a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from glassyrun.registry import Registry, import_file
from glassyrun.spec.load import load_spec
from glassyrun.spec.problems import SpecError

GOOD = """\
seed = 3

[system]
kind = "glass"
n = 64

[dynamics]
kind = "walk"
temperature = 0.5

[schedule]
horizon = 100
"""


@pytest.fixture(scope="session")
def fakes() -> Registry:
    registry = Registry()
    registry.add("fakes", import_file(Path(__file__).with_name("fake_plugin.py")))
    assert not registry.problems
    return registry


@pytest.fixture(scope="session")
def good() -> str:
    return GOOD


@pytest.fixture
def spec_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "x.toml"
        file.write_bytes(text.encode())
        return file

    return write


@pytest.fixture
def wrong(spec_file: Callable[[str], Path], fakes: Registry, tmp_path: Path) -> Callable[..., list[str]]:
    """The lines of the SpecError of a text, without the directory."""

    def lines(text: str, *overrides: str) -> list[str]:
        with pytest.raises(SpecError) as caught:
            load_spec(spec_file(text), overrides, fakes)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return lines
