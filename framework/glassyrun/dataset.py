"""What a data set is to a System that learns from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from jaxtyping import Int, Shaped
from torch import Tensor


@attrs.frozen(eq=False)
class LabelledData:
    """Inputs and labels on the host, as they lie in the file; Systems put them on the device once.

    Images are uint8 of shape [image, channel, height, width], vectors floating point of shape [vector, feature]. The
    System sees (input / `unit` − mean) / std, per channel.
    """

    train_x: Shaped[Tensor, "train *shape"]
    train_y: Int[Tensor, " train"]
    test_x: Shaped[Tensor, "test *shape"] | None = None
    test_y: Int[Tensor, " test"] | None = None
    classes: int = 10
    unit: float = 255.0
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    provenance: Mapping[str, str] = attrs.field(factory=dict)
    """Source file, its digest, what part of it was taken; written into the result's attributes."""
    warnings: Sequence[str] = ()
    """What the user must be told loudly."""
