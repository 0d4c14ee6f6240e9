"""What the p-spin tests share: a way to build a System, and an energy that knows nothing of the plugin's layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from glassyrun import Context
from glassyrun_pspin.options import PSpinOptions
from glassyrun_pspin.system import PSpin


def make_context(sample: int = 0, dtype: torch.dtype = torch.float64, seed: int = 7) -> Context:
    return Context("pspin", seed, sample, torch.device("cpu"), dtype)


@pytest.fixture(scope="session")
def context() -> Callable[..., Context]:
    return make_context


@pytest.fixture(scope="session")
def pspin() -> Callable[..., PSpin]:
    def build(sample: int = 0, dtype: torch.dtype = torch.float64, **options: Any) -> PSpin:
        system = PSpinOptions(**options).build(make_context(sample, dtype))
        assert isinstance(system, PSpin)
        return system

    return build


@pytest.fixture(autouse=True)
def _deterministic():
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)
