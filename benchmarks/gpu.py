"""Steps on a GPU: captured once as a CUDA graph and replayed, or launched kernel by kernel; and the 3-spin against the dense tensor.

    python benchmarks/gpu.py [--data DIR] [--blocks 5] [--steps 100] [--sizes 256 512 1024] [--no-pairings]

Steps are those of a run, float32, batch 100 where there are batches. Each variant runs a block of steps, then the next; ratios are those
of the medians. The dense tensor T[i, j, k] is two matrix products, captured too. DIR holds MNIST and CIFAR-10 as `glassyrun --data` expects
them; without it, the packaged samples do. Without a GPU nothing is captured, and it only shows that the script runs.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from _side_by_side import fastest
from deterministic import block
from pspin import dense

import glassyrun
from glassyrun.graphs import recorded
from glassyrun.spec.model import Spec

CIFAR10, MNIST = ({"kind": kind, "if_absent": "sample"} for kind in ("cifar10", "mnist"))
SYSTEMS: dict[str, dict[str, Any]] = {
    "pspin, N = 512": {"kind": "pspin", "p": 3, "n": 512},
    "mlp [100], MNIST": {"kind": "mlp", "widths": [100], "data": MNIST},
    "mlp [256, 256], CIFAR-10": {"kind": "mlp", "widths": [256, 256], "data": CIFAR10},
    "cnn": {"kind": "cnn", "data": CIFAR10},
    "resnet18": {"kind": "resnet18", "data": CIFAR10},
}
DYNAMICS: dict[str, dict[str, Any]] = {
    "quench": {"kind": "quench", "dt": 0.01},
    "langevin": {"kind": "langevin", "dt": 0.01, "temperature": 0.1},
    "sgd": {"kind": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "batch_size": 100},
}
PAIRINGS = [
    ("pspin, N = 512", "quench", (1, 32)),
    ("pspin, N = 512", "langevin", (1, 32)),
    ("mlp [100], MNIST", "sgd", (1, 32)),
    ("mlp [256, 256], CIFAR-10", "sgd", (1, 8)),
    ("cnn", "sgd", (1, 4)),
    ("resnet18", "sgd", (1, 2)),
]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def spec(system: dict[str, Any], moves: dict[str, Any], replicas: int, **run: Any) -> Spec:
    return glassyrun.load(
        {
            "system": system,
            "dynamics": moves,
            "schedule": {"horizon": 1e6},
            "ensemble": {"replicas": replicas},
            "run": {"device": DEVICE, **run},
        }
    )


def pairings(data: Path | None, blocks: int, steps: int) -> None:
    print(
        f"{'step, ms':26}{'':10}{'replicas':>8}{'launched':>10}{'captured':>10}{'ratio':>7}{'captured, deterministic':>25}",
        flush=True,
    )
    for system, moves, counts in PAIRINGS:
        for replicas in counts:
            asked: list[dict[str, bool]] = [
                {"cuda_graphs": False, "deterministic": False},
                {"cuda_graphs": True, "deterministic": False},
                {"cuda_graphs": True, "deterministic": True},
            ]
            runs = [block(spec(SYSTEMS[system], DYNAMICS[moves], replicas, **run), data, steps) for run in asked]
            launched, captured, repeating = medians(runs, blocks)
            print(
                f"{system:26}{moves:10}{replicas:8d}{1e3 * launched:10.3f}{1e3 * captured:10.3f}{launched / captured:7.1f}"
                f"{1e3 * repeating:25.3f}",
                flush=True,
            )


def medians(runs: Sequence[Callable[[], float]], blocks: int) -> list[float]:
    """Seconds of a step of each, by turns."""
    for run in runs:
        run()
    times = [[run() for run in runs] for _ in range(blocks)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def against_dense(sizes: Sequence[int], steps: int) -> None:
    print(
        f"{'gradient, ms':>14}{'N':>6}{'replicas':>10}{'dense tensor':>14}{'glassyrun, a step of quench':>29}{'ratio':>7}",
        flush=True,
    )
    for n in sizes:
        tensor = torch.randn(n, n, n, device=DEVICE)
        for replicas in (1, 32):
            spins = torch.randn(n, replicas, device=DEVICE)
            ours = block(spec({"kind": "pspin", "p": 3, "n": n}, DYNAMICS["quench"], replicas), None, steps)
            ours()
            theirs = fastest({"dense": dense_steps(tensor, spins, steps)}, 0.3)["dense"] / steps
            own = min(ours() for _ in range(3))
            print(f"{'':14}{n:6d}{replicas:10d}{1e3 * theirs:14.3f}{1e3 * own:29.3f}{theirs / own:7.2f}", flush=True)


def dense_steps(tensor: torch.Tensor, spins: torch.Tensor, steps: int) -> Callable[[], object]:
    """So many gradients by the dense tensor, captured where there is a GPU, which is waited for."""

    def product() -> torch.Tensor:
        return dense(tensor, spins)

    step = recorded(product, tensor.device).replay if DEVICE == "cuda" else product

    def run() -> None:
        for _ in range(steps):
            step()
        float(tensor[0, 0, 0])

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of MNIST and CIFAR-10")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="steps a block")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512, 1024], help="N of the dense tensor")
    parser.add_argument("--pairings", action=argparse.BooleanOptionalAction, default=True)
    asked = parser.parse_args()
    where = torch.cuda.get_device_name() if DEVICE == "cuda" else "no GPU: nothing is captured"
    print(f"{where}, torch {torch.__version__}")
    if asked.pairings:
        pairings(asked.data, asked.blocks, asked.steps)
    against_dense(asked.sizes, asked.steps)


if __name__ == "__main__":
    main()
