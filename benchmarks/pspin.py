"""Gradient and energy of the full 3-spin against the dense tensor, against what the machine can do, and its memory.

    python benchmarks/pspin.py [--n 512] [--threads 2] [--seconds 6]

All in one run, in turns; what counts are the ratios. The bound is the larger of N³/6 couplings over the read bandwidth and
2N³/3·R operations over the rate of a square matrix product, both measured in the same run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch
from _side_by_side import fastest

from glassyrun import Context, State
from glassyrun_pspin.options import PSpinOptions

REPLICAS = (1, 32)
BLOCK = 2048

MEMORY = """
import sys, torch
def peak():  # not ru_maxrss: a child inherits that of its parent
    status = open("/proc/self/status").read()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
torch.set_num_threads(int(sys.argv[2]))
torch.randn(64, 64) @ torch.randn(64, 64)
bare = peak()
from glassyrun import Context
from glassyrun_pspin.options import PSpinOptions
context = Context("pspin", 1, 0, torch.device("cpu"), torch.float32)
def step(n):
    options = PSpinOptions(n=n)
    system = options.build(context)
    state = system.initial([context.stream("start").child(r) for r in range(32)])
    system.gradient(state), system.energy(state)
    return options.footprint(context)
step(8)
idle = peak()
footprint = step(int(sys.argv[1]))
print(idle - bare, peak() - idle, footprint.bytes, 4 * footprint.terms)
"""


def dense(tensor: torch.Tensor, spins: torch.Tensor) -> torch.Tensor:
    """The baseline: the tensor T[i, j, k] as two matrix products."""
    n = len(spins)
    return torch.einsum("ijr,jr->ir", (tensor.view(n * n, n) @ spins).view(n, n, -1), spins)


def speed(n: int, seconds: float) -> None:
    context = Context("pspin", 1, 0, torch.device("cpu"), torch.float32)
    system = PSpinOptions(n=n).build(context)
    starts = {r: system.initial([context.stream("start").child(k) for k in range(r)]) for r in REPLICAS}
    tensor, block = torch.randn(n, n, n), torch.randn(BLOCK, BLOCK)
    times = fastest(
        {
            "read": tensor.sum,
            "product": lambda: block @ block,
            **{f"dense {r}": lambda r=r: dense(tensor, starts[r].x.t().contiguous()) for r in REPLICAS},
            **{f"ours {r}": lambda r=r: system.gradient(State(starts[r].x)) for r in REPLICAS},
        },
        seconds,
    )
    bandwidth, rate = 4 * tensor.numel() / times["read"], 2 * BLOCK**3 / times["product"]
    print(
        f"N = {n}, float32, {torch.get_num_threads()} threads: reads {bandwidth / 1e9:.0f} GB/s, products {rate / 1e9:.0f} GF/s"
    )
    print(f"{'replicas':>8} {'ms':>8} {'dense/ours':>11} {'ours/bound':>11}")
    for r in REPLICAS:
        bound = max(4 * n**3 / 6 / bandwidth, 2 * n**3 / 3 * r / rate)
        ours, baseline = times[f"ours {r}"], times[f"dense {r}"]
        print(f"{r:8d} {1e3 * ours:8.2f} {baseline / ours:11.2f} {ours / bound:11.2f}")
    print(f"{REPLICAS[1]} replicas cost {times[f'ours {REPLICAS[1]}'] / times[f'ours {REPLICAS[0]}']:.2f} times one")


def memory(n: int, threads: int) -> None:
    command = [sys.executable, "-c", MEMORY, str(n), str(threads)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    fixed, taken, held, couplings = (int(word) for word in out.split())
    print(f"couplings {couplings / 1e6:.0f} MB, held with padding and tables {held / couplings:.3f} of that")
    print(f"peak of drawing and stepping {taken / 1e6:.0f} MB (limit {(1.1 * couplings + 50e6) / 1e6:.0f} MB)")
    print(f"beside that the package and its compiler take {fixed / 1e6:.0f} MB over bare torch, whatever N")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6.0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    speed(arguments.n, arguments.seconds)
    memory(arguments.n, arguments.threads)


if __name__ == "__main__":
    main()
