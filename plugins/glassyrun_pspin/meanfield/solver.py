"""The theory as a Solver: the numbers of a spec with `system.n = inf`, on the spec's own grids."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from jaxtyping import Float

from glassyrun import Refusal, Solver
from glassyrun_pspin.meanfield.solution import Solution, solve
from glassyrun_pspin.theory import lowest_energy

if TYPE_CHECKING:
    from glassyrun.experiment import Experiment, Setting

TOLERANCE = 1e-4
"""Of E, C and χ."""
KNOWN = ("energy", "mu", "overlap", "msd", "response", "noise_response")
ALWAYS = ("energy", "mu", "overlap", "msd", "response")
"""Measured whether a spec names them or not: the solution has them all."""
NAMES = {
    "energy": "energy per spin",
    "mu": "multiplier of the spherical constraint",
    "overlap": "overlap per degree of freedom",
    "msd": "mean-square displacement per degree of freedom",
    "response": "integrated response per degree of freedom",
    "noise_response_start": "the same from the noise with x at the waiting time, of mean 0",
}
Readings = tuple[Float[np.ndarray, " reading"], Float[np.ndarray, " reading"]]
"""Values and their errors."""


@attrs.frozen
class MeanField(Solver):
    """Solves the two-time equations of the spherical p-spin instead of running it.

    Its numbers are averages over disorder, starts and noise, and have neither of the dimensions `sample` and `replica`, so that
    simulation minus theory is one subtraction of datasets. The attribute `error` of a variable is its largest error on the grid.
    """

    tolerance: float = TOLERANCE

    def foreseen(self, setting: Setting) -> list[str]:
        """What is solved, and about how long that takes (docs/theory.md); raises what `run` would before it begins."""
        temperature, labels, grids = temperature_of(setting), labels_of(setting), _Grids.of(setting)
        return [
            f"theory       T = {temperature:g} up to t = {grids.last:g}, {', '.join(labels)}; E, C and χ to {self.tolerance:g}",
            "foreseen     about 10 s up to t = 100, and a minute or two up to t = 100000",
        ]

    def run(self, experiment: Experiment) -> None:
        """Solves the equations up to the last time of the grids, and commits all readings.

        Raises:
            Refusal: what the theory can't do, in one sentence.
            Stopped: if the run was asked to stop; nothing is kept, since it takes minutes at most.
        """
        from glassyrun.stopping import stop_before

        setting, store = experiment.setting, experiment.store
        temperature = temperature_of(setting)
        labels = labels_of(setting)
        grids = _Grids.of(setting)

        def heed() -> None:
            stop_before("the theory was solved", experiment.stop_requested, experiment.limit)

        def tell(progress: str) -> None:
            store.log(event="theory", progress=progress)

        tell("begins")
        system: Any = setting.spec.system
        start = system.initial_temperature or math.inf
        found = solve(system.coefficients, temperature, start, grids.last, self.tolerance, tell, heed)
        measured = {label: grids.read(found, kind) for label, kind in labels.items()}
        if "overlap" in labels.values():
            measured |= {f"{label}_normalised": measured[label] for label, kind in labels.items() if kind == "overlap"}
        variables = _variables(setting, labels, measured)
        if store.manifest.untouched:
            store.describe(_attributes(setting, self.tolerance), setting.axes(), variables)
        else:  # a run that has grown: later times have other errors
            store.describe(store.manifest.attributes, store.manifest.axes, variables)
        tensors = grids.tensors(labels, measured, setting.spec.ensemble.replicas)
        for sample in range(setting.spec.ensemble.samples):
            store.keep(tensors, {"sample": sample})


def temperature_of(setting: Setting) -> float:
    """T of a dynamics that discretises a Langevin equation.

    Raises:
        Refusal: for any other, for several stages, and for a start in another run.
    """
    if len(setting.spec.stages) > 1:
        raise Refusal(
            f"dynamics: found {len(setting.spec.stages)} stages, but the theory (system.n = inf) solves a single one; "
            "keep one table [dynamics], or give system.n a number"
        )
    dynamics: Any = setting.spec.stages[0]
    if dynamics.kind not in ("quench", "langevin"):
        raise Refusal(
            f'dynamics.kind = "{dynamics.kind}": discretises no Langevin equation, which is what the theory (system.n = inf) solves; '
            'take "langevin" or "quench", or give system.n a number'
        )
    for name, what in (("batch_size", "mini-batches"), ("ramp", "a changing temperature")):
        if getattr(dynamics, name, None) is not None:
            raise Refusal(
                f"dynamics.{name}: the theory (system.n = inf) knows no {what}; leave it out, or give system.n a number"
            )
    if setting.origin is not None:
        raise Refusal("--from: the theory (system.n = inf) begins at random or planted starts alone; leave it out")
    return 0.0 if dynamics.kind == "quench" else float(dynamics.temperature)


def labels_of(setting: Setting) -> dict[str, str]:
    """Label → kind of what is read: what the spec asks for, and the rest that the theory knows.

    Raises:
        Refusal: for an observable that the theory does not know, or that could not be measured either.
    """
    cold = temperature_of(setting) == 0
    asked = {observable.label: observable.kind for observable in setting.spec.observables}
    for label, kind in asked.items():
        if kind not in KNOWN:
            raise Refusal(
                f'observables.{label}: the theory (system.n = inf) does not know "{kind}"; expected some of {", ".join(KNOWN)}, '
                "or none, for all of them"
            )
        if kind == "noise_response" and cold:
            raise Refusal(
                f"observables.{label}: at T = 0 there is no thermal noise whose correlation with x could be read; take langevin at a "
                'temperature above 0, or the observable "response"'
            )
    labels = {label: "response" if kind == "noise_response" else kind for label, kind in asked.items()}
    labels |= {f"{label}_start": "noise_response_start" for label, kind in asked.items() if kind == "noise_response"}
    return labels | {kind: kind for kind in ALWAYS if kind not in labels and kind not in labels.values()}


@attrs.frozen(eq=False)
class _Grids:
    """The times of a spec, and where each pair lies."""

    time: Float[np.ndarray, " time"]
    t_w: Float[np.ndarray, " pair"]
    t: Float[np.ndarray, " pair"]
    pairs: list[tuple[int, int]]

    @classmethod
    def of(cls, setting: Setting) -> _Grids:
        schedule, clock = setting.schedule, setting.schedule.clock
        pairs = [(i, j, since, step) for i, since in enumerate(schedule.t_w) for j, step in schedule.later(since)]
        return cls(
            np.array([clock.time(step) for step in schedule.time]),
            np.array([clock.time(since) for _, _, since, _ in pairs]),
            np.array([clock.time(step) - clock.time(since) for _, _, since, step in pairs]),
            [(i, j) for i, j, _, _ in pairs],
        )

    @property
    def last(self) -> float:
        """The largest time that is looked at; a run of one step has nothing else than its start to show."""
        return float(max(self.time.max(initial=0.0), (self.t_w + self.t).max(initial=0.0))) or 1.0

    def read(self, found: Solution, kind: str) -> Readings:
        if kind == "energy":
            return found.energy(self.time), found.energy_error(self.time)
        if kind == "mu":
            return found.mu(self.time), found.mu_error(self.time)
        if kind == "response":
            return found.susceptibility(self.t_w, self.t), found.susceptibility_error(self.t_w, self.t)
        if kind == "noise_response_start":
            return np.zeros_like(self.t), np.zeros_like(self.t)
        # at lag 0 known without solving; how well the equations keep it there is measured in docs/theory.md
        lagged = self.t > 0
        C = np.where(lagged, found.correlation(self.t_w, self.t), 1.0)
        error = np.where(lagged, found.correlation_error(self.t_w, self.t), 0.0)
        return (C, error) if kind == "overlap" else (2 * (1 - C), 2 * error)

    def tensors(self, labels: Mapping[str, str], measured: Mapping[str, Readings], replicas: int) -> dict[str, torch.Tensor]:
        """A shard: values and indices of all variables."""
        tensors: dict[str, torch.Tensor] = {}
        for name, (values, _) in measured.items():
            index = [(i,) for i in range(len(self.time))] if labels.get(name) in ("energy", "mu") else self.pairs
            tensors[f"value/{name}"] = torch.from_numpy(values)[:, None].repeat(1, replicas)
            tensors[f"index/{name}"] = torch.tensor(index, dtype=torch.int64).reshape(len(index), -1)
        return tensors


def _variables(setting: Setting, labels: Mapping[str, str], measured: Mapping[str, Readings]) -> dict[str, dict[str, Any]]:
    """What the manifest says of each variable."""
    system: Any = setting.spec.system
    bottom = lowest_energy(system.coefficients)
    described: dict[str, dict[str, Any]] = {}
    for name, (_, error) in measured.items():
        kind = labels.get(name, "overlap")
        grid: Sequence[str] = ["time"] if kind in ("energy", "mu") else ["t_w", "t"]
        attributes: dict[str, Any] = {
            "long_name": f"{NAMES[kind]}, N → ∞",
            "units": "1",
            "error": float(f"{error.max(initial=0.0):.2g}"),
        }
        attributes |= {"bottom": bottom} if kind == "energy" and bottom is not None else {}
        described[name] = {"grid": list(grid), "dims": ["replica"], "coords": {}, "dtype": "float64", "attributes": attributes}
    return described


def _attributes(setting: Setting, tolerance: float) -> dict[str, Any]:
    """What the result says of how it came about."""
    from glassyrun.protocol import time_unit
    from glassyrun.result import AVERAGED
    from glassyrun.spec.load import dump_spec

    spec = setting.spec
    return {
        "title": f"{spec.system.kind} under {spec.stages[0].kind}, N → ∞",
        "source": f"glassyrun {importlib.metadata.version('glassyrun')}",
        "spec": dump_spec(spec),
        "degrees_of_freedom": math.inf,
        "seed": spec.seed,
        "dtype": "float64",
        "time_unit": time_unit(spec.stages),
        "time_per_step": setting.clock.shortest,
        "theory": "two-time equations of Cugliandolo and Kurchan, PRL 71, 173 (1993), in continuous time; steps give the grids alone",
        "tolerance": tolerance,
        AVERAGED: "sample replica",
        **setting.promise(),
    }
