"""Vectors and labels of statistical mechanics: fixed random teachers, Gaussian clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun import Stream

Drawn = tuple[Float[Tensor, "term feature"], Int[Tensor, " term"]]
"""Inputs, float32, and labels."""

Teacher = Callable[[Float[Tensor, "term feature"]], Float[Tensor, "term class"]]
"""Inputs, float64, to one score a class; the label is the class of the highest."""

ROWS = 4096
"""Inputs that a teacher looks at together."""


def gaussian(stream: Stream, count: int, dimension: int) -> Float[Tensor, "term feature"]:
    """Independent standard normal numbers, float32."""
    return torch.from_numpy(stream.numpy().standard_normal((count, dimension), dtype=np.float32))


def _weights(stream: Stream, *shape: int) -> Float[Tensor, "..."]:
    """Standard normal numbers, float64, over the root of the number of inputs, which is the last side."""
    return torch.from_numpy(stream.numpy().standard_normal(shape)) / shape[-1] ** 0.5


def perceptron(stream: Stream, dimension: int, classes: int, width: int) -> Teacher:
    """One linear score w_k·x a class; with two classes that is sign(w·x), w = w₁ − w₀. `width` does not matter."""
    w = _weights(stream, classes, dimension)
    return lambda x: x @ w.T


def committee(stream: Stream, dimension: int, classes: int, width: int) -> Teacher:
    """The majority of `width` perceptrons, an odd number: sign(Σ_j sign(w_j·x)), two classes."""
    w = _weights(stream, width, dimension)

    def scores(x: Float[Tensor, "term feature"]) -> Float[Tensor, "term class"]:
        votes = (x @ w.T).sign().sum(1)
        return torch.stack([-votes, votes], 1)

    return scores


def mlp(stream: Stream, dimension: int, classes: int, width: int) -> Teacher:
    """One hidden layer of `width` neurons, f_k(x) = Σ_j v_kj erf(w_j·x/√2), all weights Gaussian."""
    w, v = _weights(stream.child("hidden"), width, dimension), _weights(stream.child("output"), classes, width)
    return lambda x: torch.erf(x @ w.T / 2**0.5) @ v.T


TEACHERS: Mapping[str, Callable[[Stream, int, int, int], Teacher]] = {
    "perceptron": perceptron,
    "committee": committee,
    "mlp": mlp,
}


def taught(x: Float[Tensor, "term feature"], teacher: Teacher) -> Int[Tensor, " term"]:
    """The label that `teacher` gives each input."""
    return torch.cat([teacher(rows.double()).argmax(1) for rows in x.split(ROWS)])


def centres(stream: Stream, clusters: int, dimension: int, separation: float) -> Float[Tensor, "cluster feature"]:
    """Corners of a regular simplex around 0 in a random direction, float64; every two of them `separation` apart.

    Needs `clusters` ≤ `dimension`.
    """
    frame, triangle = torch.linalg.qr(torch.from_numpy(stream.numpy().standard_normal((dimension, clusters))))
    corners = (frame * triangle.diagonal().sign()).T  # with these signs it is uniformly distributed
    return separation / 2**0.5 * (corners - corners.mean(0))
