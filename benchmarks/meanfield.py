"""What the N → ∞ theory costs, and how right it is: two schemes, growth with time, order, drifts, limits of aging.

    python benchmarks/meanfield.py [cost | order | drift | aging | mixture | all]

Wall and processor seconds after compilation; peak memory of the whole process. Nothing is asserted: the tests do that.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from glassyrun_pspin import theory
from glassyrun_pspin.meanfield import Equations, Resolution, Solution, extrapolated, solve, solve_fixed, solve_graded
from glassyrun_pspin.meanfield.aging import decay, fitted
from glassyrun_pspin.meanfield.aging import extrapolated as limit_of

QUENCH = Equations({3: 1.0}, 0.0)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What came out, and its wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    out = work()
    return out, time.perf_counter() - wall, time.process_time() - cpu


def cost() -> None:
    """Two schemes at t = 100, and growth with time at three levels."""
    _, wall, _ = timed(lambda: solve({3: 1.0}, 0.0, np.inf, 12.0, 1e-4))
    print(f"first call, compiling what is not in numba's cache: {wall:.1f} s")
    found, wall, cpu = timed(lambda: solve({3: 1.0}, 0.0, np.inf, 100.0, 1e-4))
    print(
        f"solve, t = 100 to 1e-4: E = {found.energy(100.0):.7f} ± {found.energy_error(100.0):.1e}, {wall:.2f} s, {cpu:.2f} s of processor"
    )
    (square, error), wall, cpu = timed(lambda: extrapolated(QUENCH, 100.0, 0.1))
    print(f"fixed step 0.1 and 0.05, t = 100: E = {square.energy[-1]:.7f} ± {error.energy[-1]:.1e}, {wall:.2f} s, {cpu:.2f} s")
    for mixture, temperature in (({3: 1.0}, 0.0), ({3: 1.0}, 0.5), ({3: 1.0, 4: 1.0}, 0.0)):
        found, wall, cpu = timed(lambda m=mixture, t=temperature: solve(m, t, np.inf, 1e5, 1e-4))
        energy = f"E = {found.energy(1e5):.7f} ± {found.energy_error(1e5):.1e}"
        print(
            f"solve, {mixture}, T = {temperature}, t = 1e5 to 1e-4: {energy}, {wall:.1f} s, {cpu:.1f} s of processor", flush=True
        )
    print("horizon  level  rows  columns  E(horizon)     wall s  processor s")
    for horizon in (1e2, 1e3, 1e4, 1e5):
        for level in (0, 1, 2):
            grid, wall, cpu = timed(lambda horizon=horizon, level=level: solve_graded(QUENCH, horizon, Resolution.level(level)))
            rows, columns = grid.history.rows.shape[1:3]
            energy = float(Solution(QUENCH, horizon, grid, grid).energy(horizon))
            print(f"{horizon:7.0e}  {level:5d}  {rows:4d}  {columns:7d}  {energy:.9f}  {wall:6.2f}  {cpu:6.2f}", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def order() -> None:
    """Errors of both schemes as the grid is refined, against the exact equilibrium at T = T_i = 0.8."""
    equations = Equations({3: 1.0}, 0.8, 0.8)
    for step in (0.1, 0.05, 0.025, 0.0125):
        print(f"fixed step {step:6.4f}: error of E(5) {abs(solve_fixed(equations, 5, step).energy[-1] + 0.625):.2e}")
    for level in (-1, 0, 1, 2, 3):
        grid = solve_graded(equations, 1e3, Resolution.level(level))
        error = np.abs(Solution(equations, 1e3, grid, grid).energy(np.array([1e2, 1e3])) + 0.625).max()
        print(f"graded level {level:2d}, δ_u = {Resolution.level(level).columns:.4f}: error of E {error:.2e}", flush=True)


def drift() -> None:
    """C(t,t) − 1, and the decay of R on the diagonal against T − pE."""
    for temperature in (0.0, 0.5):
        for step in (0.1, 0.05, 0.025):
            found = solve_fixed(Equations({3: 1.0}, temperature), 20, step)
            decay = found.decay[4:]
            expected = (temperature - 3 * found.energy)[4 : 4 + len(decay)]
            print(
                f"T = {temperature}, step {step:5.3f}: |C(t,t) − 1| ≤ {np.abs(found.drift).max():.1e}, "
                f"|decay of R − (T − pE)| ≤ {np.abs(decay - expected).max():.1e}"
            )


def aging() -> None:
    """Plateau, ratio and effective temperature raw and extrapolated; decay of the energy at T = 0."""
    for temperature in (0.3, 0.5):
        found, expected = solve({3: 1.0}, temperature, np.inf, 1e4, 1e-4), theory.marginal_state(3, temperature)
        print(f"T = {temperature}: exact {expected}")
        limit, error = limit_of(found, 1e4, 4)
        print(f"  t = 10⁴ {fitted(found, 1e4)}\n  four octaves {limit}\n  error {error}", flush=True)
    found = solve({3: 1.0}, 0.0, np.inf, 2e4, 1e-5)
    print("T = 0, t = 10⁴: slope {:.4f}, amplitude {:.4f} ± {:.4f}".format(*decay(found, theory.threshold_energy(3), 1e4)))


def mixture() -> None:
    """3+4 quenched to T = 0 from equilibrium just above T_d, and from a random start: energy against the threshold, and memory."""
    model = {3: 1.0, 4: 1.0}
    times = 10.0 ** np.arange(1, 6)
    for start in (0.82, np.inf):
        found = solve(model, 0.0, start, 1e5, 1e-4)
        print(f"T_i = {start}, t = {times}")
        print(f"  E − E_th = {found.energy(times) - theory.threshold_energy(model)} ± {found.energy_error(times)}")
        print(f"  C(t, 0) = {found.correlation(0.0, times)}", flush=True)


PARTS = {"cost": cost, "order": order, "drift": drift, "aging": aging, "mixture": mixture}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="all", choices=[*PARTS, "all"])
    asked = parser.parse_args().part
    for name, work in PARTS.items():
        if asked in (name, "all"):
            work()
