"""What the energy says of its landscape."""

from __future__ import annotations

from typing import Any

import pytest

import glassyrun
from glassyrun_pspin.theory import ground_state

MIXTURE = {"data": {"kind": "gaussian_mixture", "dimension": 4, "train": 50, "test": 10, "clusters": 2}}


@pytest.mark.parametrize(
    ("system", "bottom"),
    [
        ({"kind": "pspin", "n": 12}, ground_state(3).energy),
        ({"kind": "pspin", "n": 500, "disorder": "lazy"}, ground_state(3).energy),
        ({"kind": "pspin", "n": float("inf"), "p": 4}, ground_state(4).energy),
        ({"kind": "pspin", "n": 12, "mixture": {"2": 1.0, "4": 0.3}}, None),  # full breaking: not known
        ({"kind": "pspin", "n": 24, "dilution": 1200}, None),
        ({"kind": "mlp", "widths": [4], **MIXTURE}, 0.0),
    ],
    ids=["dense", "lazy", "theory", "full breaking", "diluted", "network"],
)
def test_the_bottom_of_a_landscape_is_told_where_it_is_known(system: dict[str, Any], bottom: float | None) -> None:
    """`analysis.regimes` reads it."""
    spec = {"system": system, "dynamics": {"kind": "quench", "dt": 0.1}, "schedule": {"horizon": 1}}
    assert glassyrun.run(spec, quiet=True).energy.attrs.get("bottom") == bottom
