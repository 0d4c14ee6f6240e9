"""Which code a spec runs: the version and the digest of each plugin whose options occur in it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from glassyrun.options import Options

FILE_PREFIX = "glassyrun_file_"
"""Begins the module names of plugins that were given as files."""
SUFFIXES = (".py", ".pyi", ".so", ".pyd")


def digests_for(spec: Options) -> dict[str, str]:
    """Plugin → version and digest, for the engine and the plugins whose Options classes (or their bases) occur in the spec.

    A plugin is named by its top-level module, or by the name of its file.
    """
    modules = {
        base.__module__.partition(".")[0]
        for options in _options_in(spec)
        for base in type(options).__mro__
        if issubclass(base, Options)
    }
    found: dict[str, str] = {}
    for module in sorted(modules | {"glassyrun"}):
        name, digest = _readable(module), plugin_digest(module)
        # two files of one name are two plugins
        found[name if found.get(name, digest) == digest else f"{name} ({digest[:8]})"] = digest
    return found


def plugin_digest(module: str) -> str:
    """`0.1.0 4f…`: version of the distribution, where there is one, and BLAKE2b over the source of the top-level module."""
    top = module.partition(".")[0]
    version = _versions().get(top)
    digest = source_digest(top)
    return f"{version} {digest}" if version else digest


def source_digest(top: str) -> str:
    """BLAKE2b over all source files of a package, or the one file of a module; `unknown` for code without a file."""
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        return "unknown"
    origin = Path(file)
    files = sorted(_sources(origin.parent)) if origin.name == "__init__.py" else [origin]
    digest = hashlib.blake2b(digest_size=16)
    for source in files:
        content = source.read_bytes()
        name = source.relative_to(origin.parent).as_posix() if len(files) > 1 else ""
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _sources(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())


@cache
def _versions() -> Mapping[str, str]:
    """Top-level module of each installed plugin → version of the distribution that registers it."""
    points = importlib.metadata.entry_points(group="glassyrun")
    return {point.module.partition(".")[0]: point.dist.version for point in points if point.dist is not None}


def _readable(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).name if module.startswith(FILE_PREFIX) and file else module


def _options_in(value: Any) -> Iterable[Options]:
    if isinstance(value, Options):
        yield value
        value = [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _options_in(item)
