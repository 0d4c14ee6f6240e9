"""Which kinds are installed. Plugins are found by entry points of group "glassyrun", or given as files."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import attrs
import pluggy
from pydantic_core import PydanticUndefined

from glassyrun import hookspecs
from glassyrun.errors import GlassyrunError
from glassyrun.options import DatasetOptions, DynamicsOptions, ObservableOptions, PluginOptions, SystemOptions
from glassyrun.provenance import FILE_PREFIX, plugin_digest
from glassyrun.provenance import digests_for as digests_for

POINTS: Mapping[str, type[PluginOptions]] = {
    "systems": SystemOptions,
    "dynamics": DynamicsOptions,
    "observables": ObservableOptions,
    "datasets": DatasetOptions,
}
KIND = re.compile(r"[a-z][a-z0-9_]*")


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

    entries: dict[str, dict[str, Entry]] = attrs.field(factory=lambda: {point: dict[str, Entry]() for point in POINTS})
    digests: dict[str, str] = attrs.field(factory=dict)
    """Plugin name → version of its distribution, where it has one, and BLAKE2b digest of its source."""
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
        for point in sorted(importlib.metadata.entry_points(group=hookspecs.GROUP), key=lambda p: (p.name, p.value)):
            try:
                plugin = point.load()
            except (Exception, SystemExit) as error:  # noqa: BLE001 -- a stranger's code: name it, and let the rest work
                registry.problems.append(
                    f"plugin {point.name!r} ({point.value}) could not be loaded and is left out: {_told(error)}"
                )
            else:
                registry.add(point.name, plugin)
        for file in files:
            name = file.stem if file.stem not in registry.digests else str(file)
            registry.add(name, import_file(file))
        return registry

    def add(self, name: str, plugin: Any) -> None:
        """Takes in all that a plugin (a module with hook functions) brings; what is wrong with it becomes a problem."""
        manager = pluggy.PluginManager(hookspecs.GROUP)
        manager.add_hookspecs(hookspecs)
        try:
            manager.register(plugin, name)
            manager.check_pending()
        except Exception as error:  # noqa: BLE001 -- misspelt hooks, hooks with arguments, and whatever else
            self.problems.append(f"plugin {name!r} is left out: {_hook_fault(error)}")
            return
        implementations = {point: getattr(manager.hook, f"glassyrun_{point}").get_hookimpls() for point in POINTS}
        if not any(implementations.values()):
            hooks = ", ".join(f"glassyrun_{point}" for point in POINTS)
            self.problems.append(
                f"plugin {name!r} has none of the hooks {hooks} marked with @glassyrun.hookimpl; it brings nothing"
            )
        for point, hooks in implementations.items():
            for hook in hooks:
                self._take(name, point, hook.function)
        self.digests[name] = plugin_digest(_module_name(plugin))

    def _take(self, name: str, point: str, hook: Callable[[], Any]) -> None:
        try:
            returned = hook()
            classes = list(returned) if isinstance(returned, list | tuple) else None
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- a stranger's code
            self.problems.append(f"plugin {name!r} raised in glassyrun_{point} and is left out there: {_told(error)}")
            return
        if classes is None:
            found = f"{type(returned).__name__}, expected a list of Options classes"
            self.problems.append(f"plugin {name!r}: glassyrun_{point} gave a {found}; it is left out")
            return
        for options in classes:
            fault = self._fault(point, POINTS[point], options)
            if fault:
                told = options.__name__ if isinstance(options, type) else _shortened(repr(options))
                self.problems.append(f"plugin {name!r}: glassyrun_{point} gave {told}, which {fault}; it is left out")
            else:
                kind = str(kind_of(options))
                self.entries[point][kind] = Entry(kind, options, name)

    def _fault(self, point: str, base: type[PluginOptions], options: object) -> str | None:
        if not (isinstance(options, type) and issubclass(options, base)):
            return f"is no subclass of glassyrun.{base.__name__}"
        if inspect.isabstract(options):
            return f"lacks {', '.join(sorted(options.__abstractmethods__))}"
        try:
            options.model_rebuild()
        except Exception as error:  # noqa: BLE001 -- a type that is only known to type checkers, for example
            return f"has a field whose type can't be resolved ({_told(error)})"
        kind = kind_of(options)
        if kind is None or options.model_fields["kind"].default in (PydanticUndefined, None):
            return 'has no field kind: Literal["…"] = "…"'
        if not KIND.fullmatch(kind) or options.model_fields["kind"].default != kind:
            return f"has the kind {kind!r}, expected one lower-case word that is its default too"
        if kind in self.entries[point]:
            return f"repeats the kind {kind!r} of plugin {self.entries[point][kind].plugin!r}"
        return None


def kind_of(options: type[PluginOptions]) -> str | None:
    """The kind that an Options class answers to."""
    literals = get_args(options.model_fields["kind"].annotation)
    return literals[0] if len(literals) == 1 and isinstance(literals[0], str) else None


def _told(error: BaseException) -> str:
    return _shortened(f"{type(error).__name__}: {error}")


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else f"{text[:299]}…"


def _hook_fault(error: Exception) -> str:
    """What pluggy objects to, without its internals."""
    unknown = re.search(r"unknown hook '(\w+)'", str(error))
    if unknown:
        return (
            f"it has a hook {unknown.group(1)}, which does not exist; the hooks are {', '.join(f'glassyrun_{p}' for p in POINTS)}"
        )
    argument = re.search(r"hook '(\w+)'.*?Argument\(s\) (.*?) are declared", str(error), re.DOTALL)
    if argument:
        return f"its hook {argument.group(1)} takes arguments, expected none"
    return _told(error)


def _module_name(plugin: Any) -> str:
    return plugin.__name__ if isinstance(plugin, ModuleType) else str(getattr(plugin, "__module__", type(plugin).__module__))


def import_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise GlassyrunError(f"--plugin {file}: there is no such file; give the path of a Python file with hook functions")
    name = FILE_PREFIX + re.sub(r"\W", "_", str(file.resolve()))
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise GlassyrunError(f"--plugin {file}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise GlassyrunError(
            f"--plugin {file}: importing it raised {_told(error)}; mend the file or leave the option out"
        ) from error
    return module
