"""Gaussian clusters, one a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from glassyrun_networks.data.generated import GeneratedOptions

if TYPE_CHECKING:
    from glassyrun import Context
    from glassyrun_networks.data.vectors import Drawn


class GaussianMixtureOptions(GeneratedOptions):
    """Gaussian mixture: one cluster a class, of unit variance in every direction.

    An input is its cluster's centre plus N(0, 1) in every component. The centres are the corners of a regular simplex around 0 in
    a random direction, every two of them `separation` apart; the clusters take turns, so that they are equally large. With two
    clusters this is x = ±(separation/2) v + noise, |v| = 1 (Mignacco, Krzakala, Urbani and Zdeborová, NeurIPS 2020), and no
    classifier errs less often than Φ(−separation/2). Centres and noise are drawn anew for each sample.
    """

    kind: Literal["gaussian_mixture"] = "gaussian_mixture"
    clusters: Annotated[int, Field(ge=2, le=100_000, description="number of clusters and of classes; at most `dimension`")] = 2
    separation: Annotated[
        float, Field(ge=0, description="distance of two centres, in standard deviations of a cluster in one direction")
    ] = 2.0

    @model_validator(mode="after")
    def _possible(self) -> GaussianMixtureOptions:
        if self.clusters > self.dimension:
            raise ValueError(
                f"clusters = {self.clusters}, but there are {self.dimension} dimensions: expected at most that, or more dimensions"
            )
        return self

    def number_of_classes(self) -> int:
        return self.clusters

    def law(self) -> str:
        return f"{self.clusters} Gaussian clusters of unit variance, centres {self.separation:g} apart"

    def law_bytes(self) -> int:
        return 8 * 4 * self.clusters * self.dimension

    def draw(self, context: Context) -> Drawn:
        import torch

        from glassyrun_networks.data.vectors import centres, gaussian

        where = centres(context.stream("centres"), self.clusters, self.dimension, self.separation)
        x = gaussian(context.stream("inputs"), self.train + self.test, self.dimension)
        # both parts begin with the first cluster, so that each is balanced
        y = torch.cat([torch.arange(count) % self.clusters for count in (self.train, self.test)])
        return x.add_(where.float()[y]), y
