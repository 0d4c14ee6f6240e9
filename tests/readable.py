"""Whether a reader can read the labels of a figure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.transforms import BboxBase


def assert_apart(figure: Figure, boxes: Sequence[tuple[str, BboxBase]]) -> None:
    """No label, of these texts and extents in pixels, lies on another or outside the figure."""
    for name, box in boxes:
        assert figure.bbox.x0 <= box.x0, name
        assert box.x1 <= figure.bbox.x1, name
        assert figure.bbox.y0 <= box.y0, name
        assert box.y1 <= figure.bbox.y1, name
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), (one, two)
