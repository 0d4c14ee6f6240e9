"""The cnn on CIFAR-10 (batch 100, float32, momentum 0.9) against loops in plain torch; all in one run, by turns.

    python benchmarks/cnn.py [--data DIR] [--threads 2] [--blocks 12] [--steps 30]

- users' loop: nn.Module, DataLoader with ToTensor and Normalize, torch.optim.SGD, as in the tutorials, with the mean-square
  displacement from each of 40 waiting times at 80 lags by cloned parameters;
- bare step: the same module and optimiser on one batch that lies in memory, normalised; nothing is measured;
- bare step, channels last: the same, the batch in the memory order that convolutions on a CPU like best;
- bound: the arithmetic of all convolutions and products of a step, at the rate of a large matrix product measured beside them;
- glassyrun: everything that a step is: keyed mini-batch, gather, normalisation, gradient, update;
- glassyrun, whole run: the same through the runner, with msd, overlap and displacement on a grid of 40 × 80;
- 2 replicas: the same with two replicas side by side, per step of one of them.

Each variant runs a block of steps, then the next variant; a ratio is that of the medians over all blocks. At the end, a
reading over all training images beside the bare forward pass of the same module over them, cut likewise or coarser. DIR
holds CIFAR-10 as `glassyrun --data` expects it; without it, the packaged sample does.
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
from _side_by_side import fastest
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

import glassyrun
from glassyrun import Context, LabelledData, Stream
from glassyrun.machine import threads_of
from glassyrun.schedule import Schedule
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


def plain(table: CnnOptions) -> nn.Sequential:
    """The network as one writes it, out of torch's own layers."""
    (first, second), hidden = table.channels, table.hidden
    layers = [nn.Conv2d(3, first, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(first, second, 5), nn.MaxPool2d(2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(25 * second, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def optimised(table: CnnOptions) -> tuple[nn.Module, torch.optim.SGD]:
    module = plain(table)
    return module, torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)


def step(module: nn.Module, optimiser: torch.optim.SGD, images: torch.Tensor, labels: torch.Tensor) -> None:
    optimiser.zero_grad()
    F.cross_entropy(module(images), labels).backward()
    optimiser.step()


def users_loop(table: CnnOptions, data: LabelledData, horizon: int) -> Callable[[int], None]:
    """The loop of the tutorials over and over, each time measuring on the grids of a whole run."""
    module, optimiser = optimised(table)
    loader = DataLoader(Images(data), BATCH, shuffle=True, drop_last=True)
    due = pairs(horizon)

    def forever() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from loader

    batches, clock, kept = forever(), 0, {}

    def run(steps: int) -> None:
        nonlocal clock
        for _ in range(steps):
            clock %= horizon
            waiting, ends = due.get(clock, (False, ()))
            if waiting:
                kept[clock] = [parameter.detach().clone() for parameter in module.parameters()]
            for since in ends:
                squared = sum(((p.detach() - old) ** 2).sum() for p, old in zip(module.parameters(), kept[since], strict=True))
                float(squared)
            step(module, optimiser, *next(batches))
            clock += 1

    return run


def pairs(horizon: int) -> dict[int, tuple[bool, tuple[int, ...]]]:
    """For each step at which something is due: whether it is a waiting time, and the waiting times read there."""
    schedule = Schedule.of(glassyrun.load(spec(None, horizon)))
    return {event.step: (event.t_w is not None, tuple(schedule.t_w[i] for i, _ in event.pairs)) for event in schedule.events()}


def spec(threads: int | None, steps: int, replicas: int = 1) -> dict:
    """40 waiting times by 80 lags, all two-time observables."""
    return {
        "system": {"kind": "cnn", "data": {"kind": "cifar10", "if_absent": "sample"}},
        "dynamics": {"kind": "sgd", "learning_rate": RATE, "momentum": MOMENTUM, "batch_size": BATCH},
        "schedule": {"horizon": float(steps), "t_w": {"n": 40, "to": steps / 2}, "t": {"n": 80, "to": float(steps)}},
        "ensemble": {"replicas": replicas},
        "observables": [{"kind": "msd"}, {"kind": "overlap"}, {"kind": "displacement"}],
        "run": {} if threads is None else {"threads": threads},
    }


def bare_step(table: CnnOptions, data: LabelledData, layout: torch.memory_format) -> Callable[[int], None]:
    module, optimiser = optimised(table)
    inputs = Inputs.place(data.train_x, data.train_y, data, torch.device("cpu"), torch.float32)
    images, labels = inputs.take(torch.arange(BATCH))
    images = images.contiguous(memory_format=layout)

    def run(steps: int) -> None:
        for _ in range(steps):
            step(module, optimiser, images, labels)

    return run


def ours(table: CnnOptions, context: Context, replicas: int) -> Callable[[int], None]:
    """Steps of each replica; torch's threads as a run sets them."""
    network = table.build(context)
    dynamics = SGDOptions(learning_rate=RATE, momentum=MOMENTUM, batch_size=BATCH).build(context.child("dynamics"), network)
    state = network.initial([Stream(f"start/{replica}", 0, 0) for replica in range(replicas)])
    dynamics.start(network, state)

    def run(steps: int) -> None:
        with threads_of(network, replicas):
            dynamics.advance(network, state, steps)

    return run


def bound(table: CnnOptions) -> float:
    """Least seconds of a step: its arithmetic, counted by torch, at the measured rate of a large product."""
    module, images = plain(table), torch.randn(BATCH, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        module(images).sum().backward()
    left = torch.randn(1024, 1024)
    rates = []
    for _ in range(20):
        begin = time.perf_counter()
        left @ left
        rates.append(2 * 1024**3 / (time.perf_counter() - begin))
    return counter.get_total_flops() / max(rates)


def reading(table: CnnOptions, context: Context, data: LabelledData) -> dict[str, float]:
    """Seconds of a pass over all training images: glassyrun's, and bare forward passes in batches of several sizes."""
    network = table.build(context)
    state = network.initial([Stream("start/0", 0, 0)])
    module, _ = optimised(table)
    inputs = Inputs.place(data.train_x, data.train_y, data, torch.device("cpu"), torch.float32)
    images = inputs.take(torch.arange(len(data.train_y)))[0]

    def bare(size: int) -> None:
        with torch.no_grad():
            for part in images.split(size):
                F.cross_entropy(module(part), torch.zeros(len(part), dtype=torch.int64), reduction="none")

    def own() -> None:
        with threads_of(network, 1):
            network.energy(state)

    candidates: dict[str, Callable[[], object]] = {"glassyrun": own}
    candidates |= {f"bare forward, {size} at a time": lambda size=size: bare(size) for size in (250, 1000, 5000)}
    return fastest(candidates, seconds=20.0)


def whole_run(root: Path | None, threads: int, steps: int, replicas: int) -> float:
    """Seconds a step in a run of `steps` steps, between its first step and its last; what is read in between is in it."""
    times: list[float] = []
    draw = SGD.draw

    def clocked(*arguments):
        times.append(time.perf_counter())
        return draw(*arguments)

    with patch.object(SGD, "draw", clocked):
        glassyrun.run(spec(threads, steps, replicas), data=root, quiet=True)
    return (times[-1] - times[0]) / (len(times) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--steps", type=int, default=30, help="steps a block")
    parser.add_argument("--run-steps", type=int, default=2000, help="steps of a whole run, one each fourth block")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    context = Context("system", 0, 0, torch.device("cpu"), torch.float32, arguments.data)
    table = CnnOptions(data=Cifar10Options(if_absent="sample"))
    data = table.data.load(context)
    variants = {
        "users' loop": users_loop(table, data, arguments.run_steps),
        "bare step": bare_step(table, data, torch.contiguous_format),
        "bare step, channels last": bare_step(table, data, torch.channels_last),
        "glassyrun": ours(table, context, 1),
        "glassyrun, 2 replicas": ours(table, context, 2),
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run(5)
    count = dict.fromkeys(variants, 1) | {"glassyrun, 2 replicas": 2}
    whole = {"glassyrun, whole run": 1, "whole run, 2 replicas": 2}
    times |= {name: [] for name in whole}
    for block in range(arguments.blocks):
        for name, run in variants.items():
            begin = time.perf_counter()
            run(arguments.steps)
            times[name].append((time.perf_counter() - begin) / arguments.steps / count[name])
        for name, replicas in whole.items() if block % 4 == 0 else ():
            times[name].append(whole_run(arguments.data, arguments.threads, arguments.run_steps, replicas) / replicas)
    own = statistics.median(times["glassyrun"])
    print(f"{data.provenance['data_source']}, {arguments.threads} threads, torch {torch.__version__}")
    print(f"{'variant':28}{'ms a step':>12}{'least':>10}{'steps of glassyrun in that time':>34}")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:28}{1e3 * median:12.2f}{1e3 * min(seconds):10.2f}{median / own:34.2f}")
    least = bound(table)
    print(f"{'bound (arithmetic)':28}{1e3 * least:12.2f}{'':10}{least / own:34.2f}")
    passes = reading(table, context, data)
    print(f"a reading over all {len(data.train_y)} training images:")
    for name, seconds in passes.items():
        print(f"  {name:34}{seconds:8.3f} s, glassyrun takes {passes['glassyrun'] / seconds:.2f} of that")


if __name__ == "__main__":
    main()
