"""One product with the Hessian: exact, and as a central difference of two gradients. Float32, on the sphere of a p-spin and in flat space.

    python benchmarks/curvature.py [--data DIR] [--seconds 4]

Both sides are `glassyrun_landscape.Curvature.product` over all terms, by turns in one process of one thread; printed are the shortest times of
the processor, in units of one gradient, and how far each is from the exact product in float64, in norm. With kinks (ReLU, max-pool) a difference
is a mean across them, and another quantity. The shift of the spectrum of a p-spin, one gradient for all products at a configuration, is left
out. DIR holds CIFAR-10 as `glassyrun --data` expects it, of which 1,000 images are taken; without it, the packaged sample does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import torch
from _side_by_side import fastest

from glassyrun import Context, State, Stream, System, SystemOptions
from glassyrun_landscape import Curvature
from glassyrun_landscape.curvature import STEPS
from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.data.gaussian_mixture import GaussianMixtureOptions
from glassyrun_networks.mlp import MlpOptions
from glassyrun_pspin.options import PSpinOptions
from glassyrun_pspin.system import PSpin

MIXTURE = GaussianMixtureOptions(dimension=784, train=5_000, test=10, clusters=10, separation=3.0)


IMAGES = Cifar10Options(train=1_000, if_absent="sample")


def tables() -> dict[str, tuple[SystemOptions, int]]:
    """Systems, and the replicas in which each is looked at."""
    return {
        "3-spin, N = 512": (PSpinOptions(n=512), 1),
        "3-spin, N = 512, 16 replicas": (PSpinOptions(n=512), 16),
        "4-spin, N = 128": (PSpinOptions(n=128, p=4), 1),
        "4-spin, N = 128, 16 replicas": (PSpinOptions(n=128, p=4), 16),
        "mlp, tanh": (MlpOptions(data=MIXTURE, activation="tanh"), 1),
        "mlp, ReLU": (MlpOptions(data=MIXTURE), 1),
        "mlp, ReLU, 16 replicas": (MlpOptions(data=MIXTURE), 16),
        "cnn": (CnnOptions(data=IMAGES), 1),
        "cnn, 2 replicas": (CnnOptions(data=IMAGES), 2),
    }


def start(table: SystemOptions, replicas: int, context: Context) -> tuple[System, State, torch.Tensor]:
    """A system, where it starts, and random tangent vectors of length 1."""
    system = table.build(context)
    state = system.initial([Stream(f"start/{replica}", 0, 0) for replica in range(replicas)])
    vectors = Stream("vectors", 0, 0).normal((replicas, system.dof), dtype=context.dtype, device=context.device)
    tangent = system.manifold.project(state.x, vectors)
    return system, state, tangent / torch.linalg.vector_norm(tangent, dim=1, keepdim=True)


def in_double(system: System, table: SystemOptions, context: Context) -> System:
    """The same system in float64; couplings drawn in float64 would be others."""
    if not isinstance(system, PSpin):
        return table.build(attrs.evolve(context, dtype=torch.float64))
    for part in system.parts:
        part.store = part.store.double()
    return system


def compare(name: str, table: SystemOptions, replicas: int, context: Context, seconds: float) -> None:
    """Times and errors of both kinds of product."""
    system, state, vectors = start(table, replicas, context)
    exact = Curvature(system, state)
    difference = attrs.evolve(exact, step=STEPS[torch.float32])
    _ = exact.shift
    sides: dict[str, Callable[[], object]] = {
        "gradient": lambda: system.gradient(state),
        "exact": lambda: exact.product(vectors),
        "difference": lambda: difference.product(vectors),
    }
    times = fastest(sides, seconds, least=2, clock=time.process_time)
    found = {"exact": exact.product(vectors), "difference": difference.product(vectors)}
    known = Curvature(in_double(system, table, context), State(state.x.double())).product(vectors.double())
    off = {side: float((product - known).norm() / known.norm()) for side, product in found.items()}
    told = ", ".join(f"{side} {times[side] / times['gradient']:5.2f} gradients, off by {off[side]:.1e}" for side in off)
    print(f"{name:30s} gradient {1e3 * times['gradient']:8.2f} ms; {told}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    context = Context("system", 0, 0, torch.device("cpu"), torch.float32, asked.data)
    for name, (table, replicas) in tables().items():
        compare(name, table, replicas, context, asked.seconds)


if __name__ == "__main__":
    main()
