"""What a whole p-spin run costs beside its bare gradients: runner, noise, commits, and two-time observables on a 12 × 30 grid.

    python benchmarks/whole_run.py [--n 512] [--replicas 1] [--rounds 5]

Langevin dynamics (two gradients a step). Bare gradients and whole runs take turns in one process; the ratio of the medians
is what counts. Energies are readings over all couplings: they are priced apart, as one gradient of the bare loop each.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from glassyrun import api
from glassyrun.experiment import Experiment, Setting, numerics
from glassyrun.progress import Silent
from glassyrun.spec.load import dump_spec
from glassyrun.store import Store
from glassyrun.trajectories import Trajectory

STEPS, DT = 400, 0.05


def spec(n: int, replicas: int) -> api.Spec:
    """Energy at 12 times, every two-time observable at 12 waiting times by 30 lags."""
    horizon = STEPS * DT
    grids = {
        "time": {"from": 0.0, "to": horizon, "n": 12},
        "t_w": {"from": 0.0, "to": horizon / 2, "n": 12},
        "t": {"from": 0.0, "to": horizon / 2, "n": 30},
    }
    return api.load(
        {
            "system": {"kind": "pspin", "n": n},
            "dynamics": {"kind": "langevin", "dt": DT, "temperature": 0.5},
            "schedule": {"horizon": horizon, **grids},
            "ensemble": {"replicas": replicas},
            "observables": [{"kind": kind} for kind in ("energy", "msd", "overlap", "displacement")],
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    chosen = spec(asked.n, asked.replicas)
    bare, whole = [], []
    with numerics(chosen):
        for _ in range(asked.rounds):
            with tempfile.TemporaryDirectory() as place:
                store = Store.open(Path(place) / "run", dump_spec(chosen))
                trajectory = Trajectory.begin(Experiment(Setting.of(chosen), store, Silent()), 0)
                system, state = trajectory.now.system, trajectory.state
                began = time.perf_counter()
                for _ in range(2 * STEPS):
                    system.gradient(state)
                for _ in range(12):
                    system.energy(state)
                bare.append(time.perf_counter() - began)
                began = time.perf_counter()
                trajectory.run()
                whole.append(time.perf_counter() - began)
                store.close()
    ratio = statistics.median(whole) / statistics.median(bare)
    print(
        f"N = {asked.n}, {asked.replicas} replicas: whole run / its {2 * STEPS} gradients and 12 energies = {ratio:.3f} (at most 1.10)"
    )


if __name__ == "__main__":
    main()
