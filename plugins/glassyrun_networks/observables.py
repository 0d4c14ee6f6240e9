"""Tables of the observables that only a network has: loss and accuracy over a part of its data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from glassyrun import ObservableOptions, Refusal

if TYPE_CHECKING:
    from glassyrun import Context, System
    from glassyrun_networks.readings import SplitReading


class ReadTestOptions(ObservableOptions):
    """Loss and accuracy over the test set, in evaluation mode: test_loss (nats) and test_accuracy (a fraction)."""

    kind: Literal["test"] = "test"

    def build(self, context: Context, system: System) -> SplitReading:
        from glassyrun_networks.readings import SplitReading, network_of

        network = network_of(system, self.kind)
        if "test" not in network.splits:
            raise Refusal("observable 'test': the data set of this system has no test part; leave the observable out")
        return SplitReading(network, "test", self.label)


class ReadTrainOptions(ObservableOptions):
    """Loss and accuracy over the training set or a fixed part of it: train_loss (nats) and train_accuracy (a fraction)."""

    kind: Literal["train"] = "train"
    terms: Annotated[
        int | None,
        Field(ge=1, description="number of training examples, drawn once from the seed; default: all of them, which is dear"),
    ] = None

    def build(self, context: Context, system: System) -> SplitReading:
        from glassyrun_networks.readings import SplitReading, network_of, subset

        network = network_of(system, self.kind)
        if self.terms is not None and self.terms > network.terms:
            raise Refusal(
                f"observable 'train': terms = {self.terms}, but the training set has {network.terms} examples; "
                f"give at most {network.terms}"
            )
        return SplitReading(network, "train", self.label, subset(context, network, self.terms))
