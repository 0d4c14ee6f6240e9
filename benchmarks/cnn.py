"""Steps of the cnn on CIFAR-10 (batch 100, float32, momentum 0.9), against loops in plain torch; all in one run, by turns.

    python benchmarks/cnn.py [--data DIR] [--threads 2] [--blocks 15] [--steps 30]

- users' loop: nn.Module, DataLoader with ToTensor and Normalize, torch.optim.SGD, as in the tutorials;
- bare step: the same module and optimiser on one batch that lies in memory, normalised;
- bare step, channels last: the same, the batch in the memory order that convolutions on a CPU like best;
- glassyrun: everything, that is keyed mini-batch, gather, normalisation, gradient, update;
- glassyrun, whole run: the same through the runner, with all two-time observables on the default grids.

Each variant runs a block of steps, then the next variant; a ratio is that of the medians over all blocks. DIR holds CIFAR-10
as `glassyrun --data` expects it; without it, the packaged sample does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import glassyrun
from glassyrun import Context, LabelledData, Stream
from glassyrun_dynamics.sgd import SGD, SGDOptions
from glassyrun_networks.cnn import CnnOptions
from glassyrun_networks.data.cifar10 import Cifar10Options
from glassyrun_networks.inputs import Inputs

BATCH, RATE, MOMENTUM = 100, 0.01, 0.9


class Images(Dataset):
    """What torchvision's CIFAR10 is: arrays in memory, one PIL image at a time."""

    def __init__(self, data: LabelledData) -> None:
        self.arrays = data.train_x.permute(0, 2, 3, 1).numpy()
        self.labels = data.train_y.tolist()
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(data.mean, data.std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


def optimised(table: CnnOptions) -> tuple[nn.Module, torch.optim.SGD]:
    module = table.module((3, 32, 32), 10)
    return module, torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)


def step(module: nn.Module, optimiser: torch.optim.SGD, images: torch.Tensor, labels: torch.Tensor) -> None:
    optimiser.zero_grad()
    F.cross_entropy(module(images), labels).backward()
    optimiser.step()


def users_loop(table: CnnOptions, data: LabelledData) -> Callable[[int], None]:
    module, optimiser = optimised(table)
    loader = DataLoader(Images(data), BATCH, shuffle=True, drop_last=True)

    def forever() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from loader

    batches = forever()

    def run(steps: int) -> None:
        for _ in range(steps):
            step(module, optimiser, *next(batches))

    return run


def bare_step(table: CnnOptions, data: LabelledData, layout: torch.memory_format) -> Callable[[int], None]:
    module, optimiser = optimised(table)
    inputs = Inputs.place(data.train_x, data.train_y, data, torch.device("cpu"), torch.float32)
    images, labels = inputs.take(torch.arange(BATCH))
    images = images.contiguous(memory_format=layout)

    def run(steps: int) -> None:
        for _ in range(steps):
            step(module, optimiser, images, labels)

    return run


def ours(table: CnnOptions, context: Context) -> Callable[[int], None]:
    network = table.build(context)
    dynamics = SGDOptions(learning_rate=RATE, momentum=MOMENTUM, batch_size=BATCH).build(context.child("dynamics"), network)
    state = network.initial([Stream("start/0", 0, 0)])
    dynamics.start(network, state)
    return lambda steps: dynamics.advance(network, state, steps)


def whole_run(root: Path | None, threads: int, steps: int) -> float:
    """Seconds a step in a run of `steps` steps, between its first step and its last; what is read in between is in it."""
    spec = {
        "system": {"kind": "cnn", "data": {"kind": "cifar10", "if_absent": "sample"}},
        "dynamics": {"kind": "sgd", "learning_rate": RATE, "momentum": MOMENTUM, "batch_size": BATCH},
        "schedule": {"horizon": float(steps)},
        "observables": [{"kind": "msd"}, {"kind": "overlap"}, {"kind": "displacement"}],
        "run": {"threads": threads},
    }
    times: list[float] = []
    draw = SGD.draw

    def clocked(*arguments):
        times.append(time.perf_counter())
        return draw(*arguments)

    with patch.object(SGD, "draw", clocked):
        glassyrun.run(spec, data=root, quiet=True)
    return (times[-1] - times[0]) / (len(times) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--steps", type=int, default=30, help="steps a block")
    parser.add_argument("--run-steps", type=int, default=300, help="steps of a whole run, one each third block")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    context = Context("system", 0, 0, torch.device("cpu"), torch.float32, arguments.data)
    table = CnnOptions(data=Cifar10Options(if_absent="sample"))
    data = table.data.load(context)
    variants = {
        "users' loop": users_loop(table, data),
        "bare step": bare_step(table, data, torch.contiguous_format),
        "bare step, channels last": bare_step(table, data, torch.channels_last),
        "glassyrun": ours(table, context),
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run(5)
    times["glassyrun, whole run"] = []
    for block in range(arguments.blocks):
        for name, run in variants.items():
            begin = time.perf_counter()
            run(arguments.steps)
            times[name].append((time.perf_counter() - begin) / arguments.steps)
        if block % 3 == 0:
            times["glassyrun, whole run"].append(whole_run(arguments.data, arguments.threads, arguments.run_steps))
    own = statistics.median(times["glassyrun"])
    print(f"{data.provenance['data_source']}, {arguments.threads} threads, torch {torch.__version__}")
    print(f"{'variant':28}{'ms a step':>12}{'least':>10}{'steps of glassyrun in that time':>34}")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:28}{1e3 * median:12.2f}{1e3 * min(seconds):10.2f}{median / own:34.2f}")


if __name__ == "__main__":
    main()
