"""What a disk may show after a power cut: a record of the calls that changed files, and all states that it allows.

The model is harder than any file system: content reaches the disk only by an fsync of the file, names only by an fsync of their
directory. What was not synced may be lost, kept, cut or full of zeros, each for itself and in any order.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from tests.reliability.tap import Call, tapped

MOST = 48
"""Crash states of one moment; more are drawn from."""
Files = Mapping[str, bytes]
"""Contents by path below the root."""


@attrs.define(eq=False)
class Inode:
    """A file, whatever it is called."""

    number: int


@attrs.frozen
class Op:
    """One change: `name` enters a directory, `gone` leaves it, `write` brings content, `sync` and `syncdir` make durable.

    What comes before `begin` was there before.
    """

    kind: str
    path: str = ""
    """Below the root; of the directory for `syncdir`."""
    inode: Inode | None = None
    """None for a directory, or a name that goes."""
    content: bytes = b""
    gone: str = ""
    """The name that a rename takes away."""
    site: tuple[str, ...] = ()
    opens: bool = False
    """Whether the call was an open: the program has gone on to something new."""


@attrs.define
class Record:
    """The changes of a process below a root, in their order."""

    root: Path
    ops: list[Op] = attrs.field(factory=list)
    names: dict[str, Inode] = attrs.field(factory=dict)
    contents: dict[Inode, bytes] = attrs.field(factory=dict)

    @classmethod
    @contextlib.contextmanager
    def of(cls, root: Path) -> Iterator[Record]:
        """Records what is done under `root`; what is there before is durable."""
        record = cls(root.resolve())
        for path in sorted(root.rglob("*")):
            record.ops.append(Op("name", record.below(path)) if path.is_dir() else record.known(path))
            if path.is_file():
                record.seen(path)
                record.ops.append(Op("sync", record.below(path), record.names[record.below(path)]))
        record.ops += [Op("syncdir", record.below(path)) for path in [root, *root.rglob("*")] if path.is_dir()]
        record.ops.append(Op("begin"))
        with tapped(root, after=record.take):
            yield record

    def below(self, path: Path) -> str:
        place = str(path.relative_to(self.root))
        return "" if place == "." else place

    def known(self, path: Path, site: tuple[str, ...] = (), opens: bool = False) -> Op:
        """The entry of a name that the record has not met."""
        inode = Inode(len(self.contents))
        self.names[self.below(path)], self.contents[inode] = inode, b""
        return Op("name", self.below(path), inode, site=site, opens=opens)

    def seen(self, path: Path, opens: bool = False) -> None:
        """What the file holds now, however it got there (a library may have written it)."""
        place = self.below(path)
        if place not in self.names:
            self.ops.append(self.known(path, opens=opens))
        inode, content = self.names[place], path.read_bytes()
        if content != self.contents[inode]:
            self.contents[inode] = content
            self.ops.append(Op("write", place, inode, content))

    def take(self, call: Call) -> None:
        """Adds a call that has been made."""
        place = self.below(call.path)
        if call.kind in ("open", "write", "sync"):
            self.seen(call.path, opens=call.kind == "open")
        if call.kind == "sync":
            self.ops.append(Op("sync", place, self.names[place], site=call.site))
        elif call.kind == "syncdir":
            self.ops.append(Op("syncdir", place, site=call.site))
        elif call.kind == "mkdir":
            self.ops.append(Op("name", place))
        elif call.kind == "unlink":
            self.names.pop(place, None)
            self.ops.append(Op("gone", gone=place))
        elif call.kind == "rename" and call.to is not None:
            if place not in self.names:
                self.names[place] = self.names.get(self.below(call.to)) or Inode(-1)
            inode, to = self.names.pop(place), self.below(call.to)
            self.names[to] = inode
            self.ops.append(Op("name", to, inode, gone=place, content=self.contents[inode]))


@attrs.define
class Disk:
    """What is durable and what is pending at a moment."""

    durable: dict[str, Inode | None] = attrs.field(factory=dict)
    """None stands for a directory."""
    pending: dict[str, list[Op]] = attrs.field(factory=dict)
    """Changes of names by directory."""
    synced: dict[Inode, bytes] = attrs.field(factory=dict)
    unsynced: dict[Inode, list[bytes]] = attrs.field(factory=dict)

    def do(self, op: Op) -> None:
        if op.kind in ("name", "gone"):
            self.pending.setdefault(_parent(op.path or op.gone), []).append(op)
        elif op.kind == "write" and op.inode is not None:
            self.unsynced.setdefault(op.inode, []).append(op.content)
        elif op.kind == "sync" and op.inode is not None:
            written = self.unsynced.pop(op.inode, [])
            self.synced[op.inode] = written[-1] if written else self.synced.get(op.inode, b"")
        elif op.kind == "syncdir":
            for pending in self.pending.pop(op.path, []):
                _apply(self.durable, pending)

    def crashes(self, generator: random.Random) -> Iterator[Files]:
        """The states that a crash now may show, all of them or many."""
        names = [op for ops in self.pending.values() for op in ops]
        visible = {inode for inode in [*self.durable.values(), *(op.inode for op in names)] if inode is not None}
        torn = [inode for inode in self.unsynced if inode in visible]
        contents = [self._versions(inode) for inode in torn]
        choices: list[Sequence[Any]] = [*[(False, True)] * len(names), *contents]
        for chosen in _some(choices, generator):
            kept = [op for op, keep in zip(names, chosen, strict=False) if keep]
            yield self._files(kept, dict(zip(torn, chosen[len(names) :], strict=True)))

    def _versions(self, inode: Inode) -> list[bytes]:
        old, written = self.synced.get(inode, b""), self.unsynced[inode]
        last = written[-1]
        cut = last[: (len(old) + len(last)) // 2] if len(last) > len(old) else last[: len(last) // 2]
        return list(dict.fromkeys([last, old, cut, bytes(len(last))]))

    def _files(self, kept: Sequence[Op], chosen: Mapping[Inode, bytes]) -> Files:
        names = dict(self.durable)
        for op in kept:
            _apply(names, op)
        folders = {path for path, inode in names.items() if inode is None} | {""}
        there = {path: inode for path, inode in names.items() if inode is not None}
        whole = {path: inode for path, inode in there.items() if _reachable(path, folders)}
        return {path: chosen.get(inode, self.synced.get(inode, b"")) for path, inode in whole.items()}


def _apply(names: dict[str, Inode | None], op: Op) -> None:
    names.pop(op.gone, None)
    if op.kind == "name":
        names[op.path] = op.inode


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _reachable(path: str, folders: set[str]) -> bool:
    return not path or (_parent(path) in folders and _reachable(_parent(path), folders))


def _some(choices: Sequence[Sequence[Any]], generator: random.Random) -> Iterator[tuple[Any, ...]]:
    """Every combination, or the extreme ones and a seeded draw."""
    count = 1
    for of in choices:
        count *= len(of)
    if count <= MOST:
        yield from itertools.product(*choices)
        return
    yield tuple(of[0] for of in choices)
    yield tuple(of[-1] for of in choices)
    for number in range(min(len(choices), MOST // 2)):  # one thing against all others
        one = random.Random(number).sample(range(len(choices)), 1)[0] if len(choices) > MOST // 2 else number
        yield tuple(of[-1] if place == one else of[0] for place, of in enumerate(choices))
        yield tuple(of[0] if place == one else of[-1] for place, of in enumerate(choices))
    for _ in range(MOST // 2):
        yield tuple(generator.choice(of) for of in choices)


@attrs.frozen
class Crash:
    """A state that a disk may show."""

    moment: int
    """Number of the last change before it."""
    files: Files
    fault: str | None
    """What is wrong with it."""
    state: int
    """Which commit it shows; -1 for none."""


def crashes(ops: Sequence[Op], run: str, seed: int = 0, done: bool = True) -> Iterator[Crash]:
    """All states after each of the changes, judged: each must show the last commit that was acknowledged, or the one under way.

    Args:
        ops: the record.
        run: the run directory below the root.
        done: whether the run came to its end: its result must then be there for ever.
    """
    disk, generator, judge = Disk(), random.Random(seed), _Judge.of(ops, run)
    renamed = acknowledged = len(judge.manifests) - 1 - sum(map(judge.commits, ops))
    begin = next((moment for moment, op in enumerate(ops) if op.kind == "begin"), 0)
    seen: set[tuple[int, int, int]] = set()
    for moment, op in enumerate(ops):
        disk.do(op)
        if op.opens:
            acknowledged = renamed
        if judge.commits(op):
            renamed += 1
        end = done and moment == len(ops) - 1
        acknowledged = renamed if end else acknowledged
        for files in disk.crashes(generator) if moment >= begin else ():
            key = (hash(frozenset(files.items())), acknowledged, renamed)
            if key not in seen or end:
                seen.add(key)
                fault, state = judge.fault(files, acknowledged, renamed, end)
                yield Crash(moment, files, fault, state)


@attrs.define
class _Judge:
    """Reads a directory as the promise says it must be, without the program's own code."""

    run: str
    manifests: list[bytes]
    """Every content that was committed, in order; one that comes twice is one state."""
    whole: dict[str, set[bytes]]
    """Whole contents of files that have a final name."""
    last: dict[str, bytes]

    @classmethod
    def of(cls, ops: Sequence[Op], run: str) -> _Judge:
        judge = cls(run, [], {}, {})
        contents: dict[Inode, bytes] = {}
        begun = False
        for op in ops:
            begun = begun or op.kind == "begin"
            if op.kind == "write" and op.inode is not None:
                contents[op.inode] = op.content
                if not begun and op.path == judge.manifest:
                    judge.manifests.append(op.content)
            if op.kind == "name" and op.inode is not None and op.gone:
                judge.whole.setdefault(op.path, set()).add(op.content)
                judge.last[op.path] = op.content
            if op.kind == "sync" and op.inode is not None and not op.path.endswith(".part"):
                judge.whole.setdefault(op.path, set()).add(contents.get(op.inode, b""))
            if judge.commits(op):
                judge.manifests.append(op.content)
        return judge

    @property
    def manifest(self) -> str:
        return f"{self.run}/manifest.json"

    def commits(self, op: Op) -> bool:
        return op.kind == "name" and op.path == self.manifest and bool(op.gone)

    def fault(self, files: Files, oldest: int, newest: int, end: bool) -> tuple[str | None, int]:
        shown = files.get(self.manifest)
        allowed = {content: k for k, content in enumerate(self.manifests[: newest + 1]) if k >= oldest}
        if shown is None:
            return ("the run is gone" if oldest >= 0 else None), -1
        if shown not in allowed:
            what = "an older commit" if shown in self.manifests else "a torn manifest"
            return f"{self.manifest} is {what}", -1
        for name, size, digest in _blobs(shown):
            content = files.get(f"{self.run}/{name}")
            if content is None or len(content) != size or _digest(content) != digest:
                return f"{name} is {'gone' if content is None else 'torn'}", allowed[shown]
        for path, content in files.items():
            ours = path.endswith((".safetensors", "/result.nc", "/result.json", "/spec.toml"))
            if ours and content not in self.whole.get(path, ()):
                return f"{path} is torn", allowed[shown]
        for name in ("result.nc", "result.json", "spec.toml") if end else ():
            path = f"{self.run}/{name}"
            if path in self.last and files.get(path) != self.last[path]:
                return f"{name} is gone", allowed[shown]
        return None, allowed[shown]


_PARSED: dict[bytes, list[tuple[str, int, str]]] = {}
_DIGESTS: dict[bytes, str] = {}


def _blobs(manifest: bytes) -> list[tuple[str, int, str]]:
    """All files that a manifest names."""
    if manifest not in _PARSED:
        found: list[tuple[str, int, str]] = []
        _walk(json.loads(manifest), lambda it: found.append((it["file"], it["size"], it["digest"])))
        _PARSED[manifest] = found
    return _PARSED[manifest]


def _walk(value: Any, take: Callable[[Mapping[str, Any]], None]) -> None:
    if isinstance(value, Mapping):
        if {"file", "size", "digest"} <= set(value):
            take(value)
        for part in value.values():
            _walk(part, take)
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, Mapping | list):
                _walk(part, take)


def _digest(content: bytes) -> str:
    if content not in _DIGESTS:
        _DIGESTS[content] = hashlib.blake2b(content, digest_size=16).hexdigest()
    return _DIGESTS[content]


def materialised(files: Files, place: Path) -> Path:
    """The state as files."""
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


Site = tuple[str, ...]


def line(op: Op) -> Site:
    """The line of the program that makes something durable: functions down to the one that asked for it."""
    return (op.kind, *op.site[: 2 if op.site[0].endswith(".sync_directory") else 1])


def purpose(op: Op) -> Site:
    """Finer: who asked for it, and for what."""
    return (op.kind, *op.site, "".join(letter for letter in op.path if not letter.isdigit()))


def syncs(ops: Sequence[Op], of: Callable[[Op], Site]) -> list[Site]:
    """All different places at which the program makes something durable."""
    return list(dict.fromkeys(of(op) for op in ops if op.kind in ("sync", "syncdir") and op.site))


def without(ops: Sequence[Op], place: Site, of: Callable[[Op], Site]) -> list[Op]:
    """The record of a program that lacks one of them."""
    return [op for op in ops if not (op.kind in ("sync", "syncdir") and op.site and of(op) == place)]
