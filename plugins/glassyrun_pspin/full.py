"""All couplings of one degree, each stored once, in tiles that serve a matrix product and its transpose."""

from __future__ import annotations

from math import factorial

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Context, Stream
from glassyrun_pspin import kernel
from glassyrun_pspin.couplings import Couplings, Law
from glassyrun_pspin.layout import Layout, Shape
from glassyrun_pspin.rectangles import PlantedProducts, Weights


@attrs.define(eq=False, slots=False)
class FullCouplings(Couplings):
    """The full model: i1 ≤ … ≤ ip with variance a² p!/(2N^{p−1} Π m!), m the multiplicities, or only i1 < … < ip."""

    layout: Layout
    store: Float[Tensor, " entry"]

    def __attrs_post_init__(self) -> None:
        self.degree, self.terms = self.layout.shape.degree, self.layout.shape.terms

    @classmethod
    def draw(
        cls, shape: Shape, scale: float, law: Law, stream: Stream, context: Context, planted: Float[Tensor, " site"] | None
    ) -> FullCouplings:
        """Draws the couplings, one pivot at a time: the numbers don't depend on how pivots are put together in tiles."""
        device, dtype = context.device, context.dtype
        layout = Layout.build(shape, dtype.itemsize, device)
        store = torch.zeros(layout.size, dtype=dtype, device=device)
        variance = scale**2 * factorial(shape.degree) / (2 * shape.n ** (shape.degree - 1))
        spins = None if planted is None else PlantedProducts.of(layout, planted)
        weights = Weights.of(layout)
        for tile in layout.tiles:
            block = store[tile.offset : tile.offset + tile.size].view(tile.width, tile.rows, tile.stride)
            for pivot in range(tile.first, tile.stop):
                rows, columns = shape.rectangle(pivot)
                normal = stream.normal((rows, columns), dtype=dtype, device=device, index=pivot, everywhere=True)
                deviation = weights.roots(pivot, dtype) * variance**0.5
                product = None if spins is None else spins.of_pivot(pivot)
                block[pivot - tile.first, :rows, :columns] = law.draw(normal, deviation.expand_as(normal), product)
        return cls(layout, store)

    def contract(self, x: Float[Tensor, "replica site"]) -> Float[Tensor, " replica"]:
        pivot_slope = self._parts(x, False)[2]
        return (x.double() * pivot_slope.double()).sum(1).to(x.dtype)

    def slope(self, x: Float[Tensor, "replica site"]) -> Float[Tensor, "replica site"]:
        left, right, pivot = self._parts(x, True)
        from_left = self.layout.left.pull_back(x, left)
        from_right = self.layout.right.pull_back(x.flip(1), right).flip(1)
        return pivot + from_left + from_right

    def _parts(self, x: Float[Tensor, "replica site"], gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Derivatives with respect to left monomials, right monomials and pivots; without `gradient` only the last."""
        left = self.layout.left.values(x)
        right = self.layout.right.values(x.flip(1))
        if kernel.serves(x):
            return kernel.rectangles(self.store, self.layout.pivots, x, left, right, gradient)
        return self._products(x, left, right, gradient)

    def _products(self, x: Tensor, left: Tensor, right: Tensor, gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Two matrix products a tile. Sites come first here, so that all replicas of a product lie together."""
        x, left, right = x.t().contiguous(), left.t().contiguous(), right.t().contiguous()
        of_left, of_right, of_pivots = torch.zeros_like(left), torch.zeros_like(right), torch.zeros_like(x)
        most = max((tile.width * tile.rows for tile in self.layout.tiles), default=0)
        inner, outer = x.new_empty(most, x.shape[1]), x.new_empty(most, x.shape[1])
        for tile in self.layout.tiles:
            near, far = (right, left) if tile.flipped else (left, right)
            of_near, of_far = (of_right, of_left) if tile.flipped else (of_left, of_right)
            block = self.store[tile.offset : tile.offset + tile.size].view(-1, tile.stride)[:, : tile.columns]
            split = (tile.width, tile.rows, x.shape[1])
            product = torch.mm(block, near[: tile.columns], out=inner[: len(block)]).view(split)
            rows, pivots = far[: tile.rows].unsqueeze(0), x[tile.first : tile.stop].unsqueeze(1)
            of_pivots[tile.first : tile.stop] = (product * rows).sum(1)
            if gradient:
                of_far[: tile.rows] += (product * pivots).sum(0)
                weights = torch.mul(rows, pivots, out=outer[: len(block)].view(split)).view(len(block), -1)
                of_near[: tile.columns].addmm_(block.t(), weights)
        return of_left.t(), of_right.t(), of_pivots.t()

    def pick(self, terms: Int[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Int[Tensor, "*shape degree"]]:
        place, sites = self.layout.locate(terms)
        return self.store[place], sites
