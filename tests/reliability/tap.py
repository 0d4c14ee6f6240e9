"""A tap on the calls by which a process changes files: each is seen before and after, and may be made to fail, or to kill."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import attrs

FRAMES = 3
"""Frames of the program by which a call site is told from another."""


@attrs.frozen
class Call:
    """One call. `sync` is of a file, `syncdir` of a directory, `open` of a file that may be written."""

    kind: str
    path: Path
    to: Path | None = None
    """Where a rename leads."""
    handle: int | None = None
    content: bytes = b""
    """What a write brings."""
    site: tuple[str, ...] = ()
    """Functions of the program that make the call, innermost first."""


Look = Callable[[Call], None]


def nothing(call: Call) -> None:
    """The look that does nothing."""


@contextlib.contextmanager
def tapped(root: Path, before: Look = nothing, after: Look = nothing) -> Iterator[None]:
    """Shows `before` and `after` every call under `root` that changes files. What `before` raises is what the call does."""
    tap = _Tap(root.resolve(), before, after)
    with contextlib.ExitStack() as stack:
        for module, name in [(builtins, "open"), (io, "open")]:
            stack.enter_context(mock.patch.object(module, name, tap.opening(getattr(module, name))))
        stack.enter_context(mock.patch.object(os, "open", tap.os_open(os.open)))
        stack.enter_context(mock.patch.object(os, "write", tap.os_write(os.write)))
        for name in ("fsync", "fdatasync"):
            stack.enter_context(mock.patch.object(os, name, tap.syncing(getattr(os, name))))
        for name, kind in (("unlink", "unlink"), ("remove", "unlink"), ("mkdir", "mkdir"), ("rmdir", "rmdir")):
            stack.enter_context(mock.patch.object(os, name, tap.naming(getattr(os, name), kind)))
        for name in ("replace", "rename"):
            stack.enter_context(mock.patch.object(os, name, tap.moving(getattr(os, name))))
        yield


@attrs.frozen
class _Tap:
    root: Path
    before: Look
    after: Look

    def place(self, path: Any, dir_fd: int | None = None) -> Path | None:
        """Where a call acts, if that is our business."""
        if isinstance(path, int):
            where = Path(os.readlink(f"/proc/self/fd/{path}"))
        else:
            base = Path.cwd() if dir_fd is None else Path(os.readlink(f"/proc/self/fd/{dir_fd}"))
            where = Path(os.path.normpath(base / os.fsdecode(path)))
        ours = where == self.root or self.root in where.parents
        return where if ours else None

    def around(self, call: Call, real: Callable[[], Any]) -> Any:
        self.before(call)
        given = real()
        self.after(call)
        return given

    def opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def patched(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            where = self.place(file) if set(mode) & set("wax+") else None
            if where is None:
                return real(file, mode, *args, **options)
            if isinstance(file, int) or options.get("opener"):  # it is open, or os.open is called, which is seen
                return _Watched(real(file, mode, *args, **options), where, self)
            opened = self.around(Call("open", where, site=_site()), lambda: real(file, mode, *args, **options))
            return _Watched(opened, where, self)

        return patched

    def os_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def patched(path: Any, flags: int, *args: Any, **options: Any) -> int:
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            where = self.place(path, options.get("dir_fd")) if writes else None
            if where is None:
                return real(path, flags, *args, **options)
            return self.around(Call("open", where, site=_site()), lambda: real(path, flags, *args, **options))

        return patched

    def os_write(self, real: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def patched(handle: int, content: Any) -> int:
            where = self.place(handle)
            if where is None:
                return real(handle, content)
            return self.around(Call("write", where, None, handle, bytes(content), _site()), lambda: real(handle, content))

        return patched

    def syncing(self, real: Callable[[int], None]) -> Callable[[Any], None]:
        def patched(file: Any) -> None:
            handle = file if isinstance(file, int) else file.fileno()
            where = self.place(handle)
            if where is None:
                real(handle)
                return
            kind = "syncdir" if where.is_dir() else "sync"
            self.around(Call(kind, where, None, handle, site=_site()), lambda: real(handle))

        return patched

    def naming(self, real: Callable[..., None], kind: str) -> Callable[..., None]:
        def patched(path: Any, *args: Any, **options: Any) -> None:
            where = self.place(path, options.get("dir_fd"))
            if where is None:
                real(path, *args, **options)
            else:
                self.around(Call(kind, where, site=_site()), lambda: real(path, *args, **options))

        return patched

    def moving(self, real: Callable[..., None]) -> Callable[..., None]:
        def patched(path: Any, to: Any, **options: Any) -> None:
            where, there = self.place(path, options.get("src_dir_fd")), self.place(to, options.get("dst_dir_fd"))
            if where is None or there is None:
                real(path, to, **options)
            else:
                self.around(Call("rename", where, there, site=_site()), lambda: real(path, to, **options))

        return patched


class _Watched:
    """A file whose writes are seen, each handed to the system at once so that order and faults are those that are seen.

    Text comes in crumbs; those are one write when the file is flushed or closed.
    """

    def __init__(self, file: Any, path: Path, tap: _Tap) -> None:
        self.__dict__.update(_file=file, _path=path, _tap=tap, _text=[])

    def write(self, content: Any) -> int:
        self._text.append(content)
        if not isinstance(content, str):
            self.flush()
        return len(content)

    def flush(self) -> None:
        if self._text:
            whole = self._text[0][:0].join(self._text)
            self._text.clear()
            seen = whole.encode() if isinstance(whole, str) else bytes(whole)

            def real() -> None:
                self._file.write(whole)
                self._file.flush()

            self._tap.around(Call("write", self._path, None, self._file.fileno(), seen, _site()), real)

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._file.close()

    def fileno(self) -> int:
        return self._file.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


def _site() -> tuple[str, ...]:
    """The innermost functions of the program."""
    names: list[str] = []
    frame = sys._getframe(1)
    while frame is not None and len(names) < FRAMES:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(("glassyrun", "filelock")):
            names.append(f"{module.rpartition('.')[2]}.{frame.f_code.co_name}")
        frame = frame.f_back
    return tuple(names)
