"""Peak memory of a network's run on CIFAR-10, beside what it must hold: images as bytes, weights, a copy of them a waiting time.

    python benchmarks/memory.py --data DIR [--kind cnn] [--replicas 2] [--steps 300]

Each figure is the largest resident memory of a process of its own:

- torch: torch is loaded and has taken the gradient of one batch with the module in plain torch;
- program: everything that a run loads is loaded and has run for a few steps, on a few images in a file of their own;
- run: the run itself, on the whole set, with msd at 40 waiting times.

What the run must hold comes on top of torch with its activations. The program itself (the package, xarray, netCDF, numba) does not grow with
the run and is stated apart.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

WAITING, FEW = 40, 200


def spec(kind: str, replicas: int, steps: int) -> dict:
    return {
        "system": {"kind": kind, "data": {"kind": "cifar10"}},
        "dynamics": {"kind": "sgd", "learning_rate": 0.01, "batch_size": 100},
        "schedule": {"horizon": float(steps), "t_w": {"n": WAITING, "to": steps / 2}, "t": {"n": 10, "to": float(steps)}},
        "ensemble": {"replicas": replicas},
        "observables": [{"kind": "msd"}],
    }


def torch_alone(asked: argparse.Namespace) -> None:
    import torch
    from torch import nn

    torch.set_num_threads(2)
    if asked.kind == "resnet18":
        from torchvision.models import resnet18

        module = resnet18(num_classes=10)
    else:
        convolutions = [nn.Conv2d(3, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()]
        module = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(500, 100), nn.ReLU(), nn.Linear(100, 10))
    nn.functional.cross_entropy(module(torch.randn(100, 3, 32, 32)), torch.zeros(100, dtype=torch.int64)).backward()


def few_images(folder: str) -> None:
    """A data set in `folder` that takes no room."""
    import numpy as np

    generator = np.random.default_rng(0)
    images = {f"{part}_x": generator.integers(0, 256, (FEW, 32, 32, 3), np.uint8) for part in ("train", "test")}
    labels = {f"{part}_y": np.arange(FEW) % 10 for part in ("train", "test")}
    np.savez(Path(folder) / "cifar10.npz", **images, **labels)


def whole(asked: argparse.Namespace, few: bool) -> None:
    import glassyrun

    with tempfile.TemporaryDirectory() as folder:
        if few:
            few_images(folder)
        result = glassyrun.run(
            spec(asked.kind, asked.replicas, 4 if few else asked.steps), data=folder if few else asked.data, quiet=True
        )
    if not few:
        print(result.attrs["degrees_of_freedom"], len(result.t_w), result.attrs["terms"])


def child(asked: argparse.Namespace, what: str) -> tuple[float, list[int]]:
    """Peak in bytes, and what the child says of itself."""
    command = [sys.executable, __file__, "--child", what, "--data", asked.data, "--kind", asked.kind]
    command += ["--replicas", str(asked.replicas), "--steps", str(asked.steps)]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(words[-1]), [int(word) for word in words[:-1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of CIFAR-10")
    parser.add_argument("--kind", default="cnn", choices=["cnn", "resnet18"])
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--child", choices=["torch", "program", "run"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        torch_alone(asked) if asked.child == "torch" else whole(asked, few=asked.child == "program")
        print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    (torch, _), (program, _), (run, (dof, waiting, terms)) = (child(asked, what) for what in ("torch", "program", "run"))
    images = (terms + 10_000) * 3 * 32 * 32
    must = images + 4 * dof * asked.replicas * (1 + waiting)
    print(f"{asked.kind}, {asked.replicas} replicas, {dof} weights, {waiting} waiting times, {terms} training images")
    for name, size in (("torch and one batch", torch), ("program, a few steps", program), ("run", run), ("must be held", must)):
        print(f"{name:24}{size / 1e6:10.1f} MB")
    print(f"(run - torch) / must       {(run - torch) / must:.2f}")
    print(f"(run - program) / must     {(run - program) / must:.2f}")


if __name__ == "__main__":
    main()
