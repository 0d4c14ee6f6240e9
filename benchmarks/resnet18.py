"""Steps of ResNet18 on CIFAR-10 (batch 100, float32, momentum 0.9) against a bare torch loop, by turns; made for a GPU.

    python benchmarks/resnet18.py [--device cuda] [--data DIR] [--stem imagenet] [--norm batch] [--blocks 5] [--steps 50]

- bare loop: torch's module, torch.optim.SGD, images on the device, a random batch gathered and normalised at each step; without TF32;
- bare loop, TF32: the same as torch does it if nothing is said: convolutions with 10 bits of mantissa on a GPU;
- glassyrun: the same by `Dynamics.advance` as a run does it, that is keyed mini-batch, gather, normalisation, gradient, update; without
  TF32, and on a GPU captured in a CUDA graph;
- glassyrun, deterministic: the same with `run.deterministic`.

Each variant runs a block of steps, then the next; ratios are those of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

import glassyrun
from glassyrun import Context, Stream
from glassyrun.experiment import numerics
from glassyrun_dynamics.sgd import SGDOptions
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.inputs import Inputs
from glassyrun_networks.resnet18 import ResNet18Options

BATCH, RATE, MOMENTUM = 100, 0.01, 0.9


def bare(table: ResNet18Options, inputs: Inputs, device: torch.device) -> Callable[[int], None]:
    module = table.module((3, 32, 32), 10).to(device)
    optimiser = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)

    def run(steps: int) -> None:
        for _ in range(steps):
            images, labels = inputs.take(torch.randint(len(inputs), (BATCH,), device=device))
            optimiser.zero_grad()
            F.cross_entropy(module(images), labels).backward()
            optimiser.step()

    return run


def ours(table: ResNet18Options, context: Context) -> Callable[[int], None]:
    network = table.build(context)
    dynamics = SGDOptions(learning_rate=RATE, momentum=MOMENTUM, batch_size=BATCH).build(context.child("dynamics"), network)
    state = network.initial([Stream("start/0", 0, 0)])
    dynamics.start(network, state)
    return lambda steps: dynamics.advance(network, state, steps)


def as_a_run(run: Callable[[int], None], device: str, deterministic: bool, cuda_graphs: bool = True) -> Callable[[int], None]:
    """Under the settings of torch that a run has."""
    spec = glassyrun.load(
        {
            "system": {"kind": "quadratic", "n": 2},
            "dynamics": {"kind": "quench"},
            "schedule": {"horizon": 1.0},
            "run": {"device": device, "deterministic": deterministic, "cuda_graphs": cuda_graphs},
        }
    )

    def set_up(steps: int) -> None:
        with numerics(spec):
            run(steps)

    return set_up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10; without it, the packaged sample")
    parser.add_argument("--stem", default="imagenet", choices=["imagenet", "cifar"])
    parser.add_argument("--norm", default="batch", choices=["batch", "group"])
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50, help="steps a block")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    context = Context("system", 0, 0, device, torch.float32, asked.data)
    table = ResNet18Options(data=Cifar10Options(if_absent="sample"), stem=asked.stem, norm=asked.norm)
    data = table.data.load(context.child("data"))
    loop = bare(table, Inputs.place(data.train_x, data.train_y, data, device, torch.float32), device)
    variants = {
        "bare loop": as_a_run(loop, asked.device, False),
        "bare loop, TF32": loop,
        "glassyrun, not captured": as_a_run(ours(table, context), asked.device, False, False),
        "glassyrun": as_a_run(ours(table, context), asked.device, False),
        "glassyrun, deterministic": as_a_run(ours(table, context), asked.device, True),
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run(3)
    for _ in range(asked.blocks):
        for name, run in variants.items():
            synchronise(device)
            begin = time.perf_counter()
            run(asked.steps)
            synchronise(device)
            times[name].append((time.perf_counter() - begin) / asked.steps)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(f"{where}, {data.provenance['data_source']}, stem {asked.stem}, norm {asked.norm}, torch {torch.__version__}")
    base = statistics.median(times["bare loop"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:28}{1e3 * median:10.2f} ms a step, {base / median:.2f} times the steps of the bare loop")


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
