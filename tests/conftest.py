"""One thread a test process: pytest-xdist runs as many processes as there are cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import matplotlib as mpl
import torch

torch.set_num_threads(1)
mpl.use("Agg")
