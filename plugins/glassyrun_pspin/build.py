"""From options to couplings, and how much memory that takes."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import Context
from glassyrun_pspin.couplings import Couplings, Law
from glassyrun_pspin.diluted import DilutedCouplings
from glassyrun_pspin.full import FullCouplings
from glassyrun_pspin.layout import Shape, Tiling, store_size
from glassyrun_pspin.model import Model
from glassyrun_pspin.system import PSpin
from glassyrun_pspin.theory import lowest_energy

BEYOND = 2**34
"""Couplings, 69 GB and more, of which the padding isn't worked out: it is 2 % at most, and takes a loop over the spins."""


def size_of(asked: Model, context: Context) -> tuple[int, int, int]:
    """Terms, bytes held, and bytes taken for a while when they are drawn; allocates nothing."""
    itemsize = context.dtype.itemsize
    terms = held = transient = 0
    for degree in asked.coefficients:
        if asked.dilution is not None:
            mine = asked.diluted_terms(degree)
            terms, held = terms + mine, held + DilutedCouplings.bytes(mine, degree, context.dtype)
            transient = max(transient, mine * 3 * max(itemsize, 4 * degree))
            continue
        shape = Shape(asked.n, degree, asked.diagonals)
        terms += shape.terms
        if shape.terms > BEYOND:
            held += shape.terms * itemsize
            continue
        tiles = tuple(shape.tiles(itemsize, Tiling.of(context.device)))
        held += store_size(tiles) * itemsize + shape.table_bytes()
        transient = max(transient, max((tile.rows * tile.columns for tile in tiles), default=0) * 48)
        if context.device.type != "cpu":  # three products of a tile, of all replicas
            widest = max((tile.width * tile.rows for tile in tiles), default=0)
            transient = max(transient, 3 * widest * context.journey.replicas * itemsize)
    planted = asked.n * itemsize if asked.initial_temperature is not None else 0
    return terms, held + planted, transient


def build(asked: Model, context: Context) -> PSpin:
    """Draws the disorder of the sample `context.sample`: the planted configuration first, then the couplings it shifts."""
    planted = _planted(asked, context)
    law = Law(asked.binary, 0.0 if asked.initial_temperature is None else 1 / asked.initial_temperature)
    parts = tuple(_part(asked, degree, scale, law, context, planted) for degree, scale in asked.coefficients.items())
    start = "random" if planted is None else f"planted at T_i = {asked.initial_temperature:g}, shared by the replicas of a sample"
    about = {"disorder": _disorder(asked), "start": start}
    bottom = lowest_energy(asked.coefficients) if asked.dilution is None else None
    return PSpin(int(asked.n), parts, context, planted, about, asked.coefficients, bottom=bottom)


def _part(
    asked: Model, degree: int, scale: float, law: Law, context: Context, planted: Float[Tensor, " site"] | None
) -> Couplings:
    stream = context.stream("couplings").child(f"p{degree}")
    if asked.dilution is not None:
        terms = asked.diluted_terms(degree)
        return DilutedCouplings.draw(asked.n, degree, terms, scale, law, stream, context, planted)
    return FullCouplings.draw(Shape(asked.n, degree, asked.diagonals), scale, law, stream, context, planted)


def _planted(asked: Model, context: Context) -> Float[Tensor, " site"] | None:
    if asked.initial_temperature is None:
        return None
    spins = context.stream("planted").normal((asked.n,), dtype=context.dtype, device=torch.device("cpu"))
    return (spins * (math.sqrt(asked.n) / torch.linalg.vector_norm(spins))).to(context.device)


def _disorder(asked: Model) -> str:
    law = "couplings ±1 times their standard deviation" if asked.binary else "Gaussian couplings"
    if asked.dilution is not None:
        counts = ", ".join(f"{asked.diluted_terms(degree)} of degree {degree}" for degree in asked.coefficients)
        return f"{law}, diluted: {counts}"
    return f"{law}, {'with' if asked.diagonals else 'without'} repeated indices"
