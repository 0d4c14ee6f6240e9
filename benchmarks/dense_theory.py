"""Dense couplings of N = 128 … 1024 against the equations of N → ∞: E, C and χ of the 3-spin, in both laws of the couplings.

    python benchmarks/dense_theory.py [--case "T = 0.5"] [--share 1.0]

Each size is a run of many samples, eight replicas each, with steps of 0.1. What a step costs is taken off: it is measured in the lazily drawn
model of infinitely many spins, by steps of 0.1 and 0.05, which knows nothing of the equations. y(N) = y_∞ + c/N is then fitted at each point
of E(t), C(t_w, t_w+t) and χ(t_w, t_w+t), and y_∞ held against theory by a joint χ² with the covariance of the samples and an error of the
step of 10⁻³ on top. Standard errors of y_∞ are printed beside it, because χ² says nothing where they are large: at most 0.003 for E and 0.01
for C and χ are wanted.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

import glassyrun

SAMPLES = {128: 96, 256: 64, 512: 16, 1024: 3}
PLANTED = {128: 640, 256: 416, 512: 72, 1024: 3}
"""Samples of each size. The replicas of a planted start begin at one place, and so tell less; small systems tell most for their cost."""
REPLICAS = 8
CASES: dict[str, tuple[float, float | None]] = {
    "T = 0": (0.0, None),
    "T = 0.3": (0.3, None),
    "T = 0.5": (0.5, None),
    "T = 0.8, planted": (0.8, 0.8),
    "T = 0.6, planted": (0.6, 0.6),
}
KINDS = ("energy", "overlap", "response")
WANTED = {"energy": 3e-3, "overlap": 1e-2, "response": 1e-2}
STEP, REMAINDER = 0.1, 1e-3


def run(temperature: float, start: float | None, dt: float = STEP, samples: int = 1, **system: Any) -> xr.Dataset:
    hot = {"kind": "langevin", "temperature": temperature, "scheme": "adams"}
    opposite = system.get("disorder") == "lazy"
    return glassyrun.run(
        {
            "seed": 1,
            "system": {"kind": "pspin", "initial_temperature": start, **system},
            "dynamics": {**(hot if temperature else {"kind": "quench", "scheme": "heun"}), "dt": dt},
            "schedule": {"horizon": 4.0, "time": [0.5, 1.0, 2.0, 4.0], "t_w": [0.0, 1.0, 2.0], "t": [0.5, 1.0, 2.0]},
            "ensemble": {"samples": samples, "replicas": REPLICAS},
            "observables": [{"kind": "energy"}, {"kind": "overlap"}, {"kind": "response", "opposite": opposite}],
            "run": {"threads": 1},
        },
        quiet=True,
    )


def points(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """All readings of each sample [sample, point], means over replicas, and the variable of each point."""
    rows: list[np.ndarray] = []
    names: list[str] = []
    for kind in KINDS:
        array = ds[kind].mean("replica") if "replica" in ds.dims else ds[kind].expand_dims("sample")  # theory is a mean
        values = array.values.reshape(array.sizes["sample"], -1)
        rows.append(values)
        names += [kind] * values.shape[1]
    return np.concatenate(rows, axis=1), np.array(names)


def limit(sizes: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """y_∞ [point] of y_∞ + c/N by least squares, weights samples × N, and its covariance [point, point].

    Readings average themselves: N times the covariance of a sample is that of all sizes together, which is known well although the
    largest size has few samples.
    """
    n = np.array(list(sizes), dtype=float)
    root = np.sqrt([len(rows) * size for size, rows in sizes.items()])
    share = np.linalg.pinv(np.stack([root, root / n], axis=1))[0] * root  # y_∞ = Σ share(N) ȳ(N)
    value = sum(w * rows.mean(axis=0) for w, rows in zip(share, sizes.values(), strict=True))
    counts = np.array([len(rows) for rows in sizes.values()])
    pooled = sum(size * np.cov(rows.T) * (len(rows) - 1) for size, rows in sizes.items()) / (counts - 1).sum()
    return np.asarray(value), np.asarray(pooled * (share**2 / (n * counts)).sum())


def compare(name: str, diagonals: bool, share: float) -> float:
    """Prints a line of the table; gives the probability of a χ² as large."""
    temperature, start = CASES[name]
    theory, of = points(run(temperature, start, n=float("inf")))
    lazy = {"n": float("inf"), "disorder": "lazy", "pivot_tolerance": 1e-9}
    coarse, fine = (points(run(temperature, start, dt, **lazy))[0].mean(axis=0) for dt in (STEP, STEP / 2))
    cost = (coarse - fine) * 4 / 3
    sizes = {}
    for n, samples in (PLANTED if start else SAMPLES).items():
        rows, _ = points(run(temperature, start, n=n, samples=max(int(samples * share), 2), diagonals=diagonals))
        sizes[n] = rows - cost
    value, covariance = limit(sizes)
    errors = np.sqrt(np.diag(covariance))
    moving = np.isfinite(theory[0]) & (errors > 1e-6)  # C(0, 0) = 1 and χ at lag 0 are no readings
    gap = (value - theory[0])[moving]
    square = float(gap @ np.linalg.solve(covariance[np.ix_(moving, moving)] + REMAINDER**2 * np.eye(gap.size), gap))
    chance = float(stats.chi2.sf(square, gap.size))
    worst = {kind: errors[moving & (of == kind)].max() for kind in KINDS}
    last = np.flatnonzero(of == "energy")[-1]
    shift = (sizes[128].mean(axis=0) - theory[0])[last]
    told = ", ".join(f"{worst[kind]:.4f}{'' if worst[kind] <= WANTED[kind] else ' (!)'}" for kind in KINDS)
    print(
        f"| {name} | {'with' if diagonals else 'without'} | {theory[0][last]:.4f} | {value[last]:.4f} ± {errors[last]:.4f} "
        f"| {shift:+.4f} | {told} | {square:.1f} / {gap.size} | {chance:.2f} |",
        flush=True,
    )
    return chance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=list(CASES), action="append")
    parser.add_argument("--share", type=float, default=1.0, help="of the samples of each size")
    asked = parser.parse_args()
    began = time.process_time()
    print(
        "| system | diagonals | E(4), theory | E(4), N → ∞ | E(4) at N = 128 less theory | errors of E, C, χ | χ² / points | chance |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    chances = [compare(name, diagonals, asked.share) for name in asked.case or CASES for diagonals in (True, False)]
    print(f"{time.process_time() - began:.0f} s of the processor")
    sys.exit(0 if min(chances) > 1e-3 else "theory and simulation differ")


if __name__ == "__main__":
    main()
