"""The same things from Python: load a spec, run it, collect what a run measured."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import tomli
import xarray as xr

from glassyrun import result
from glassyrun.errors import Diverged, PluginError, Refusal, StorageError
from glassyrun.experiment import Experiment, Setting, numerics
from glassyrun.progress import reporter
from glassyrun.registry import Registry
from glassyrun.spec.load import diff_specs, dump_spec, load_spec
from glassyrun.spec.model import Spec
from glassyrun.store import Manifest, Store


@attrs.frozen
class Outcome:
    """What became of a run."""

    directory: Path
    result: Path
    already_done: bool = False


def load(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, plugins: Sequence[str | Path] = ()) -> Spec:
    """Reads and checks a spec.

    Args:
        source: path of a TOML file, or the same as nested dictionaries.
        overrides: `"system.n=512"` and the like.
        plugins: Python files with hook functions, beside the installed plugins.

    Raises:
        SpecError: naming every mistake.
    """
    registry = Registry.installed([Path(file) for file in plugins])
    return load_spec(source if isinstance(source, Mapping) else Path(source), overrides, registry)


def run(
    spec: Spec | str | Path | Mapping[str, Any],
    directory: str | Path | None = None,
    *,
    data: str | Path | None = None,
    fresh: bool = False,
    quiet: bool = False,
) -> xr.Dataset:
    """Runs a spec and gives back its dataset, loaded.

    With a `directory` the run is kept there and goes on where it stopped; without one nothing is kept on disk, and what was
    measured before a divergence is the attribute `partial` of the exception.

    Raises:
        GlassyrunError: one sentence on what is wrong.
    """
    resolved = spec if isinstance(spec, Spec) else load(spec)
    if directory is not None:
        execute(resolved, Path(directory), data_root=Path(data) if data else None, fresh=fresh, quiet=quiet)
        return result.assemble(Path(directory))
    with tempfile.TemporaryDirectory(prefix="glassyrun-") as place:
        try:
            execute(resolved, Path(place), data_root=Path(data) if data else None, quiet=quiet, listen=False)
        except Diverged as error:
            error.partial = result.assemble(Path(place))
            raise
        return result.assemble(Path(place))


def execute(
    spec: Spec, directory: Path, *, data_root: Path | None = None, fresh: bool = False, quiet: bool = False, listen: bool = True
) -> Outcome:
    """Runs a spec in a run directory, from where it stopped; with `listen`, signals make it save and stop.

    Raises:
        GlassyrunError: one sentence on what is wrong; its `exit_code` tells the kind.
    """
    setting = Setting.of(spec, data_root)
    store = Store.open(directory, dump_spec(spec), fresh=fresh)
    try:
        _check_same(store.manifest, spec, directory)
        if store.manifest.complete:
            path = directory / "result.nc"
            if "warnings" in store.manifest.attributes:
                reporter(quiet).warn(store.manifest.attributes["warnings"])
            return Outcome(directory, path if path.exists() else result.write(directory), already_done=True)
        if store.manifest.failure:
            raise Diverged(
                f"{directory}: this run ended before: {store.manifest.failure}; begin anew with --fresh, or change the spec"
            )
        with listening(listen) as stop, numerics(spec):
            _solve(Experiment(setting, store, reporter(quiet), stop))
        return Outcome(directory, result.write(directory))
    finally:
        store.close()


def collect(directory: Path) -> Path:
    """Builds `result.nc` from what is committed, also of a run that is alive or dead.

    Raises:
        StorageError: if the directory holds no run, or a committed file is damaged.
    """
    return result.write(directory)


def _solve(experiment: Experiment) -> None:
    setting, store = experiment.setting, experiment.store
    _check_promise(store.manifest, setting, store.directory)
    setting.check_memory(setting.footprint())
    store.log(event="begin", when=time.time(), host=socket.gethostname(), pid=os.getpid(), step=_committed_step(store.manifest))
    try:
        setting.spec.system.solver().run(experiment)
    except Diverged:
        result.write(store.directory)
        raise
    except PluginError as error:
        # a user reads one sentence, whoever mends the plugin needs the place
        store.log(event="plugin error", when=time.time(), traceback="".join(traceback.format_exception(error)))
        raise
    finally:
        with contextlib.suppress(StorageError):  # the sidecar must not hide why a run ended
            store.log(event="end", when=time.time(), step=_committed_step(store.manifest))
    store.finish()


def _committed_step(manifest: Manifest) -> dict[str, int]:
    return {"done": manifest.done, "step": manifest.checkpoint.about["step"] if manifest.checkpoint else 0}


def _check_same(manifest: Manifest, spec: Spec, directory: Path) -> None:
    if manifest.spec == dump_spec(spec):
        return
    changed = "; ".join(f"{field} was {old}, now {new}" for field, old, new in diff_specs(tomli.loads(manifest.spec), spec))
    raise Refusal(
        f"{directory}: holds a run of another spec: {changed}; choose another directory with -o DIR, or begin anew with --fresh"
    )


def _check_promise(manifest: Manifest, setting: Setting, directory: Path) -> None:
    """A resumed run must repeat the bits of an uninterrupted one, so nothing they depend on may have changed."""
    begun = manifest.attributes
    changed = [f"{key} was {begun[key]}, now {now}" for key, now in setting.promise().items() if begun and begun.get(key) != now]
    if changed:
        raise Refusal(
            f"{directory}: the run was begun on other terms ({'; '.join(changed)}); "
            "go on under the same, or begin anew with --fresh"
        )


@contextlib.contextmanager
def listening(wanted: bool = True) -> Iterator[Mapping[str, str]]:
    """Hears SIGINT, SIGTERM and SIGUSR1: the first asks the run to save and stop, a second SIGINT stops at once."""
    stop: dict[str, str] = {}
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def hear(number: int, frame: FrameType | None) -> None:
        if "reason" in stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.setdefault("reason", signal.Signals(number).name)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
