"""One spec made runnable: contexts, objects of a disorder sample, and what the result must say of them."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import torch

from glassyrun.clock import Clock
from glassyrun.context import Context, Journey
from glassyrun.dynamics import Dynamics
from glassyrun.errors import PluginError, Refusal, StorageError
from glassyrun.extent import check_extent
from glassyrun.guard import check_dynamics, check_observables, check_start, check_system, plugin_code
from glassyrun.machine import available, deterministic, device_of, processor
from glassyrun.machine import numerics as numerics
from glassyrun.observable import Observable
from glassyrun.options import Footprint
from glassyrun.origin import Origin, state_digest, taken_over
from glassyrun.progress import Reporter
from glassyrun.protocol import named, time_unit, told
from glassyrun.references import pack, unpack
from glassyrun.registry import digests_for
from glassyrun.schedule import Schedule
from glassyrun.spec.load import dump_spec
from glassyrun.spec.model import Spec
from glassyrun.state import State
from glassyrun.stopping import WallLimit
from glassyrun.store import Contents, Store
from glassyrun.system import System

DTYPES = {"float32": torch.float32, "float64": torch.float64}
RECORDED = ("torch", "torchvision", "numpy", "numba", "glassyrun")


@attrs.frozen
class Setting:
    """A spec on a machine: everything about a run but where it is kept."""

    spec: Spec
    schedule: Schedule
    device: torch.device
    data_root: Path | None = None
    origin: Origin | None = None
    """Another run to begin from; never named in a spec."""

    @classmethod
    def of(cls, spec: Spec, data_root: Path | None = None, origin: Origin | None = None) -> Setting:
        """Resolves the device and the grids.

        Raises:
            Refusal: if the device is absent or a grid impossible.
        """
        if data_root is not None and not data_root.is_dir():
            told = (
                "is a file; name the folder that holds the data sets"
                if data_root.exists()
                else "there is no such folder; make it"
            )
            raise StorageError(f"--data {data_root}: {told}, or leave the option out for the default one")
        return cls(spec, Schedule.of(spec), device_of(spec.run.device), data_root, origin)

    def gridded(self, grids: Mapping[str, Sequence[int]]) -> Setting:
        """The same with grids, in steps, of a run that has grown; no grids leave those of the spec."""
        if not grids:
            return self
        time, t_w, t = (tuple(grids.get(grid, getattr(self.schedule, grid))) for grid in ("time", "t_w", "t"))
        return attrs.evolve(self, schedule=attrs.evolve(self.schedule, time=time, t_w=t_w, t=t))

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.spec.run.dtype]

    @property
    def clock(self) -> Clock:
        return self.schedule.clock

    def context(self, owner: str, sample: int, begins: int = 0) -> Context:
        return Context(owner, self.spec.seed, sample, self.device, self.dtype, self.data_root, begins, self.journey)

    @cached_property
    def journey(self) -> Journey:
        """What the run will do."""
        steps = self.clock.lengths(self.schedule.horizon)
        stages = list(zip(self.spec.stages, steps, strict=True))
        since, until = self.schedule.t_w, self.schedule.last_use()
        beside = [observable.companions(since, until) for observable in self.spec.observables]
        return Journey(
            self.schedule.horizon,
            self.clock.flow(self.schedule.horizon),
            sum(stage.gradients * steps for stage, steps in stages),
            sum(stage.noises * steps for stage, steps in stages),
            self.spec.ensemble.replicas,
            len(self.schedule.time),
            sum(steps for _, steps in beside),
            sum(count for count, _ in beside),
            next((observable.label for observable in self.spec.observables if observable.components), ""),
        )

    @property
    def put_off(self) -> set[str]:
        """Labels of the observables that are read when a sample's trajectory is complete."""
        if not self.spec.system.reveals:
            return set()
        return {observable.label for observable in self.spec.observables if observable.looks}

    def footprint(self) -> Footprint:
        with plugin_code(self._system):
            footprint = self.spec.system.footprint(self.context("system", 0))
        if not isinstance(footprint, Footprint):
            raise PluginError(f"{self._system}: its plugin gave {footprint!r} as footprint, expected a glassyrun.Footprint")
        return footprint

    @property
    def _system(self) -> str:
        return f'system "{self.spec.system.kind}"'

    def place(self, stage: int) -> str:
        """What a stage is called: as `--set` names it, where there are several."""
        return f"dynamics.{stage}" if isinstance(self.spec.dynamics, list) else "dynamics"

    def field(self, name: str, stage: int) -> str:
        """A field `dynamics.…` of a stage, as `--set` names it."""
        return f"{self.place(stage)}.{name.removeprefix('dynamics.')}" if name.startswith("dynamics.") else name

    def _dynamics(self, stage: int) -> str:
        return f'{self.place(stage)} "{self.spec.stages[stage].kind}"'

    @property
    def _captures(self) -> bool:
        """Whether steps may be captured, if System and Dynamics allow it."""
        return self.device.type == "cuda" and self.spec.run.cuda_graphs

    def memory(self, footprint: Footprint) -> int:
        """Bytes that a run takes at its peak, beside the torch process itself."""
        replicas, size = self.spec.ensemble.replicas, self.dtype.itemsize
        # of a trajectory of its own an observable keeps x, a field and what the dynamics remembers
        kept = len(self.schedule.t_w) + 6 + 3 * self.journey.companions + (len(self.schedule.events()) if self.put_off else 0)
        states = kept * replicas * footprint.dof * size + 3 * replicas * footprint.dof * 8
        looks = footprint.transient_bytes * min(replicas, footprint.at_once)
        if self._captures:  # a captured step has memory, State and draw of its own
            looks, states = 2 * looks, states + 5 * replicas * footprint.dof * size
        return footprint.bytes + looks + states

    def check_memory(self, footprint: Footprint) -> None:
        """Refuses what will not fit, before anything is taken.

        Raises:
            Refusal: with the numbers and the remedy.
        """
        needed, free = self.memory(footprint), available(self.device)
        if needed > free:
            raise Refusal(
                f"system: needs about {_gigabytes(needed)} ({_gigabytes(footprint.bytes)} of them for {footprint.terms} terms), "
                f"but {_gigabytes(free)} are free on {self.device}; "
                "make the system smaller, or take fewer replicas or waiting times"
                f"{', or set run.cuda_graphs = false' if self._captures else ''}"
            )

    def warnings(self, system: System) -> list[str]:
        """What the user must be told loudly of this pairing."""
        with plugin_code(self._system):
            limit, stages = self.spec.system.stable_step(), list(enumerate(self.spec.stages))
            long = [(k, stage.gradient_step) for k, stage in stages if limit is not None and stage.gradient_step > limit]
        several = isinstance(self.spec.dynamics, list)
        unstable = [
            f"the step of {step:g}{f' of {self.place(stage)}' if several else ''} is beyond {limit:g}, where explicit steps down "
            "this energy become unstable: the numbers will not be those of the dynamics in continuous time"
            for stage, step in long
        ]
        return [*system.warnings, *unstable, *(self.origin.warnings(self.spec) if self.origin else ())]

    def system(self, sample: int) -> System:
        with plugin_code(self._system):
            return check_system(self._system, self.spec.system.build(self.context("system", sample)))

    def dynamics(self, system: System, sample: int, stage: int = 0, owner: str = "dynamics") -> Dynamics:
        """The dynamics of one stage. All stages are built for one owner: steps are counted through, so no number is drawn twice.

        Raises:
            Refusal: if the pairing has no meaning.
        """
        options, place = self.spec.stages[stage], self._dynamics(stage)
        context = self.context(owner, sample, self.clock.stretches[stage].begins)
        with plugin_code(place):
            try:
                built = options.build(context, system)
            except Refusal as error:
                raise Refusal(self.field(str(error), stage)) from error
            return check_dynamics(place, built, options)

    def stages(self, system: System, sample: int, begun: State | None = None) -> tuple[Dynamics, ...]:
        """The dynamics of all stages, in the order of time.

        What begins from another run's State draws numbers of its own: that run's chance is in the State already.
        """
        owner = "dynamics" if begun is None else f"dynamics/from {state_digest(begun)}"
        return tuple(self.dynamics(system, sample, stage, owner) for stage in range(len(self.spec.stages)))

    def observables(self, system: System, sample: int, stages: Sequence[Dynamics]) -> dict[str, Observable]:
        """The observables by label.

        Raises:
            GlassyrunError: if two of them can't stand in one result, or one has nothing to measure under any stage.
        """
        built: dict[str, object] = {}
        for options in self.spec.observables:
            with plugin_code(f"observables.{options.label}"):
                built[options.label] = options.build(self.context(f"observables/{options.label}", sample), system)
        checked = check_observables(built)
        for label, observable in checked.items():
            with plugin_code(f"observables.{label}"):
                observable.suits(stages, self.schedule)
        ensemble = self.spec.ensemble
        check_extent(checked, self.schedule.points(), ensemble.samples, ensemble.replicas)
        return checked

    def watches(self, dynamics: Dynamics) -> bool:
        """Whether a rise of the energy under this dynamics stops the run."""
        return dynamics.descends and self.spec.run.rising_energy == "stop"

    def start(self, system: System, dynamics: Dynamics, sample: int, begun: State | None = None) -> State:
        """The State at time 0: own starts, a shared one, or another run's State."""
        stream, ensemble = self.context("start", sample).stream("replica"), self.spec.ensemble
        streams = [stream.child(r if ensemble.start == "own" else 0) for r in range(ensemble.replicas)]
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        with plugin_code(self._system):
            state = check_start(self._system, system, system.initial(streams), ensemble.replicas, like)
            if begun is not None:
                state = taken_over(system, state, begun)
        with plugin_code(self._dynamics(0)):
            dynamics.enter(system, state)
        return state

    def advancing(self, stage: int = 0) -> AbstractContextManager[None]:
        """Around steps: names what raises there."""
        return plugin_code(f"{self._system} under {self._dynamics(stage)}")

    def promise(self) -> dict[str, str]:
        """The terms on which bits repeat: device, threads, versions, digests of plugins."""
        versions = {"python": platform.python_version()}
        for package in RECORDED:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[package] = importlib.metadata.version(package)
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else processor()
        return {
            "device": name,
            "threads": str(self.spec.run.threads or torch.get_num_threads()),
            "deterministic": "yes" if deterministic(self.spec) else "no",
            "versions": json.dumps(versions, sort_keys=True),
            "plugins": json.dumps(digests_for(self.spec), sort_keys=True),
        }

    def attributes(self, system: System, stages: Sequence[Dynamics]) -> dict[str, Any]:
        """What the result says of how it came about."""
        spec = self.spec
        several = {"stages": told(spec.stages, self.clock, self.schedule.horizon)} if len(stages) > 1 else {}
        provenance = {
            f"dynamics_{f'{k}_' if several else ''}{name}": text
            for k, d in enumerate(stages)
            for name, text in d.provenance.items()
        }
        return {
            "title": f"{spec.system.kind} under {named(spec.stages)}",
            "source": f"glassyrun {importlib.metadata.version('glassyrun')}",
            "spec": dump_spec(spec),
            "seed": spec.seed,
            "dtype": spec.run.dtype,
            "time_unit": time_unit(spec.stages),
            "time_per_step": self.clock.shortest if self.clock.even else [stretch.dt for stretch in self.clock.stretches],
            **several,
            "degrees_of_freedom": system.degrees_of_freedom,
            "terms": system.terms,
            **self.promise(),
            **{f"system_{name}": text for name, text in system.provenance.items()},
            **provenance,
            **({"started_from": self.origin.attribute} if self.origin else {}),
            **({"warnings": "\n".join(warnings)} if (warnings := self.warnings(system)) else {}),
        }

    def axes(self) -> dict[str, Any]:
        """Coordinates of the result: those of its dimensions, and beside times the steps and the time along the gradient flow."""
        ensemble = self.spec.ensemble
        return {
            "sample": {"values": list(range(ensemble.samples)), "long_name": "realisation of the disorder", "units": "1"},
            "replica": {"values": list(range(ensemble.replicas)), "long_name": "run on the same disorder", "units": "1"},
            **self.schedule.axes(time_unit(self.spec.stages)),
        }


@attrs.frozen
class Experiment:
    """A setting with a place to keep what is measured and someone to tell how it gets on."""

    setting: Setting
    store: Store
    reporter: Reporter
    stop_requested: dict[str, str] = attrs.field(factory=dict)
    """Holds the reason, under `reason`, as soon as the run should stop."""
    limit: WallLimit = attrs.field(factory=lambda: WallLimit(math.inf, ""))
    lasting: bool = True
    """Whether the directory outlives the run."""

    @property
    def extendable(self) -> bool:
        """Whether all is kept that a longer horizon needs."""
        return self.lasting and self.setting.spec.run.extendable

    def begun(self, sample: int) -> State | None:
        """The State of another run that a sample begins from; the run keeps its own copy, since the other may go on or away."""
        manifest, origin = self.store.manifest, self.setting.origin
        if manifest.untouched:
            return None if origin is None else origin.states[sample]
        blob = next((blob for blob in manifest.starts if blob.about["sample"] == sample), None)
        if blob is None and "started_from" in manifest.attributes:
            raise StorageError(
                f"{self.store.directory}: the State that sample {sample} begins from is not there; restore it, or begin anew with --fresh"
            )
        return None if blob is None else unpack(self.store.read(blob), "", 0)

    def starts(self) -> list[Contents]:
        """All States of another run that samples begin from, for the store."""
        origin = self.setting.origin
        return [(pack(state), {"sample": sample}) for sample, state in enumerate(origin.states if origin else ())]


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"
