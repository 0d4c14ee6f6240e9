"""Which kinds are installed. Plugins are found by entry points of group "glassyrun", or given as files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import attrs
import pluggy

from glassyrun import hookspecs
from glassyrun.errors import GlassyrunError
from glassyrun.options import DatasetOptions, DynamicsOptions, ObservableOptions, PluginOptions, SystemOptions

POINTS: Mapping[str, type[PluginOptions]] = {
    "systems": SystemOptions,
    "dynamics": DynamicsOptions,
    "observables": ObservableOptions,
    "datasets": DatasetOptions,
}


@attrs.frozen
class Entry:
    """One installed kind."""

    kind: str
    options: type[PluginOptions]
    plugin: str
    """Name of the plugin that brought it."""


@attrs.define
class Registry:
    """All kinds that a spec can name, and what went wrong with plugins that failed."""

    entries: dict[str, dict[str, Entry]] = attrs.field(factory=lambda: {point: {} for point in POINTS})
    digests: dict[str, str] = attrs.field(factory=dict)
    """Plugin name → version and BLAKE2b digest of its source, recorded in results."""
    problems: list[str] = attrs.field(factory=list)
    """One sentence for each plugin that raised or returned nonsense; the others work."""

    def kinds(self, point: str) -> dict[str, Entry]:
        return self.entries[point]

    @classmethod
    def installed(cls, files: Iterable[Path] = ()) -> Registry:
        """The registry of all installed plugins and of the given files.

        Raises:
            GlassyrunError: if one of `files` can't be read or imported: it was asked for by name.
        """
        registry = cls()
        for point in sorted(importlib.metadata.entry_points(group=hookspecs.GROUP), key=lambda p: p.name):
            try:
                registry._add(point.name, point.load())
            except Exception as error:  # noqa: BLE001 -- a stranger's code: name it, and let the rest work
                registry.problems.append(
                    f"plugin {point.name!r} ({point.value}) could not be loaded and is left out: {_told(error)}"
                )
        for file in files:
            registry._add(file.stem, _import_file(file))
        return registry

    def _add(self, name: str, module: ModuleType) -> None:
        manager = pluggy.PluginManager(hookspecs.GROUP)
        manager.add_hookspecs(hookspecs)
        manager.register(module, name)
        for point, base in POINTS.items():
            try:
                returned: list[Any] = getattr(manager.hook, f"glassyrun_{point}")()
                classes = [item for part in returned for item in part]
            except Exception as error:  # noqa: BLE001
                self.problems.append(f"plugin {name!r} raised in glassyrun_{point} and is left out there: {_told(error)}")
                continue
            for options in classes:
                fault = self._fault(point, base, options)
                if fault:
                    self.problems.append(f"plugin {name!r}: glassyrun_{point} gave {options!r}, which {fault}; it is left out")
                else:
                    kind = kind_of(options)
                    self.entries[point][kind] = Entry(kind, options, name)
        self.digests[name] = _digest(module)

    def _fault(self, point: str, base: type[PluginOptions], options: object) -> str | None:
        if not (isinstance(options, type) and issubclass(options, base)):
            return f"is no subclass of glassyrun.{base.__name__}"
        if inspect.isabstract(options):
            return f"lacks {', '.join(sorted(options.__abstractmethods__))}"
        kind = kind_of(options)
        if kind is None:
            return 'has no field kind: Literal["…"] = "…"'
        if kind in self.entries[point]:
            return f"repeats the kind {kind!r} of plugin {self.entries[point][kind].plugin!r}"
        return None


def kind_of(options: type[PluginOptions]) -> str | None:
    """The kind that an Options class answers to."""
    literals = get_args(options.model_fields["kind"].annotation)
    return literals[0] if len(literals) == 1 and isinstance(literals[0], str) else None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _import_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise GlassyrunError(f"--plugin {file}: there is no such file; give the path of a Python file with hook functions")
    spec = importlib.util.spec_from_file_location(f"glassyrun_file_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise GlassyrunError(f"--plugin {file}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise GlassyrunError(
            f"--plugin {file}: importing it raised {_told(error)}; mend the file or leave the option out"
        ) from error
    return module


def _digest(module: ModuleType) -> str:
    """BLAKE2b over the source of a plugin: all files of a package, or the one file."""
    origin = Path(module.__file__) if module.__file__ else None
    if origin is None:
        return "unknown"
    files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(str(file.relative_to(origin.parent)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
