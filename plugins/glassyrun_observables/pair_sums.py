"""The sums that overlap and displacement are made of, in one pass over x and what is remembered of it."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import Snapshot, thread_count, together
from glassyrun_observables.pieces import WHOLE, doubled, pieces

CHUNK = 1 << 16
"""Degrees of freedom of a replica that are summed up at a time; sums depend on it in the last bits, so it is fixed."""
ALONE = 1 << 18
"""Numbers below which waking a second thread takes longer than it helps."""


@attrs.frozen(eq=False)
class PairSums:
    """Sums over degrees of freedom in float64: Σ x x′, Σ x², Σ x′², Σ δ² and Σ δ⁴, δ = x − x′.

    δ is formed before it is squared: to expand the square instead loses small displacements in float32.
    """

    product: Float[Tensor, " replica"]
    norm: Float[Tensor, " replica"]
    norm_past: Float[Tensor, " replica"]
    second: Float[Tensor, " replica"]
    fourth: Float[Tensor, " replica"]


def pair_sums(now: Snapshot, past: Float[Tensor, "replica dof"], where: slice = WHOLE) -> PairSums:
    """Of x now and `past`; to be had by `now.once(pair_sums, past, where)`, so that one pass serves all observables."""
    return sums_of(now.state.x, past, where)


def sums_of(x: Float[Tensor, "replica dof"], past: Float[Tensor, "replica dof"], where: slice = WHOLE) -> PairSums:
    """Over the degrees of freedom of `where`; the same bits whatever the number of threads."""
    on_host = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and past.dtype == x.dtype
    return PairSums(*(_compiled(x, past, where) if on_host else _in_torch(x, past, where)))


def _compiled(x: Tensor, past: Tensor, where: slice) -> Float[Tensor, "5 replica"]:
    from glassyrun_observables.pair_loops import add_up

    begin, end, _ = where.indices(x.shape[1])
    replicas, chunks = x.shape[0], max(1, -(-(end - begin) // CHUNK))
    sums = torch.empty(replicas, chunks, 5, dtype=torch.float64)
    arrays = x.detach().contiguous().numpy(), past.detach().contiguous().numpy(), begin, end, CHUNK, sums.numpy()
    tasks = replicas * chunks
    parts = 1 if replicas * (end - begin) < ALONE else min(thread_count(), tasks)
    together(lambda part: add_up(*arrays, tasks * part // parts, tasks * (part + 1) // parts), parts)
    return sums.sum(1).T


def _in_torch(x: Tensor, past: Tensor, where: slice) -> Float[Tensor, "5 replica"]:
    sums = torch.zeros(5, len(x), dtype=torch.float64, device=x.device)
    for piece in pieces(x, where):
        here, there = doubled(x, piece), doubled(past, piece)
        square = (here - there).square_()
        parts = (here * there).sum(1), here.square_().sum(1), there.square_().sum(1), square.sum(1), square.square_().sum(1)
        sums += torch.stack(parts)
    return sums
