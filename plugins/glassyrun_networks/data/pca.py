"""Principal components of a training set."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from glassyrun import DataError, LabelledData
from glassyrun_networks.data.room import lacking

ROWS = 1024
"""Inputs looked at together. Products of numbers from −128 to 127 summed over 1024 inputs stay within 2²⁴: float32 has them exactly."""

MOST_FEATURES = 5000
"""Components of an input; a CIFAR image has 3072. The work grows with the third power: a minute at this size."""


@attrs.frozen(eq=False)
class Components:
    """The leading principal components of what a network sees of a training set."""

    centre: Float[Tensor, " feature"]
    """Mean of the inputs as they are stored."""
    axes: Float[Tensor, "feature component"]
    """Stored and centred inputs times these are the coordinates."""
    kept: float
    """The fraction of the variance that the coordinates hold."""

    @torch.no_grad()
    def project(self, inputs: Shaped[Tensor, "term ..."]) -> Float[Tensor, "term component"]:
        """Coordinates of inputs, float32, worked out in float64."""
        projected = [(rows.flatten(1).double() - self.centre) @ self.axes for rows in inputs.split(ROWS)]
        return torch.cat([rows.float() for rows in projected])


@torch.no_grad()
def principal_components(data: LabelledData, count: int) -> Components:
    """The first `count` components of the training set, normalised per channel, by decreasing variance.

    The coordinates are centred and share one scale: their mean square over the training set is 1, so |x|² = `count` on average,
    as for Gaussian vectors. They are not whitened, because that would make directions of noise as long as those that carry the
    images. In each axis the entry of largest modulus is positive.

    Raises:
        DataError: if the training set spans fewer directions, or has more inputs than can be compared with each other.
    """
    features = data.train_x[0].numel()
    if features > MOST_FEATURES:
        raise DataError(
            f"system.data.pca = {count}: inputs have {features} components, expected at most {MOST_FEATURES}, because each is compared "
            "with each other; leave pca out"
        )
    lack = lacking(8 * 6 * features**2)
    if lack:
        raise DataError(
            f"system.data.pca = {count}: the covariance of {features} inputs takes {lack}: leave pca out, or shorten them"
        )
    mean, covariance = _moments(data.train_x)
    std = torch.tensor(tuple(data.std), dtype=torch.float64) * data.unit
    shape = data.train_x.shape[1:]
    per_feature = std.view(-1, *(1 for _ in shape[1:])).expand(shape).reshape(-1)
    variance, axes = torch.linalg.eigh(covariance / torch.outer(per_feature, per_feature))
    variance, axes = variance.flip(0), axes.flip(1)
    rank = int((variance > variance[0] * len(variance) * torch.finfo(torch.float64).eps).sum())
    if count > rank:
        raise DataError(
            f"system.data.pca = {count}, but the {len(data.train_x)} training inputs span {rank} directions: ask for at most that"
        )
    axes = axes[:, :count]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    scale = variance[:count].mean().rsqrt()
    return Components(
        mean, axes * largest.sign() * scale / per_feature.unsqueeze(1), float(variance[:count].sum() / variance.sum())
    )


def _moments(inputs: Shaped[Tensor, "term ..."]) -> tuple[Float[Tensor, " feature"], Float[Tensor, "feature feature"]]:
    """Mean and covariance, float64. For 8-bit inputs the sums are exact integers, whatever the number of threads."""
    count, features = len(inputs), inputs[0].numel()
    total = torch.zeros(features, dtype=torch.float64)
    products = torch.zeros(features, features, dtype=torch.float64)
    kind, origin = (torch.float64, 0) if inputs.dtype.is_floating_point else (torch.float32, 128)
    for rows in inputs.split(ROWS):
        flat = rows.flatten(1).to(kind) - origin
        total += flat.sum(0, dtype=torch.float64)
        products += flat.T @ flat
    products.mul_(count).addr_(total, total, alpha=-1)
    return total / count + origin, products / count**2
