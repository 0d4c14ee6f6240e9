"""How long `glassyrun --help` takes, beside an empty Python; the limit is 300 ms.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REPEATS = 15
LIMIT = 0.3
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "glassyrun --help": [sys.executable, "-m", "glassyrun", "--help"],
}


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> int:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    for name, taken in times.items():
        print(f"{name:<20} median {1e3 * statistics.median(taken):6.1f} ms, worst {1e3 * max(taken):6.1f} ms")
    return int(statistics.median(times["glassyrun --help"]) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
