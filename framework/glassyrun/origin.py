"""Another run's State as the beginning of this one: `--from DIR` and `--from DIR@T_W`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs
import tomli
from torch import Tensor

from glassyrun.errors import Refusal, StorageError
from glassyrun.files import digest
from glassyrun.manifest import Manifest, read_manifest
from glassyrun.references import pack, unpack
from glassyrun.spec.dump import same_whatever_its_length, spec_tables
from glassyrun.spec.model import Spec
from glassyrun.spec.problems import counted
from glassyrun.state import State
from glassyrun.store import read_blob
from glassyrun.system import System

ATTEMPTS = 5
"""Times that a run which is alive is read: it may replace its checkpoint in between."""
CONFIGURATIONS = "configurations"
"""Kind of the observable that keeps whole configurations at waiting times."""
OFF_THE_MANIFOLD = 1e-3
"""Relative distance that is no rounding, whatever the dtype."""
NEAR = 1e-9
"""Relative distance of a waiting time that is rounding."""


@attrs.frozen(eq=False)
class Origin:
    """States of another run, one a sample, and what the result must say of where they came from."""

    name: str
    """As it was typed."""
    spec: str
    """The resolved spec of the other run, TOML."""
    step: int
    time: float
    states: Sequence[State]
    what: Literal["state", "configurations"] = "state"

    @classmethod
    def read(cls, name: str | Path, samples: int, *, but: Path | None = None) -> Origin:
        """The States that `samples` samples begin from, of any run `but` the one that begins.

        A finished run gives its final States, another its newest checkpoint; `DIR@T_W` gives the configurations that were
        kept at the waiting time T_W.

        Raises:
            StorageError: if there is no such run, or it is damaged.
            Refusal: if it holds no such States.
        """
        name, (directory, t_w) = str(name), _parsed(str(name))
        if but is not None and directory.resolve() == but.resolve():
            raise Refusal(f"--from {name}: is the directory of this run; choose another one with -o DIR")
        for attempt in range(ATTEMPTS):
            manifest = read_manifest(directory)
            if manifest is None:
                raise StorageError(
                    f"--from {name}: holds no run (there is no manifest.json); give the directory that a run wrote"
                )
            try:
                return (
                    _final(name, directory, manifest, samples) if t_w is None else _kept(name, directory, manifest, samples, t_w)
                )
            except StorageError:
                later = read_manifest(directory)
                if attempt == ATTEMPTS - 1 or later is None or later.serial == manifest.serial:
                    raise
        raise AssertionError  # the last attempt has returned or raised

    @property
    def attribute(self) -> str:
        """What the result says, JSON: no path of a machine, but what the numbers depend on."""
        digests = [state_digest(state) for state in self.states]
        state = digests[0] if len(digests) == 1 else digest("".join(digests).encode())
        fields = same_whatever_its_length(tomli.loads(self.spec))  # the other run may grow, and is the same run
        spec = digest(json.dumps(fields, sort_keys=True, default=str).encode())
        about = {"spec": spec, "state": state, "step": self.step, "time": self.time, "what": self.what}
        return json.dumps(about, sort_keys=True)

    def warnings(self, spec: Spec) -> list[str]:
        """What a user should know of beginning there: the same system of another seed has another disorder."""
        other = tomli.loads(self.spec)
        kind = other.get("system", {}).get("kind")
        if kind != spec.system.kind:
            return [f'this run begins from a run of another system, "{kind}", of as many degrees of freedom']
        same = other.get("system") == spec_tables(spec)["system"]
        if same and spec.system.disordered and other.get("seed") != spec.seed:
            # part of the result: no path of a machine
            was = other.get("seed")
            return [f"this run begins from a run that has another disorder: its seed was {was}, now it is {spec.seed}"]
        return []


def moved_on(begun: str, now: str) -> bool:
    """Whether two attributes `started_from` speak of one run, which has only gone on since."""
    was, is_ = json.loads(begun), json.loads(now)
    return (was["spec"], was["what"]) == (is_["spec"], "state") and was["what"] == "state" and was["step"] < is_["step"]


def told(attribute: str | None) -> str:
    """An attribute `started_from` in words."""
    if attribute is None:
        return "no other run"
    about = json.loads(attribute)
    short = f"spec {about['spec'][:8]}, state {about['state'][:8]}"
    return f"step {about['step']} (time {about['time']:g}) of another run ({short})"


def state_digest(state: State) -> str:
    """BLAKE2b of all tensors of a State, names and shapes included."""
    whole = hashlib.blake2b(digest_size=16)
    for name, value in sorted(pack(state).items()):
        content = value.detach().cpu().contiguous()
        whole.update(f"{name}\0{content.dtype}\0{tuple(content.shape)}\0".encode())
        whole.update(content.numpy().tobytes())
    return whole.hexdigest()


def taken_over(system: System, fresh: State, begun: State) -> State:
    """Another run's State at step 0 of this one, in the dtype and on the device of `fresh`, a start of this one's own.

    Memory of the System is that of the other run where it has the shape that this System's own would have.

    Raises:
        Refusal: if the other run has another number of replicas or degrees of freedom, or x is no point of the manifold.
    """

    def here(value: Tensor) -> Tensor:
        dtype = fresh.x.dtype if value.dtype == begun.x.dtype else value.dtype
        return value.to(fresh.x.device, dtype, copy=True)

    dynamics = {name: here(value) for name, value in begun.dynamics.items()}
    taken = system.take_up(State(here(begun.x), 0, {name: here(value) for name, value in begun.system.items()}, dynamics))
    (replicas, dof), (there, theirs) = fresh.x.shape, taken.x.shape
    if (replicas, dof) != (there, theirs):
        raise Refusal(
            f"--from: that run has {counted(there, 'replica')} of {counted(theirs, 'degree')} of freedom, expected {replicas} of {dof}; "
            "begin from a run of the same sizes"
        )
    if float(system.manifold.drift(taken.x).abs().max()) > OFF_THE_MANIFOLD:
        raise Refusal(
            "--from: the configurations of that run do not lie on this system's sphere; begin from a run of such a system"
        )
    memory = dict(fresh.system)
    for name, value in taken.system.items():
        if name in memory and memory[name].shape == value.shape:
            memory[name] = value
    return State(taken.x, 0, memory, taken.dynamics)


def _parsed(name: str) -> tuple[Path, float | None]:
    """Directory and waiting time of `DIR` or `DIR@T_W`; a directory may have an @ in its own name."""
    before, at, after = name.rpartition("@")
    t_w: float | None = None
    if at and before and not Path(name).exists():
        try:
            t_w = float(after)
        except ValueError:
            t_w = math.nan
        if not math.isfinite(t_w):
            raise Refusal(f"--from {name}: found '{after}' after the @, expected a waiting time such as {before}@100")
        name = before
    path = Path(name)
    return path.parent if path.name == "result.nc" else path, t_w


def _final(name: str, directory: Path, manifest: Manifest, samples: int) -> Origin:
    """The newest States of a run."""
    if manifest.failure:
        raise Refusal(f"--from {name}: that run diverged ({manifest.failure}); begin from another one")
    # one that a run can go on from has an event, and the State beside other things; an older or a plain one is a State
    newest = {blob.sample: (blob, "state/" if "event" in blob.about else "") for blob in manifest.finals}
    if manifest.checkpoint is not None:
        newest[manifest.checkpoint.sample] = (manifest.checkpoint, "state/")
    missing = [sample for sample in range(samples) if sample not in newest]
    if (manifest.complete and not manifest.finals) or any("time" not in blob.about for blob, _ in newest.values()):
        raise Refusal(f"--from {name}: that run was made by a version that kept no final States; run it again with --fresh")
    if missing:
        has = f"States of {counted(len(newest), 'sample')}" if newest else "no State yet"
        remedy = "lower ensemble.samples" if manifest.complete else "let it run on, or lower ensemble.samples"
        raise Refusal(f"--from {name}: holds {has}, expected {samples}, one for each sample; {remedy}")
    blobs = [newest[sample] for sample in range(samples)]
    steps = {blob.about["step"]: blob.about["time"] for blob, _ in blobs}
    if len(steps) > 1:
        raise Refusal(f"--from {name}: its samples stand at the steps {', '.join(map(str, sorted(steps)))}; let it finish first")
    ((step, time),) = steps.items()
    states = [unpack(read_blob(directory, blob), prefix, 0) for blob, prefix in blobs]
    return Origin(name, manifest.spec, step, time, states)


def _kept(name: str, directory: Path, manifest: Manifest, samples: int, t_w: float) -> Origin:
    """The configurations that were kept at a waiting time."""
    observables = tomli.loads(manifest.spec).get("observables", [])
    label = next((o.get("name", o["kind"]) for o in observables if o["kind"] == CONFIGURATIONS), None)
    if label is None:
        raise Refusal(
            f'--from {name}: that run kept no configurations; add [[observables]] with kind = "{CONFIGURATIONS}" to its spec, or '
            "begin from its final State without @"
        )
    times: list[float] = manifest.axes["t_w"]["values"]
    number = min(range(len(times)), key=lambda k: abs(times[k] - t_w))
    if abs(times[number] - t_w) > NEAR * max(abs(t_w), 1.0):
        raise Refusal(
            f"--from {name}: found t_w = {t_w:g}, expected a waiting time of that run; the nearest is {times[number]:.12g}"
        )
    found: dict[int, State] = {}
    for blob in manifest.shards:
        sample = blob.about["sample"]
        if sample < samples and sample not in found:
            tensors = read_blob(directory, blob)
            measured = tensors[f"index/{label}"][:, 0].tolist() if f"index/{label}" in tensors else []
            if number in measured:
                found[sample] = State(tensors[f"value/{label}"][measured.index(number)].clone())
    if len(found) < samples:
        has = f"holds it for {counted(len(found), 'sample')}" if found else "that waiting time was not reached yet"
        raise Refusal(f"--from {name}: {has}, expected {samples}, one for each sample; let it run on, or lower ensemble.samples")
    step = manifest.axes["t_w_step"]["values"][number]
    states = [found[sample] for sample in range(samples)]
    return Origin(name, manifest.spec, step, times[number], states, "configurations")
