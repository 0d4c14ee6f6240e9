"""A Solver: how the numbers on the grid come about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glassyrun.experiment import Experiment, Setting


class Solver(ABC):
    """Turns an experiment into measured numbers.

    `Trajectories` evolves the System under the Dynamics; a theory of the same spec may instead solve equations for its
    averages on the same grid.
    """

    def foreseen(self, setting: Setting) -> list[str] | None:
        """Lines of `glassyrun plan` on what this costs; None where steps and readings of a trajectory are to be timed.

        Raises:
            GlassyrunError: whatever would stop the run.
        """
        return None

    @abstractmethod
    def run(self, experiment: Experiment) -> None:
        """Measures everything that `experiment.store` does not hold yet and commits it there."""
