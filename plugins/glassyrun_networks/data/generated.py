"""What data sets that are drawn, not read, have in common: their size, and that they are part of the disorder."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from glassyrun import Refusal
from glassyrun_networks.data.prepare import PreparedOptions

if TYPE_CHECKING:
    from glassyrun import Context, LabelledData
    from glassyrun_networks.data.vectors import Drawn

MOST_SIDES, MOST_EXAMPLES = 1_000_000, 100_000_000


class GeneratedOptions(PreparedOptions):
    """Vectors drawn from the run's seed, other ones for each sample of the disorder.

    They do not depend on the device nor on the type of the run: float32, drawn on the host.
    """

    disordered: ClassVar[bool] = True

    dimension: Annotated[int, Field(ge=1, le=MOST_SIDES, description="number of components of an input")] = 100
    train: Annotated[int, Field(ge=1, le=MOST_EXAMPLES, description="number of training examples")] = 1000
    test: Annotated[int, Field(ge=1, le=MOST_EXAMPLES, description="number of test examples")] = 1000

    @abstractmethod
    def number_of_classes(self) -> int:
        """Number of labels."""

    @abstractmethod
    def law_bytes(self) -> int:
        """Memory that the law itself takes while it is drawn from: the weights of a teacher, the centres of clusters."""

    @abstractmethod
    def draw(self, context: Context) -> Drawn:
        """`train` + `test` examples, one after another."""

    @abstractmethod
    def law(self) -> str:
        """Inputs and labels in a few words."""

    def whole(self, context: Context) -> LabelledData:
        from glassyrun import LabelledData
        from glassyrun_networks.data.room import lacking

        # twice: a copy while they are drawn
        lack = lacking(8 * (self.train + self.test) * self.dimension + self.law_bytes())
        if lack:
            raise Refusal(
                f"system.data: {self.train} + {self.test} vectors of dimension {self.dimension} take {lack}: take fewer or shorter ones"
            )
        x, y = self.draw(context)
        return LabelledData(
            train_x=x[: self.train],
            train_y=y[: self.train],
            test_x=x[self.train :],
            test_y=y[self.train :],
            classes=self.number_of_classes(),
            unit=1.0,
            provenance={
                "data": self.kind,
                "data_source": f"drawn from the seed, anew for each sample: {self.law()}",
                "data_part": f"train: {self.train} vectors of dimension {self.dimension}; test: {self.test}",
            },
        )
