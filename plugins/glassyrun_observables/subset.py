"""A fixed subset of the terms, for readings that a full pass would make too dear."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from glassyrun import Context, ObservableOptions, Permutation, Refusal, System, batch_count, described


class SubsetOptions(ObservableOptions):
    """Field `terms`."""

    terms: Annotated[
        Annotated[int, described("terms", ge=1)] | Annotated[float, described("share of the terms", gt=0, le=1)] | None,
        described(
            "look at a fixed random subset of this many terms (a whole number, or a share as a decimal), "
            "the same at every reading and in every sample; default: all terms"
        ),
    ] = None

    def subset(self, context: Context, system: System) -> Int[Tensor, " term"] | None:
        """The terms to look at; None for all.

        Raises:
            Refusal: if there are not so many.
        """
        if self.terms is None:
            return None
        size = batch_count(self.terms, system.terms)
        if size > system.terms:
            raise Refusal(
                f"observables.{self.label}.terms: found {size}, but the system has only {system.terms} terms; "
                "take fewer, or leave it out for all terms"
            )
        order = Permutation.keyed(system.terms, context.common_stream("subset"), 0)
        return torch.from_numpy(np.sort(order(np.arange(size)))).to(context.device)

    def described_terms(self, subset: Int[Tensor, " term"] | None, system: System) -> dict[str, str]:
        """What the variable's attributes say."""
        return {"terms": "all" if subset is None else f"a fixed random subset of {len(subset)} of {system.terms}"}
