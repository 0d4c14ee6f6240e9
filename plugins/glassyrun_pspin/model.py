"""What a table `[system]` of a p-spin asks for, once its degrees are numbers."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Model:
    """One law of disorder and start."""

    n: float
    """N, a whole number or infinite."""
    coefficients: Mapping[int, float]
    """a_p of each degree p, ascending."""
    binary: bool
    diagonals: bool
    dilution: int | float | None
    """Couplings of each degree, as a number or as a multiple of N^{p−1}; None: all of them."""
    initial_temperature: float | None

    def diluted_terms(self, degree: int) -> int:
        """Couplings of one degree of a diluted model."""
        assert self.dilution is not None
        return self.dilution if isinstance(self.dilution, int) else round(self.dilution * self.n ** (degree - 1))
