"""What deterministic kernels cost: steps of three networks with and without them, by turns.

    python benchmarks/deterministic.py [--device cpu] [--data DIR] [--threads 2] [--blocks 12] [--nets mlp cnn resnet18]

Steps are those of a run (SGD, batch 100, float32, momentum 0.9, on CIFAR-10) under `run.deterministic = true` and
`false`. Each variant runs a block of steps, then the next; a ratio is that of the medians over all blocks, above 1 where
deterministic kernels are slower. DIR holds CIFAR-10 as `glassyrun --data` expects it; without it, the packaged sample does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import glassyrun
from glassyrun.experiment import Setting, numerics
from glassyrun.machine import threads_of
from glassyrun.spec.model import Spec

DATA = {"kind": "cifar10", "if_absent": "sample"}
NETS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "widths": [256, 256], "data": DATA},
    "cnn": {"kind": "cnn", "data": DATA},
    "resnet18": {"kind": "resnet18", "data": DATA},
}
STEPS = {"mlp": 100, "cnn": 20, "resnet18": 2}
"""Steps a block, of some tenths of a second on a CPU."""


def spec(net: str, device: str, threads: int, deterministic: bool) -> Spec:
    return glassyrun.load(
        {
            "system": NETS[net],
            "dynamics": {"kind": "sgd", "learning_rate": 0.01, "momentum": 0.9, "batch_size": 100},
            "schedule": {"horizon": 1000.0},
            "run": {"device": device, "threads": threads, "deterministic": deterministic},
        }
    )


def block(of: Spec, data: Path | None, steps: int) -> Callable[[], float]:
    """Seconds of a step, in a block of `steps` of them."""
    setting = Setting.of(of, data)
    system = setting.system(0)
    dynamics = setting.stages(system, 0)[0]
    state = setting.start(system, dynamics, 0)

    def run() -> float:
        with numerics(of), threads_of(system, state.replicas):
            begin = time.perf_counter()
            dynamics.advance(system, state, steps)
            float(state.x[0, 0])  # waits for a GPU
            return (time.perf_counter() - begin) / steps

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument(
        "--steps", type=int, help="steps a block; default: some tenths of a second on a CPU, ten times as many on a GPU"
    )
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {arguments.device}, {arguments.threads} threads")
    print(f"{'network':12}{'deterministic, ms':>20}{'free, ms':>12}{'ratio':>8}")
    for net in arguments.nets:
        steps = arguments.steps or STEPS[net] * (1 if arguments.device == "cpu" else 10)
        runs = {on: block(spec(net, arguments.device, arguments.threads, on), arguments.data, steps) for on in (True, False)}
        times: dict[bool, list[float]] = {True: [], False: []}
        for run in runs.values():
            run()
        for _ in range(arguments.blocks):
            for on, run in runs.items():
                times[on].append(run())
        with_, without = (statistics.median(times[on]) for on in (True, False))
        print(f"{net:12}{1e3 * with_:20.3f}{1e3 * without:12.3f}{with_ / without:8.3f}", flush=True)


if __name__ == "__main__":
    main()
