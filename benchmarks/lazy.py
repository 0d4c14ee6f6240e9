"""What disorder that is drawn where the trajectory looks costs, beside all couplings drawn at once, and how its cost grows.

    python benchmarks/lazy.py [--part NAME] [--threads 2]

Parts: size (t = 100 at T = 0 for several N), long (t = 1,000), thermal and strang (1,000 steps of either scheme), spins (N = 10⁶ written
down, t = 10), dense (against all couplings of N = 512, t = 10, generation included; both in turn, median of five), replicas (a second
one, and a twin), tolerance (E against the two tolerances), stability (what goes wrong where they are too small), foreseen (the plan's
estimate beside what a run took).
Whole runs as `glassyrun.run` makes them, in one process.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import time
from typing import Any
from unittest import mock

import xarray as xr

import glassyrun
from glassyrun.plan import plan
from glassyrun_pspin.lazy.disorder import Disorder

HEUN = {"kind": "quench", "scheme": "heun", "dt": 0.1}
ADAMS = {"kind": "langevin", "scheme": "adams", "dt": 0.05, "temperature": 0.5}
INFINITE = float("inf")


def spec(system: dict[str, Any], moves: dict[str, Any], horizon: float, threads: int, **rest: Any) -> dict[str, Any]:
    return {
        "system": {"kind": "pspin", "disorder": "lazy", **system},
        "dynamics": moves,
        "schedule": {"horizon": horizon},
        "run": {"threads": threads},
        **rest,
    }


def timed(source: dict[str, Any]) -> tuple[float, xr.Dataset]:
    began = time.perf_counter()
    run = glassyrun.run(source, quiet=True)
    return time.perf_counter() - began, run


def last(run: xr.Dataset) -> float:
    return float(run.energy.isel(time=-1).mean())


def peak() -> str:
    return f"peak of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


def size(threads: int) -> None:
    for n in (1e3, 1e6, 1e12, INFINITE):
        seconds, run = timed(spec({"n": n}, HEUN, 100.0, threads))
        print(f"size      N = {n:g}, t = 100: {seconds:.2f} s, E = {last(run):.5f}")


def long(threads: int) -> None:
    energies = {}
    for name, system in (("default", {}), ("direction_tolerance 1e-4", {"direction_tolerance": 1e-4})):
        seconds, run = timed(spec({"n": INFINITE, **system}, HEUN, 1000.0, threads))
        energies[name] = last(run)
        print(f"long      N = inf, {name}: t = 1000 in {seconds:.1f} s, E = {last(run):.6f}")
    seconds, run = timed(spec({"n": 1e6}, HEUN, 1000.0, threads))
    print(f"long      N = 1e6: t = 1000 in {seconds:.1f} s, E = {last(run):.6f}, {peak()}")
    seconds, run = timed(spec({"n": INFINITE, "pivot_tolerance": 1e-9}, HEUN, 1000.0, threads))
    for name, energy in energies.items():
        print(f"long      error of E by the tolerances, {name}: {energy - last(run):.1e} (against pivot_tolerance 1e-9)")


def thermal(threads: int, scheme: str = "adams") -> None:
    seconds, run = timed(spec({"n": 1e6}, ADAMS | {"scheme": scheme}, 50.0, threads))
    print(f"thermal   N = 1e6, 1,000 steps of {scheme}: {seconds:.1f} s, E = {last(run):.5f}, {peak()}")


def strang(threads: int) -> None:
    thermal(threads, "heun")


def spins(threads: int) -> None:
    seconds, run = timed(spec({"n": 1e6, "coordinates": "spins"}, HEUN, 10.0, threads))
    print(f"spins     N = 1e6 written down, t = 10: {seconds:.1f} s, E = {last(run):.5f}, {peak()}")


def dense(threads: int) -> None:
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(5):
        ours.append(timed(spec({"n": 512}, HEUN, 10.0, threads))[0])
        theirs.append(timed(spec({"n": 512, "disorder": "full"}, HEUN, 10.0, threads))[0])
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"dense     N = 512, t = 10: all couplings {b:.2f} s, lazy {a:.3f} s, ratio {b / a:.1f}")


def replicas(threads: int) -> None:
    one, _ = timed(spec({"n": 1e6}, HEUN, 50.0, threads))
    two, _ = timed(spec({"n": 1e6}, HEUN, 50.0, threads, ensemble={"replicas": 2}))
    twin = spec({"n": 1e6}, HEUN, 50.0, threads, observables=[{"kind": "overlap"}, {"kind": "response"}])
    twin["schedule"] |= {"t_w": [1.0]}
    more, _ = timed(twin)
    far, _ = timed(spec({"n": 1e6}, HEUN, 200.0, threads))
    print(
        f"replicas  t = 50: one {one:.2f} s, two {two:.2f} s, one and a twin {more:.2f} s; t = 200, as many directions as two: {far:.2f} s"
    )


def tolerance(threads: int) -> None:
    """Against 1e-9 and 1e-11, for N → ∞, where nothing fluctuates."""
    _, exact = timed(spec({"n": INFINITE, "pivot_tolerance": 1e-9, "direction_tolerance": 1e-11}, HEUN, 30.0, threads))
    for name, values in (("pivot_tolerance", (1e-5, 1e-6, 1e-7, 1e-8)), ("direction_tolerance", (1e-2, 1e-3, 1e-4, 1e-9))):
        for value in values:
            seconds, run = timed(spec({"n": INFINITE, name: value}, HEUN, 30.0, threads))
            gap = (run.energy - exact.energy).isel(time=slice(1, None)).values
            print(f"tolerance {name} = {value:g}: E(30) {gap[0, 0, -1]:+.1e}, at most {abs(gap).max():.1e}, {seconds:.2f} s")


def stability(threads: int) -> None:
    """Quenches to t = 10 without the checks: the heaviest weight, and the energy."""
    heaviest: list[float] = []
    with mock.patch.multiple(
        Disorder,
        _check=lambda self, energy: None,
        _check_weights=lambda self, weights: heaviest.append(float(weights.abs().max()) / float(self._slope) ** 0.5),
    ):
        for p, dt in ((3, 0.1), (3, 0.025), (4, 0.05)):
            for exponent in (5, 7, 8, 9, 10, 11, 12):
                heaviest.clear()
                system = {"p": p, "n": INFINITE, "pivot_tolerance": 10.0**-exponent}
                _, run = timed(
                    spec(system, HEUN | {"dt": dt}, 10.0, threads, run={"threads": threads, "rising_energy": "accept"})
                )
                print(
                    f"stability p = {p}, dt = {dt}, tolerance 1e-{exponent}: weights up to {max(heaviest):.1e}, E(10) = {last(run):.6f}"
                )


def foreseen(threads: int) -> None:
    for name, moves, horizon in (("t = 100", HEUN, 100.0), ("t = 400", HEUN, 400.0), ("600 thermal steps", ADAMS, 30.0)):
        source = spec({"n": 1e6}, moves, horizon, threads)
        text = plan(glassyrun.load(source))
        told = re.search(r"foreseen +about (.*) for", text)
        directions = re.search(r"about (\d+) directions", text)
        assert told
        assert directions
        seconds, _ = timed(source)
        print(f"foreseen  {name}: {told.group(1)} and {directions.group(1)} directions by the plan, {seconds:.2f} s by the run")


PARTS = {part.__name__: part for part in (size, thermal, strang, spins, dense, replicas, tolerance, stability, foreseen, long)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    glassyrun.run(spec({"n": 1e3}, ADAMS, 1.0, asked.threads), quiet=True)  # compiled loops are loaded
    for name, part in PARTS.items():
        if asked.part in (None, name):
            part(asked.threads)


if __name__ == "__main__":
    main()
