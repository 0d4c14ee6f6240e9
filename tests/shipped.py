"""The specs in `specs/`, made small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glassyrun import api

ROOT = Path(__file__).parents[1]
SPECS = sorted((ROOT / "specs").glob("*.toml"))


def small(path: Path) -> api.Spec:
    """A shipped spec of a few steps, and few spins or images; everything else as it is."""
    spec = api.load(path)
    steps = 4 * max(stage.time_step for stage in spec.stages)
    changed: dict[str, Any] = {"schedule.horizon": steps}
    for name in ("t_w", "t"):
        grid = getattr(spec.schedule, name)
        if isinstance(grid, list):
            changed[f"schedule.{name}"] = [0.0, steps / 2]
        elif grid.to is not None:
            changed[f"schedule.{name}.to"] = steps / 2
    changed |= _stages(spec, steps)
    if spec.system.kind == "pspin":
        return api.load(path, {**changed, "system.n": 16})
    if spec.system.kind == "quadratic":
        return api.load(path, {**changed, "system.n": 16, "system.terms": 16})
    images = 40 if spec.system.kind == "resnet18" else 200
    changed |= {"system.data.train": 10 * images, "system.data.test": 20}
    changed |= {"system.data.subset": images}
    for stage in [stage for stage in _names(spec) if isinstance(stage[1].batch_size, int)]:
        changed[f"{stage[0]}.batch_size"] = images // 4
    for number, observable in enumerate(spec.observables):
        if isinstance(getattr(observable, "terms", None), int):
            changed[f"observables.{number}.terms"] = images // 2
        if observable.kind == "gradient_noise":
            changed[f"observables.{number}.batches"] = 2
    return api.load(path, changed)


def _names(spec: api.Spec) -> list[tuple[str, Any]]:
    """The tables of the dynamics under their names in overrides."""
    return [("dynamics" if len(spec.stages) == 1 else f"dynamics.{n}", stage) for n, stage in enumerate(spec.stages)]


def _stages(spec: api.Spec, steps: float) -> dict[str, Any]:
    """Ends of stages, evenly over the run."""
    count = len(spec.stages)
    return {f"dynamics.{n}.until": steps * (n + 1) / count for n, stage in enumerate(spec.stages) if stage.until is not None}
