"""x and what is remembered of it in float64, piece by piece: no second copy of all of x, and each piece stays in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import ObservableOptions, Refusal, System, Variable, described

PIECE = 2**16
"""Numbers of all replicas together that are looked at at a time; sums depend on it in the last bits, so it is fixed."""

WHOLE = slice(None)


def pieces(x: Float[Tensor, "replica dof"], where: slice = WHOLE) -> Iterator[slice]:
    """The degrees of freedom of `where`, one slice after another."""
    begin, end, _ = where.indices(x.shape[1])
    width = max(1, PIECE // x.shape[0])
    for at in range(begin, end, width):
        yield slice(at, min(at + width, end))


def doubled(x: Float[Tensor, "replica dof"], piece: slice) -> Float[Tensor, "replica piece"]:
    """A copy of a piece in float64, which the caller may overwrite: `x.double()` would be x itself where it is float64."""
    return x[:, piece].to(torch.float64, copy=True)


def displacements(
    x: Float[Tensor, "replica dof"], past: Float[Tensor, "replica dof"], where: slice = WHOLE
) -> Iterator[Float[Tensor, "replica piece"]]:
    """x − past in float64; expanding the square instead loses small displacements in float32.

    Each piece is a tensor of its own, which the caller may overwrite.
    """
    for piece in pieces(x, where):
        yield doubled(x, piece).sub_(past[:, piece])


def squared_norm(x: Float[Tensor, "replica dof"], where: slice = WHOLE) -> Float[Tensor, " replica"]:
    """Σ x² over the degrees of freedom of `where`, in float64."""
    norm = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for piece in pieces(x, where):
        norm += doubled(x, piece).square_().sum(1)
    return norm


def size(x: Float[Tensor, "replica dof"], where: slice = WHOLE) -> int:
    """Degrees of freedom of `where`."""
    begin, end, _ = where.indices(x.shape[1])
    return end - begin


class BlockOptions(ObservableOptions):
    """Field `blocks`."""

    blocks: Annotated[
        bool, described("read each block of the system (layer of a network) by itself as well, as NAME_block over `block`")
    ] = False

    def blocks_of(self, system: System) -> Mapping[str, slice]:
        """The blocks to read; none where the spec does not ask for them.

        Raises:
            Refusal: if the system has none.
        """
        if self.blocks and not system.blocks:
            raise Refusal(
                f"observables.{self.label}.blocks: found true, but a {type(system).__name__} has no blocks; leave it out"
            )
        return dict(system.blocks) if self.blocks else {}


def with_blocks(variables: Mapping[str, Variable], blocks: Mapping[str, slice], system: System) -> dict[str, Variable]:
    """The variables of the whole and, where there are blocks, one over `block` for each."""
    if not blocks:
        return dict(variables)
    sizes = ", ".join(f"{name}: {len(range(*where.indices(system.dof)))}" for name, where in blocks.items())
    by_block = {
        f"{name}_block": Variable(
            f"{variable.long_name}, by block",
            variable.units,
            ("replica", "block"),
            {"block": list(blocks)},
            {**variable.attributes, "block_sizes": sizes},
        )
        for name, variable in variables.items()
    }
    return {**variables, **by_block}


def read_parts(
    measure: Callable[[slice], Mapping[str, Float[Tensor, " replica"]]], blocks: Mapping[str, slice]
) -> dict[str, Tensor]:
    """What `measure` gives of the whole, and of each block under NAME_block, [replica, block]."""
    whole = dict(measure(WHOLE))
    parts = [measure(where) for where in blocks.values()]
    stacked = {f"{name}_block": torch.stack([part[name] for part in parts], 1) for name in whole} if parts else {}
    return {**whole, **stacked}
