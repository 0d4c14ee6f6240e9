"""Tables of the observables that only a network has: loss and accuracy over a part of its data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from glassyrun import ObservableOptions, Refusal, SubsetOptions, described

if TYPE_CHECKING:
    from glassyrun import Context, System
    from glassyrun_networks.network import Network, Split
    from glassyrun_networks.readings import SplitReading, TimeToAccuracy

Recalibrate = Annotated[
    bool,
    described(
        "recompute the running statistics of batch norm over the training set, with the weights as they are, before each reading; "
        "as they run along they lag behind, most of all early in a run. Costs a pass over the training set more"
    ),
]


class ReadTestOptions(ObservableOptions):
    """Loss and accuracy over the test set, in evaluation mode: test_loss (that of the system) and test_accuracy (a fraction)."""

    kind: Literal["test"] = "test"
    recalibrate: Recalibrate = False

    def build(self, context: Context, system: System) -> SplitReading:
        from glassyrun_networks.readings import Part, SplitReading, network_of

        network = network_of(system, self.label)
        refuse_no_test_set(network, self.label)
        return SplitReading(Part(network, "test", None, self.recalibrate), self.label)


class ReadTrainOptions(SubsetOptions):
    """Loss and accuracy over the training set or a fixed part of it: train_loss (that of the system), train_accuracy (a fraction)."""

    kind: Literal["train"] = "train"
    recalibrate: Recalibrate = False

    def build(self, context: Context, system: System) -> SplitReading:
        from glassyrun_networks.readings import Part, SplitReading, network_of

        network = network_of(system, self.label)
        return SplitReading(Part(network, "train", self.subset(context, network), self.recalibrate), self.label)


class TimeToAccuracyOptions(SubsetOptions):
    """First time of the one-time grid at which the accuracy reached a value; NaN as long as it has not.

    In units of time of the run (steps for SGD). Read it at the last point of `time`; a finer grid makes it more precise, and
    dearer, since each point costs a pass over the examples.
    """

    kind: Literal["time_to_accuracy"] = "time_to_accuracy"
    accuracy: Annotated[float, described("the accuracy to reach, a fraction", gt=0, le=1)]
    split: Annotated[Literal["test", "train"], described("over the test or the training set")] = "test"
    recalibrate: Recalibrate = False

    def build(self, context: Context, system: System) -> TimeToAccuracy:
        from glassyrun_networks.readings import Part, TimeToAccuracy, network_of

        network = network_of(system, self.label)
        if self.split == "test":
            refuse_no_test_set(network, self.label)
            if self.terms is not None:
                raise Refusal(
                    f"observables.{self.label}.terms: found {self.terms} for the test set, which is always read whole; "
                    'leave it out, or set split = "train"'
                )
        part = Part(network, self.split, self.subset(context, network), self.recalibrate)
        return TimeToAccuracy(part, self.label, self.accuracy)


def refuse_no_test_set(network: Network, label: str) -> None:
    """Raises a Refusal where there is no test set to read."""
    test: Split = "test"
    if test not in network.splits:
        raise Refusal(f"observables.{label}: the data set of this system has no test part; leave the observable out")
