"""Steps of SGD of several replicas (batch 100 each, float32, momentum 0.9): looked at together, or one after another.

    python benchmarks/ensembles.py [--data DIR] [--threads 2] [--seconds 4]

Both sides are whole steps of glassyrun: keyed mini-batches, gather, normalisation, gradient, update. They run by turns in one
process, and a ratio is that of the shortest times.

- mlp: `together` is the network as it is built, by batched products; `alone` is as many runs of a single replica, one after
  another, of the same layers unbatched; `vmap` is torch.vmap over torch's own layers.
- cnn: `alone` is the network as it is built, one replica after another; `vmap` is torch.vmap over the same module.

DIR holds MNIST and CIFAR-10 as `glassyrun --data` expects them; without it, the packaged samples do.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import torch
from _side_by_side import fastest
from torch import nn

from glassyrun import Context, Stream
from glassyrun_dynamics.sgd import SGDOptions
from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.data.mnist import MnistOptions
from glassyrun_networks.mlp import MlpOptions
from glassyrun_networks.options import NetworkOptions

SGD = SGDOptions(learning_rate=0.01, momentum=0.9, batch_size=100)
WIDTHS = ((10,), (30, 30, 30), (100,), (200, 200))


class MlpAlone(MlpOptions):
    together: ClassVar[bool] = False


class MlpVmapped(MlpOptions):
    """The same network of torch's own layers."""

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        sides = (math.prod(shape), *self.widths)
        layers = [layer for pair in pairwise(sides) for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(sides[-1], outputs))


class CnnVmapped(CnnOptions):
    together: ClassVar[bool] = True


def stepping(table: NetworkOptions, replicas: Sequence[int], context: Context) -> Callable[[], None]:
    """Takes one step of the given replicas, all in one State."""
    network = table.build(context)
    dynamics = SGD.build(context.child("dynamics"), network)
    state = network.initial([Stream(f"start/{replica}", 0, 0) for replica in replicas])
    dynamics.start(network, state)
    return lambda: dynamics.advance(network, state, 1)


def in_turn(table: NetworkOptions, replicas: int, context: Context) -> Callable[[], None]:
    """Takes one step of as many States of one replica each."""
    network = table.build(context)
    dynamics = SGD.build(context.child("dynamics"), network)
    states = [network.initial([Stream(f"start/{replica}", 0, 0)]) for replica in range(replicas)]
    for state in states:
        dynamics.start(network, state)

    def step() -> None:
        for state in states:
            dynamics.advance(network, state, 1)

    return step


def show(name: str, dof: int, replicas: int, times: dict[str, float], over: str) -> None:
    shown = "  ".join(f"{way} {1e3 * seconds:8.2f} ms ({seconds / times[over]:5.2f})" for way, seconds in times.items())
    print(f"{name:24}{dof:9} weights {replicas:3} replicas   {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of MNIST and CIFAR-10")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0, help="least time a row takes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    context = Context("system", 0, 0, torch.device("cpu"), torch.float32, arguments.data)
    print(f"{arguments.threads} threads, torch {torch.__version__}; in brackets: over the way that is used")
    digits = MnistOptions(if_absent="sample")
    for widths in WIDTHS:
        for replicas in (1, 2, 8, 32):
            every, table = range(replicas), {"data": digits, "widths": widths}
            ways = {
                "together": stepping(MlpOptions(**table), every, context),
                "alone": in_turn(MlpAlone(**table), replicas, context),
                "vmap": stepping(MlpVmapped(**table), every, context),
            }
            dof = MlpOptions(**table).footprint(context).dof
            show(f"mlp {list(widths)}", dof, replicas, fastest(ways, arguments.seconds), "together")
    pictures = Cifar10Options(if_absent="sample")
    for replicas in (2, 8, 32):
        ways = {
            "alone": stepping(CnnOptions(data=pictures), range(replicas), context),
            "vmap": stepping(CnnVmapped(data=pictures), range(replicas), context),
        }
        dof = CnnOptions(data=pictures).footprint(context).dof
        show("cnn [10, 20] 100", dof, replicas, fastest(ways, arguments.seconds, least=1), "alone")


if __name__ == "__main__":
    main()
