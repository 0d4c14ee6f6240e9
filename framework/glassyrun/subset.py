"""A fixed subset of the terms, for readings that a full pass would make too dear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from glassyrun.errors import Refusal
from glassyrun.options import ObservableOptions, described

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    from glassyrun.context import Context
    from glassyrun.system import System


class SubsetOptions(ObservableOptions):
    """Options of an Observable that looks at all terms, or at a fixed part of them: the field `terms`."""

    terms: Annotated[
        Annotated[int, described("terms", ge=1)] | Annotated[float, described("share of the terms", gt=0, le=1)] | None,
        described(
            "look at a fixed random subset of this many terms (a whole number, or a share as a decimal), "
            "the same at every reading and in every sample; default: all terms"
        ),
    ] = None

    def subset(self, context: Context, system: System) -> Int[Tensor, " term"] | None:
        """The terms to look at, in increasing order; None for all.

        Drawn from the seed and the label of the observable, whatever the sample.

        Raises:
            Refusal: if there are not so many.
        """
        if self.terms is None:
            return None
        import numpy as np
        import torch

        from glassyrun.batches import Permutation, batch_count

        if not system.terms:
            raise Refusal(
                f"observables.{self.label}.terms: this system keeps no terms of which some could be looked at; leave it out"
            )
        size = batch_count(self.terms, system.terms)
        if size > system.terms:
            raise Refusal(
                f"observables.{self.label}.terms: found {size}, but the system has only {system.terms} terms; "
                f"take at most {system.terms}, or leave it out for all terms"
            )
        order = Permutation.keyed(system.terms, context.common_stream("subset"), 0)
        return torch.from_numpy(np.sort(order(np.arange(size)))).to(context.device)

    def described_terms(self, subset: Int[Tensor, " term"] | None, system: System) -> dict[str, str]:
        """What the variable's attributes say."""
        return {"terms": "all" if subset is None else f"a fixed random subset of {len(subset)} of {system.terms}"}
