"""A labelled data set on the device: stored as it lies in the file, normalised when it is looked at."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from glassyrun import LabelledData


@attrs.frozen(eq=False)
class Inputs:
    """Examples on the device, looked up by number: a batch is one gather and one multiply-add, no loop over images.

    Images are kept with the channel last. That is how convolutions on a CPU run fastest (the whole step of the cnn is a third
    faster than with the channel first), and a batch then needs no reordering.
    """

    stored: Shaped[Tensor, "term feature"]
    shape: tuple[int, ...]
    """Of one example as it is stored: (height, width, channel), or (feature,)."""
    labels: Int[Tensor, " term"]
    scale: Float[Tensor, " feature"]
    shift: Float[Tensor, " feature"]

    @classmethod
    def place(
        cls, x: Shaped[Tensor, "term ..."], y: Int[Tensor, " term"], data: LabelledData, device: torch.device, dtype: torch.dtype
    ) -> Inputs:
        """Puts one part of `data` on `device`; what a network sees of it will be of type `dtype`."""
        kept = x.movedim(1, -1).contiguous()
        shape = tuple(kept.shape[1:])
        std, mean = (torch.tensor(tuple(values), dtype=torch.float64) for values in (data.std, data.mean))
        scale, shift = ((value.expand(shape).reshape(-1)).to(device, dtype) for value in (1 / (data.unit * std), -mean / std))
        return cls(kept.reshape(len(kept), -1).to(device), shape, y.long().to(device), scale, shift)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, terms: Int[Tensor, "*batch"]) -> tuple[Float[Tensor, "..."], Int[Tensor, "*batch"]]:
        """What a network sees of the given examples, images as [*batch, channel, height, width], and their labels."""
        flat = terms.reshape(-1)
        raw = self.stored.index_select(0, flat)
        seen = torch.addcmul(self.shift, raw.to(self.scale.dtype), self.scale)
        return seen.view(*terms.shape, *self.shape).movedim(-1, terms.dim()), self.labels.index_select(0, flat).view(terms.shape)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(tensor.nbytes for tensor in (self.stored, self.labels, self.scale, self.shift))


def held_bytes(data: LabelledData) -> int:
    """What `Inputs` of all parts of `data` will hold, in bytes, up to the few kilobytes of the normalisation."""
    labels = len(data.train_y) + (0 if data.test_y is None else len(data.test_y))
    return data.train_x.nbytes + (0 if data.test_x is None else data.test_x.nbytes) + 8 * labels


def example_shape(data: LabelledData) -> tuple[int, ...]:
    """(channel, height, width) of an image, or (feature,) of a vector."""
    return tuple(data.train_x.shape[1:])
