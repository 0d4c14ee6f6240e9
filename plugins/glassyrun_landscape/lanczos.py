"""Lanczos' method for all replicas at once."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from glassyrun import Refusal

Vectors = Float[Tensor, "replica dof"]
ENDED = 1e-10
"""A remainder of this size, relative to the largest yet, is rounding: the vectors span all that the operator leads to."""


@attrs.frozen(eq=False)
class Tridiagonal:
    """What is left of an operator in the space spanned by a start, its image, the image of that, …"""

    diagonal: Float[Tensor, "replica step"]
    beside: Float[Tensor, "replica step"]
    """Below the diagonal; the last entry leads out of the space and is the size of what was left over."""
    basis: Float[Tensor, "step replica dof"]
    """Orthonormal; rows of zeros where the space has ended."""

    def ritz(self) -> tuple[Float[Tensor, "replica step"], Float[Tensor, "replica step"], Float[Tensor, "replica step"]]:
        """Ritz values in increasing order, the weight of each in the start, and a bound on how far the nearest eigenvalue is.

        Values and weights are Gauss's quadrature of the spectral density in the start (Golub and Meurant 1994). Where the space has ended,
        values that stand for nothing have weight 0.
        """
        values, vectors = self._solved()
        return values, vectors[:, 0].square(), (self.beside[:, -1:] * vectors[:, -1]).abs()

    def leading(
        self, count: int
    ) -> tuple[Float[Tensor, "replica rank"], Float[Tensor, "replica rank"], Float[Tensor, "rank replica dof"]]:
        """The largest Ritz values in decreasing order, |Hv − θv| of each, and unit Ritz vectors v; NaN where there are no more."""
        values, vectors = self._solved()
        there = vectors[:, 0].square() > 0
        order = torch.where(there, -values, torch.inf).argsort(dim=1, stable=True)[:, :count]
        known = there.gather(1, order)
        chosen = vectors.gather(2, order.unsqueeze(1).expand(-1, vectors.shape[1], -1))
        left = (self.beside[:, -1:] * chosen[:, -1]).abs()
        full = torch.einsum("krd,rki->ird", self.basis, chosen.to(self.basis.dtype))
        missing = ~known.T.unsqueeze(2)
        return values.gather(1, order).where(known, torch.nan), left.where(known, torch.nan), full.masked_fill(missing, torch.nan)

    def _solved(self) -> tuple[Float[Tensor, "replica step"], Float[Tensor, "replica component step"]]:
        """Eigenvalues in increasing order, and eigenvectors in the basis."""
        inside = self.beside[:, :-1]
        return torch.linalg.eigh(torch.diag_embed(self.diagonal) + torch.diag_embed(inside, 1) + torch.diag_embed(inside, -1))


def lanczos(product: Callable[[Vectors], Vectors], start: Vectors, steps: int) -> Tridiagonal:
    """So many steps, each one product, with full reorthogonalisation, done twice (Paige 1980; Parlett 1998).

    The basis stays orthogonal to rounding, which a spectrum with a few large eigenvalues would else destroy within a few steps. Takes steps ×
    replicas × dof numbers of the type of `start`.
    """
    basis = start.new_zeros((steps, *start.shape))
    diagonal, beside = torch.zeros(2, len(start), steps, dtype=torch.float64, device=start.device)
    vector = start / torch.linalg.vector_norm(start, dim=1, keepdim=True)
    largest = torch.zeros(len(start), dtype=torch.float64, device=start.device)
    for k in range(steps):
        basis[k] = vector
        rest = product(vector)
        diagonal[:, k] = torch.linalg.vecdot(vector.double(), rest.double())
        for _ in range(2):
            along = torch.einsum("krd,rd->kr", basis[: k + 1], rest)
            rest = rest - torch.einsum("kr,krd->rd", along, basis[: k + 1])
        left = torch.linalg.vector_norm(rest, dim=1).double()
        largest = torch.maximum(largest, torch.maximum(diagonal[:, k].abs(), left))
        goes_on = left > ENDED * largest
        beside[:, k] = torch.where(goes_on, left, 0.0)
        vector = torch.where(goes_on.unsqueeze(1), rest / torch.where(goes_on, left, 1.0).unsqueeze(1).to(rest.dtype), 0.0)
    return Tridiagonal(diagonal, beside, basis)


def refuse_steps(label: str, steps: int, dimension: int, field: str, wanted: int) -> None:
    """Raises a Refusal where there are more steps than dimensions, or more eigenvalues wanted, in a field, than steps."""
    if steps > dimension or wanted > steps:
        name, found, most, why = (
            ("steps", steps, dimension, "the dimension of the space")
            if steps > dimension
            else (field, wanted, steps, "the number of steps")
        )
        raise Refusal(f"observables.{label}.{name}: found {found}, expected at most {most}, {why}; lower it")
