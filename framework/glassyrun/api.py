"""The same things from Python: load a spec, run it, collect what a run measured."""

from __future__ import annotations

import json
import math
import os
import socket
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import attrs

from glassyrun.errors import Diverged, OutOfMemory, PluginError, Refusal, Stopped, StorageError
from glassyrun.experiment import Experiment, Setting
from glassyrun.extension import grow
from glassyrun.guard import NO_MEMORY, ran_out
from glassyrun.machine import numerics
from glassyrun.manifest import Manifest, read_manifest
from glassyrun.origin import Origin, moved_on, told
from glassyrun.progress import Reporter, reporter
from glassyrun.registry import Registry
from glassyrun.spec.load import dump_spec, load_spec
from glassyrun.spec.model import Spec
from glassyrun.stopping import WallLimit, listening, stop_before, wall_limit
from glassyrun.store import Store
from glassyrun.terms import begun_threads, check_promise, drift_on, growth, tell_of_the_past

if TYPE_CHECKING:
    import xarray as xr


@attrs.frozen
class Outcome:
    """What became of a run."""

    directory: Path
    result: Path
    already_done: bool = False


Overrides = str | Sequence[str] | Mapping[str, Any]
"""`"system.n=512"`, several of them, or `{"system.n": 512}`."""


def load(source: str | Path | Mapping[str, Any], overrides: Overrides = (), *, plugins: Sequence[str | Path] = ()) -> Spec:
    """Reads and checks a spec.

    Args:
        source: path of a TOML file, or the same as nested dictionaries.
        overrides: `"system.n=512"`, several of them, or a mapping of dotted fields to values.
        plugins: Python files with hook functions, beside the installed plugins.

    Raises:
        SpecError: naming every mistake.
    """
    registry = Registry.installed([Path(file) for file in plugins])
    if isinstance(overrides, Mapping):
        overrides = [f"{field}={_toml(value)}" for field, value in overrides.items()]
    texts = [overrides] if isinstance(overrides, str) else overrides
    return load_spec(source if isinstance(source, Mapping) else Path(source), texts, registry)


def _toml(value: Any) -> str:
    """A value as one line of TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool | str):
        return json.dumps(plain)
    if not isinstance(plain, int | float):
        raise Refusal(
            f"overrides: found {value!r}, expected text, numbers, lists or mappings; leave a field out to have its default"
        )
    return repr(plain)


def run(
    spec: Spec | str | Path | Mapping[str, Any],
    directory: str | Path | None = None,
    *,
    overrides: Overrides = (),
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    start_from: str | Path | None = None,
    fresh: bool = False,
    quiet: bool = False,
    max_wall: float | None = None,
    allow_drift: bool = False,
) -> xr.Dataset:
    """Runs a spec and gives back its dataset, loaded. `overrides` and `plugins` are those of `load`.

    `start_from` is the directory of another run, in whose newest State this one begins (sample s in that of its sample s), or
    `"DIR@T_W"` for the configurations that it kept at a waiting time.

    With a `directory` the run is kept there and goes on where it stopped; without one nothing is kept on disk, and what was
    measured before a divergence is the attribute `partial` of the exception. `max_wall` are the seconds, from now, that it may
    take; `Stopped` tells that they did not suffice. With `allow_drift` it goes on in a directory though device, versions, plugins
    or threads are others; the result then says so.

    Raises:
        GlassyrunError: one sentence on what is wrong.
    """
    if isinstance(spec, Spec) and (overrides or plugins):
        raise Refusal(
            "run: found overrides or plugins beside a Spec that is resolved already; give them to glassyrun.load instead"
        )
    resolved = spec if isinstance(spec, Spec) else load(spec, overrides, plugins=plugins)
    if directory is not None:
        execute(
            resolved,
            Path(directory),
            data_root=Path(data) if data else None,
            start_from=start_from,
            fresh=fresh,
            quiet=quiet,
            max_wall=max_wall,
            allow_drift=allow_drift,
        )
        return _result().assemble(Path(directory))
    if max_wall is not None:
        raise Refusal("run: found max_wall without a directory; name one, in which the run is saved and goes on from")
    with tempfile.TemporaryDirectory(prefix="glassyrun-") as place:
        try:
            execute(
                resolved,
                Path(place),
                data_root=Path(data) if data else None,
                start_from=start_from,
                quiet=quiet,
                listen=False,
                lasting=False,
            )
        except Diverged as error:
            error.partial = _result().assemble(Path(place))
            raise
        return _result().assemble(Path(place))


def execute(
    spec: Spec,
    directory: Path,
    *,
    data_root: Path | None = None,
    start_from: str | Path | None = None,
    fresh: bool = False,
    quiet: bool = False,
    listen: bool = True,
    max_wall: float | WallLimit | None = None,
    allow_drift: bool = False,
    lasting: bool = True,
) -> Outcome:
    """Runs a spec in a run directory, from where it stopped; with `listen`, signals make it save and stop.

    `start_from` names another run to begin from, `DIR` or `DIR@T_W`. `max_wall` are the seconds, from now, that it may take: it
    saves and stops before they are over. A larger horizon or more samples extend the run that is there. `allow_drift` gives up the
    promise of equal bits where the terms have changed. A directory that is not `lasting` keeps nothing for a longer horizon.

    Raises:
        GlassyrunError: one sentence on what is wrong; its `exit_code` tells the kind.
    """
    limit = wall_limit(max_wall) or WallLimit(math.inf, "")
    with listening(listen) as stop:
        try:
            stop_before("the run began", stop, limit)
            return _execute(spec, directory, data_root, start_from, fresh, quiet, stop, limit, allow_drift, lasting)
        except Stopped as error:
            if fresh:  # which would throw away what was saved
                raise Stopped(str(error).replace("the same command again", "the same command again, without --fresh,")) from error
            raise
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            raise OutOfMemory(f"{directory}: {NO_MEMORY}") from error


def _execute(
    spec: Spec,
    directory: Path,
    data_root: Path | None,
    start_from: str | Path | None,
    fresh: bool,
    quiet: bool,
    stop: dict[str, str],
    limit: WallLimit,
    allow_drift: bool,
    lasting: bool,
) -> Outcome:
    own = None if start_from is None or fresh else _own_copy(directory)
    try:
        origin = None if start_from is None else Origin.read(start_from, spec.ensemble.samples, but=directory)
    except (StorageError, Refusal) as error:  # also where that run stands at other steps by now, or has diverged
        if own is None:
            raise
        origin = None
        reporter(quiet).warn(f"{error}; this run was begun from {told(own)} and goes on from its own copy")
    setting = Setting.of(spec, data_root, origin)
    store = Store.open(directory, dump_spec(spec), fresh=fresh, tell=reporter(quiet).warn)
    try:
        grown = growth(store.manifest, spec, directory, allow_drift=allow_drift)
        if start_from is None or origin is not None:
            _check_origin(store.manifest, origin, reporter(quiet), directory)
        if store.manifest.complete and not grown:
            tell_of_the_past(store.manifest, setting, reporter(quiet))
            return Outcome(directory, _past_result(directory, reporter(quiet)), already_done=True)
        if store.manifest.failure:
            raise Diverged(
                f"{directory}: this run ended before: {store.manifest.failure}; begin anew with --fresh, or run a changed spec in another "
                "directory with -o DIR"
            )
        with numerics(spec, begun_threads(store.manifest)):
            changed = check_promise(store, setting, allow_drift=allow_drift)
            for file in store.damaged():
                reporter(quiet).warn(
                    f"{store.directory / file}: damaged, so what was measured there will be NaN in the result; restore it, or begin anew "
                    "with --fresh"
                )
            setting = grow(store, setting, grown, reporter(quiet)) if grown else setting.gridded(store.manifest.grids)
            if changed:
                drift_on(store, setting, changed, reporter(quiet))
            _solve(Experiment(setting, store, reporter(quiet), stop, limit, lasting=lasting))
        return Outcome(directory, _whole_result(directory))
    finally:
        store.close()


def _result() -> ModuleType:
    """The module that builds datasets, loaded when there is one to build: xarray and netCDF take 60 MB beside a run."""
    from glassyrun import result

    return result


def _whole_result(directory: Path) -> Path:
    """Builds `result.nc`.

    Raises:
        StorageError: if some of it could not be read; it is NaN in the file, and everything else is there.
    """
    lost: list[str] = []
    path = _result().write(directory, lost.append)
    if lost:
        raise StorageError(lost[0])
    return path


def _past_result(directory: Path, tell: Reporter) -> Path:
    """The result of a run that was finished before, built again if it is not there or not what was written."""
    path = directory / "result.nc"
    if not _result().intact(directory):
        whole = _whole_result(directory)
        tell.warn(f"{path}: was deleted, changed, or made before the run ended, and is built again from what was measured")
        return whole
    return path


def collect(directory: Path) -> Path:
    """Builds `result.nc` from what is committed, also of a run that is alive or dead.

    Raises:
        StorageError: if the directory holds no run, or its manifest is damaged; and when everything that can be read is
            written, if some could not, which is NaN.
    """
    return _whole_result(directory)


def _solve(experiment: Experiment) -> None:
    setting, store = experiment.setting, experiment.store
    store.log(event="begin", when=time.time(), host=socket.gethostname(), pid=os.getpid(), step=_committed_step(store.manifest))
    try:
        setting.check_memory(setting.footprint())
        setting.spec.system.solver().run(experiment)
    except Diverged:
        _result().write(store.directory)
        raise
    except PluginError as error:
        # a user reads one sentence, whoever mends the plugin needs the place
        store.log(event="plugin error", when=time.time(), traceback="".join(traceback.format_exception(error)))
        raise
    finally:
        store.log(event="end", when=time.time(), step=_committed_step(store.manifest))
    store.finish()


def _committed_step(manifest: Manifest) -> dict[str, int]:
    return {"done": manifest.done, "step": manifest.checkpoint.about["step"] if manifest.checkpoint else 0}


def _own_copy(directory: Path) -> str | None:
    """Where a run that has measured something was begun from, of which it then has a copy; the other run may be gone."""
    manifest = read_manifest(directory)
    return None if manifest is None or manifest.untouched else manifest.attributes.get("started_from")


def _check_origin(manifest: Manifest, origin: Origin | None, tell: Reporter, directory: Path) -> None:
    """A run goes on from where it was begun, of which it has a copy; the other run may have gone on since."""
    begun, now = manifest.attributes.get("started_from"), origin.attribute if origin else None
    if manifest.untouched or begun == now:
        return
    if origin is None or begun is None or not moved_on(begun, origin.attribute):
        raise Refusal(
            f"{directory}: the run was begun from {told(begun)}, now from {told(now)}; give the same --from, choose another "
            "directory with -o DIR, or begin anew with --fresh"
        )
    tell.warn(f"--from {origin.name}: that run has gone on since; this one was begun from {told(begun)} and stays with that")
