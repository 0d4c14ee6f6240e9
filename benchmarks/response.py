"""What twins cost: a run with an observable `response` beside the same run without one, in turns.

    python benchmarks/response.py [--n 512] [--replicas 16] [--rounds 5]

A twin needs as many forces as the run from its t_w on. The ratio of the two times is divided by that of the forces that they need:
1 where a twin costs what its forces do, and at most 1.1 (one twin from t_w = 0: at most 2.1 times the plain run is 1.05). One thread, and
seconds of the processor, which other processes on the machine disturb least. Building and the files of the run are left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from glassyrun import api
from glassyrun.experiment import Experiment, Setting, numerics
from glassyrun.progress import Silent
from glassyrun.spec.load import dump_spec
from glassyrun.store import Store
from glassyrun.trajectories import Trajectory

STEPS = 60
WAITING = {"one t_w": [0], "4 t_w": [0, 5, 10, 15]}
"""In steps."""
RESPONSES: dict[str, tuple[list[dict[str, Any]], int, bool]] = {
    "plain": ([], 0, False),
    "twins": ([{"kind": "response"}], 1, False),
    "opposite twins": ([{"kind": "response", "opposite": True}], 2, False),
    "superposed": ([{"kind": "response", "superposed": True}], 1, True),
    "from the noise": ([{"kind": "noise_response"}], 0, False),
}
"""Observables, twins a waiting time, and whether all waiting times share them."""

GLASS: dict[str, Any] = {
    "dynamics": {"kind": "langevin", "temperature": 0.5, "dt": 0.1},
    "run": {"threads": 1, "checkpoint_seconds": 1e6},
}
NETWORK: dict[str, Any] = {
    "system": {
        "kind": "mlp",
        "widths": [100],
        "data": {"kind": "gaussian_mixture", "dimension": 200, "train": 20_000, "test": 100, "clusters": 10, "separation": 3.0},
    },
    "dynamics": {"kind": "sgd", "learning_rate": 0.05, "momentum": 0.5, "batch_size": 500},
    "ensemble": {"replicas": 2},
    "run": {"threads": 1, "checkpoint_seconds": 1e6},
}


def forces(kind: str, waiting: list[int]) -> float:
    """Forces of the run with its twins over those of the run alone."""
    _, twins, shared = RESPONSES[kind]
    later = [STEPS - step for step in waiting]
    return 1 + twins * (max(later) if shared else sum(later)) / STEPS


def seconds(tables: dict[str, Any]) -> float:
    """Of all steps and readings, not of building the system."""
    chosen = api.load(tables)
    with numerics(chosen), tempfile.TemporaryDirectory() as place:
        store = Store.open(Path(place) / "run", dump_spec(chosen))
        trajectory = Trajectory.begin(Experiment(Setting.of(chosen), store, Silent()), 0)
        began = time.process_time()
        trajectory.run()
        took = time.process_time() - began
        store.close()
    return took


def compare(name: str, spec: dict[str, Any], kinds: list[str], rounds: int) -> None:
    dt = spec["dynamics"].get("dt", 1.0)
    for told, steps in WAITING.items():
        schedule = {"horizon": STEPS * dt, "t_w": [step * dt for step in steps], "t": {"from": 0, "per_decade": 8}, "time": [0.0]}
        took: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(rounds + 1):
            for kind in kinds if number else kinds[:1]:  # loops are compiled in the first run
                observables = [{"kind": "overlap"}, *RESPONSES[kind][0]]
                cost = seconds(spec | {"schedule": schedule, "observables": observables})
                took[kind] += [cost] if number else []
        for kind in kinds[1:]:
            ratio = statistics.median(took[kind]) / statistics.median(took["plain"])
            share = ratio / forces(kind, steps)
            print(f"{name}, {told}, {kind}: {ratio:.2f} times the plain run, {share:.3f} of its forces", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--replicas", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    kinds = list(RESPONSES)
    glass = GLASS | {"system": {"kind": "pspin", "p": 3, "n": asked.n}, "ensemble": {"replicas": asked.replicas}}
    compare(f"3-spin N = {asked.n}, {asked.replicas} replicas", glass, kinds, asked.rounds)
    compare("mlp of 21,110 weights, 2 replicas, SGD", NETWORK, [kind for kind in kinds if "noise" not in kind], asked.rounds)


if __name__ == "__main__":
    main()
