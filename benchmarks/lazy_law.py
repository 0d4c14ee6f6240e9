"""The law of lazily drawn disorder against that of all couplings drawn at once, over many realisations of N = 128.

    python benchmarks/lazy_law.py [--realisations 20000] [--seed 1]

Quench from random starts by Euler steps of 0.1, two replicas on one disorder: mean and standard deviation of E(3), E(6), C(2, 6) and of the
overlap of the replicas at t = 6, each with its standard error, and the χ² over all of them together. Dense couplings come from the program's own
`FullCouplings`, which share nothing with the lazy ones but the law.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch
from scipy import stats

from glassyrun import Context, State, Stream
from glassyrun_dynamics.quench import QuenchOptions
from glassyrun_pspin.options import PSpinOptions

N, DT, MARKS = 128, 0.1, (20, 30, 60)
NAMES = ("E(3)", "E(6)", "C(2,6)", "q12(6)")


def readings(options: PSpinOptions, seed: int, sample: int, dtype: torch.dtype) -> list[float]:
    """E(3), E(6), C(2, 6), q₁₂(6) of one realisation."""
    context = Context("system", seed, sample, torch.device("cpu"), dtype)
    system = options.build(context)
    moves = QuenchOptions(dt=DT).build(context.child("dynamics"), system)
    state = system.initial([Stream(f"start/{replica}", seed, sample) for replica in range(2)])
    kept: dict[int, tuple[float, torch.Tensor]] = {}
    for mark in MARKS:
        moves.advance(system, state, mark - state.step)
        state.step = mark
        energy = float(system.energy(State(state.x))[0]) / system.energy_scale
        kept[mark] = (energy, state.x.double().clone())
    dof = state.x.shape[1]
    then, now = kept[20][1], kept[60][1]
    return [kept[30][0], kept[60][0], float(then[0] @ now[0]) / dof, float(now[0] @ now[1]) / dof]


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each reading, and their covariance by the influence of each realisation."""
    centred = rows - rows.mean(0)
    spread = rows.std(0)
    influence = np.hstack([centred, (centred**2 - spread**2) / (2 * spread)])
    return np.concatenate([rows.mean(0), spread]), np.cov(influence.T) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--realisations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for name, options, dtype in (
        ("lazy", PSpinOptions(n=N, disorder="lazy"), torch.float64),
        ("dense", PSpinOptions(n=N), torch.float32),
    ):
        began, rows = time.perf_counter(), []
        for sample in range(asked.realisations):
            rows.append(readings(options, asked.seed, sample, dtype))
            if sample % 1000 == 999:
                print(f"{name}: {sample + 1}, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        found[name] = moments(np.array(rows))
    (ours, spread), (theirs, other) = found["lazy"], found["dense"]
    errors = np.sqrt(np.diag(spread)), np.sqrt(np.diag(other))
    for k, label in enumerate([*(f"mean {name}" for name in NAMES), *(f"sd {name}" for name in NAMES)]):
        apart = (ours[k] - theirs[k]) / np.hypot(errors[0][k], errors[1][k])
        print(
            f"{label:<12} lazy {ours[k]:.5f}({errors[0][k]:.5f})  dense {theirs[k]:.5f}({errors[1][k]:.5f})  {apart:+.2f} errors"
        )
    apart = ours - theirs
    chi = float(apart @ np.linalg.solve(spread + other, apart))
    print(f"chi² = {chi:.1f} for {len(apart)} numbers, probability {stats.chi2.sf(chi, len(apart)):.3f}")


if __name__ == "__main__":
    main()
