"""Which terms a step looks at: an option that all dynamics share."""

from __future__ import annotations

from typing import Annotated

from glassyrun import (
    Batches,
    Context,
    DynamicsOptions,
    Footprint,
    Refusal,
    Sampling,
    System,
    SystemOptions,
    batch_count,
    described,
)

Count = Annotated[int, described("terms in a mini-batch", ge=1)]
Fraction = Annotated[float, described("share of all terms in a mini-batch", gt=0, le=1)]


class MinibatchOptions(DynamicsOptions):
    """Fields `batch_size` and `sampling`, and what follows from them."""

    batch_size: Annotated[
        Count | Fraction | None,
        described(
            "terms in a mini-batch, one batch a replica: a whole number, or a share of all terms as a decimal; default: all terms"
        ),
    ] = None
    sampling: Annotated[
        Sampling,
        described("whether the terms of an epoch are gone through in a random order, or each term is drawn from all"),
    ] = "without_replacement"

    def batches(self, context: Context, system: System) -> Batches | None:
        """The mini-batches, or None for all terms at every step (also where a batch without replacement holds all terms).

        Raises:
            Refusal: if a batch is larger than the system.
        """
        if self.batch_size is None:
            return None
        if not system.terms:
            raise Refusal(
                "dynamics.batch_size: this system keeps no terms to draw mini-batches from; leave it out, or keep its couplings"
            )
        size = batch_count(self.batch_size, system.terms)
        if size > system.terms:
            raise Refusal(
                f"dynamics.batch_size: found {self.batch_size}, but the system has only {system.terms} terms; "
                f"take {system.terms} or less, or leave it out for all terms"
            )
        if size == system.terms and self.sampling == "without_replacement":
            return None
        return Batches(context.stream("batches"), system.terms, size, self.sampling)

    def notes(self, footprint: Footprint, system: SystemOptions) -> tuple[str, ...]:
        if self.batch_size is None:
            return ()
        ratio = footprint.terms / batch_count(self.batch_size, footprint.terms)
        excess = ratio - 1 if self.sampling == "without_replacement" else ratio
        temperature = system.minibatch_temperature(self.flow_step, excess)
        lines = [f"a mini-batch holds 1/{ratio:.6g} of the terms"]
        if temperature is not None:
            lines.append(f"its noise acts like a temperature of {temperature:.4g}")
        return tuple(lines)


def batch_provenance(batches: Batches | None) -> dict[str, str]:
    """What the result says of the mini-batches."""
    if batches is None:
        return {"batches": "all terms at every step"}
    if batches.sampling == "with_replacement":
        return {"batches": f"{batches.size} of {batches.terms} terms, with replacement"}
    left = f"; the remainder of {batches.left_out} terms of each epoch is left out" if batches.left_out else ""
    return {"batches": f"{batches.size} of {batches.terms} terms, without replacement within an epoch{left}"}
