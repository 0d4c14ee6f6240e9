"""What is done to every data set before a network sees it: a subset, other labels, principal components, in this order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from glassyrun import DatasetOptions

if TYPE_CHECKING:
    from glassyrun import Context, LabelledData, Stream

PATIENCE_SECONDS = 60.0
"""Time in which a set that could not be had is not looked for again: nobody waits for it twice in one run."""


class PreparedOptions(DatasetOptions):
    """A data set of which a part can be taken, whose labels can be replaced, and whose inputs can be projected.

    A new set is a subclass with a `kind` and `whole`.
    """

    subset: Annotated[
        int | None,
        Field(
            ge=1,
            description="take this many training examples, drawn from the seed, classes equally often (what the number of "
            "classes leaves over goes to classes drawn at random); a larger subset contains the smaller ones; default: all",
        ),
    ] = None
    labels: Annotated[
        Literal["own", "random", "odd_even"],
        Field(
            description="own; random: the labels of the training set in a random order (Zhang et al. 2017), those of the test set "
            "stay; odd_even: two classes, 0 for even and 1 for odd labels"
        ),
    ] = "own"
    pca: Annotated[
        int | None,
        Field(
            ge=1,
            description="replace inputs by their first n principal components, those of the training set; centred, not whitened, "
            "with one scale for all of them: |x|² = n on average; default: the inputs as they are",
        ),
    ] = None

    @abstractmethod
    def whole(self, context: Context) -> LabelledData:
        """The set before it is prepared.

        Raises:
            DataError: if it is absent, damaged or of the wrong shape.
        """

    def stamp(self, context: Context) -> Hashable:
        """Changes when what `whole` reads changes: files that came, went or were replaced."""
        return None

    def load(self, context: Context) -> LabelledData:
        """The set on the host, prepared; the one that was loaded last is not read again."""
        from glassyrun_networks.data.recent import recent

        def key() -> Hashable:
            sample = context.sample if self.disordered else None
            return self, context.owner, context.seed, sample, self.stamp(context)

        return recent(key, lambda: self._prepared(context), PATIENCE_SECONDS)

    def _stream(self, context: Context, name: str) -> Stream:
        """Chance of one sample where the set is part of the disorder, else of all samples together."""
        return context.stream(name) if self.disordered else context.common_stream(name)

    def _prepared(self, context: Context) -> LabelledData:
        data = self.whole(context)
        if self.subset is not None:
            data = self._part(data, self.subset, self._stream(context, "subset"))
        data = self._labelled(data, self._stream(context, "labels"))
        return data if self.pca is None else self._projected(data, self.pca)

    def _drawn(self) -> str:
        return "drawn from the seed" + (", anew for each sample" if self.disordered else "")

    def _part(self, data: LabelledData, count: int, stream: Stream) -> LabelledData:
        import attrs

        from glassyrun_networks.data.subsets import balanced

        chosen = balanced(data.train_y, data.classes, count, stream)
        told = f"{count} of {len(data.train_y)} training examples, classes equally often, {self._drawn()}"
        return attrs.evolve(
            data,
            train_x=data.train_x[chosen],
            train_y=data.train_y[chosen],
            provenance={**data.provenance, "data_subset": told},
        )

    def _labelled(self, data: LabelledData, stream: Stream) -> LabelledData:
        import attrs

        from glassyrun_networks.data.subsets import parity, permuted

        if self.labels == "random":
            told = f"those of the training set permuted, {self._drawn()}"
            changed = attrs.evolve(data, train_y=permuted(data.train_y, stream))
        elif self.labels == "odd_even":
            told = "0 for even and 1 for odd labels"
            test_y = None if data.test_y is None else parity(data.test_y)
            changed = attrs.evolve(data, train_y=parity(data.train_y), test_y=test_y, classes=2)
        else:
            return data
        return attrs.evolve(changed, provenance={**data.provenance, "data_labels": told})

    def _projected(self, data: LabelledData, count: int) -> LabelledData:
        import attrs

        from glassyrun_networks.data.pca import principal_components

        components = principal_components(data, count)
        # the attributes of a result are the same for all its samples
        share = "" if self.disordered else f" ({100 * components.kept:.3g} % of the variance)"
        told = f"first {count} principal components of the training set{share}, centred, scaled together to |x|² = {count} on average"
        return attrs.evolve(
            data,
            train_x=components.project(data.train_x),
            test_x=None if data.test_x is None else components.project(data.test_x),
            unit=1.0,
            mean=(0.0,),
            std=(1.0,),
            provenance={**data.provenance, "data_pca": told},
        )
