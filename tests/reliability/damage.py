"""Damage to a run directory, drawn from a seed: what disks and strangers do to files; and what a run may make of it."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import os
import random
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from glassyrun import result
from glassyrun.errors import GlassyrunError
from glassyrun.spec.model import Spec
from tests.reliability.workload import TINY, attempt, calls, differs, killed, load, sentence

KINDS = ("checkpoint", "shard", "manifest", "result")
"""What is damaged."""
PAGE = 512
VALUES: Sequence[Any] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**15, 10**40, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x", "\0", "é" * 300,
    "../outside/canary", "/etc/passwd", "shards/../../outside/canary", "shards/00000000-measured.safetensors", [], {}, [[]], [None],
    [-1], [2**62], [10**9, 10**9, 10**9], {"a": {}}, {"file": "../outside/canary", "size": 6, "digest": "00"},
)  # fmt: skip
"""What a stranger may write where a run wrote something else."""
CANARY = b"canary"


@attrs.define
class Bases:
    """Sound runs of one spec: dead in the middle, and finished."""

    place: Path
    spec: Spec = attrs.field(factory=lambda: load(TINY))
    truth: Any = None
    content: bytes = b""

    def __attrs_post_init__(self) -> None:
        call = calls(self.spec, self.finished) // 2
        self.truth, self.content = result.assemble(self.finished), (self.finished / "result.nc").read_bytes()
        while not killed(self.spec, self.dead, call) or not self.alive():
            shutil.rmtree(self.dead)
            call += 1

    def alive(self) -> bool:
        """Whether the dead run has a checkpoint of its sample, the one before, and a reference."""
        manifest = json.loads((self.dead / "manifest.json").read_text())
        return bool(manifest["checkpoint"] and manifest.get("previous", True) and manifest["references"] and manifest["shards"])

    @property
    def finished(self) -> Path:
        return self.place / "finished"

    @property
    def dead(self) -> Path:
        return self.place / "dead"


@attrs.define
class Trial:
    """One damaged run directory, with something beside it that must not be touched."""

    bases: Bases
    kind: str
    seed: int
    what: str = ""
    """How it is damaged."""

    @property
    def forged(self) -> bool:
        """Whether it is a lie that fits together: whoever made it may say what they like, but only that."""
        return self.what.endswith("(forged)")

    def go(self, place: Path) -> list[str]:
        """What goes wrong, where it does: a traceback, a wrong number, something touched outside."""
        generator = random.Random(f"{self.kind}/{self.seed}")
        base = self.bases.finished if self.kind == "result" or generator.random() < 0.3 else self.bases.dead
        run, outside = place / "run", place / "outside"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(base, run)
        outside.mkdir()
        (outside / "canary").write_bytes(CANARY)
        self.what = damage(run, self.kind, generator, outside)
        with watching(outside) as touched:
            wrong = [*self._read(run), *self._gone_on(run)]
        left = {path.name: path.read_bytes() for path in outside.iterdir() if path.name != "copy"}
        if left != {"canary": CANARY} or touched:
            wrong.append(f"outside the directory: {sorted(left)}, {touched[:3]}")
        return [f"{self.kind} {self.seed} ({base.name}, {self.what}): {text}" for text in wrong]

    def _read(self, run: Path) -> Iterator[str]:
        """A dataset of what is there says the truth or nothing."""
        try:
            wrong = differs(run, self.bases.truth)
            wrong = None if self.forged else wrong
        except GlassyrunError as error:
            wrong = None if sentence(str(error)) else f"read: no sentence: {error}"
        except Exception:  # noqa: BLE001 -- a traceback is what is looked for
            wrong = f"read: {traceback.format_exc()[-700:]}"
        if wrong:
            yield f"read: {wrong}"

    def _gone_on(self, run: Path) -> Iterator[str]:
        """The run goes on to the same bytes, or says in a sentence why not, however often it is asked; what it writes is no lie."""
        path, code = run / "result.nc", 1
        for asked in ("run", "run again"):
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    code, said = attempt(self.bases.spec, run)
            except Exception:  # noqa: BLE001 -- a traceback is what is looked for
                yield f"{asked}: {traceback.format_exc()[-700:]}"
                return
            if code == 0 and not self.forged and (not path.is_file() or path.read_bytes() != self.bases.content):
                yield f"{asked}: done, with another result"
            if code and (code not in (2, 3, 5) or not sentence(said)):
                yield f"{asked}: exit code {code}, {said}"
            if code == 0:
                return
        yield from self._read(run)


def damage(run: Path, kind: str, generator: random.Random, outside: Path) -> str:
    """Harms one file of a kind, and says how."""
    files = {
        "checkpoint": sorted((run / "checkpoints").glob("[0-9]*")),
        "shard": sorted((run / "shards").glob("[0-9]*")),
        "manifest": [run / "manifest.json"],
        "result": [run / "result.nc"],
    }[kind]
    ways: list[Callable[..., str]] = [_flipped, _flipped, _cut, _longer, _zeroed, _swapped, _gone, _noise, _linked]
    if kind == "manifest":
        ways += [_hostile] * 12
    path, way = generator.choice(files), generator.choice(ways)
    return f"{path.name}: {way(path, generator, outside)}"


def _flipped(path: Path, generator: random.Random, _: Path) -> str:
    content, bit = bytearray(path.read_bytes()), generator.randrange(8 * path.stat().st_size)
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return f"bit {bit} flipped"


def _cut(path: Path, generator: random.Random, _: Path) -> str:
    length = generator.randrange(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:length])
    return f"cut at {length}"


def _longer(path: Path, generator: random.Random, _: Path) -> str:
    more = generator.randbytes(generator.choice([1, 8, 4096]))
    path.write_bytes(path.read_bytes() + more)
    return f"{len(more)} bytes longer"


def _zeroed(path: Path, generator: random.Random, _: Path) -> str:
    content = bytearray(path.read_bytes())
    at = generator.randrange(0, len(content), PAGE)
    content[at : at + PAGE] = bytes(len(content[at : at + PAGE]))
    path.write_bytes(content)
    return f"zeros from {at}"


def _swapped(path: Path, generator: random.Random, _: Path) -> str:
    other = generator.choice([file for file in sorted(path.parents[0].rglob("*")) if file.is_file() and file != path] or [path])
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    if other.name != "lock":
        other.write_bytes(mine)
    return f"swapped with {other.name}"


def _gone(path: Path, generator: random.Random, _: Path) -> str:
    path.unlink()
    if generator.random() < 0.2:
        path.mkdir()
        return "a folder in its place"
    return "deleted"


def _noise(path: Path, generator: random.Random, _: Path) -> str:
    path.write_bytes(generator.randbytes(path.stat().st_size))
    return "noise"


def _linked(path: Path, generator: random.Random, outside: Path) -> str:
    """A link to a file outside, which has the same content or another one."""
    target = outside / generator.choice(["canary", "copy"])
    (outside / "copy").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)
    return f"a link to {target.name}"


def _hostile(path: Path, generator: random.Random, _: Path) -> str:
    """Sound JSON that no run wrote; its seal is made anew, more often than not, so that what it says is looked at."""
    whole = json.loads(path.read_text())
    assert whole.pop("digest") == _seal(whole), "the seal of a manifest is another one: forge it likewise"
    seal, told = _seal(whole), _edited(whole, generator)
    if generator.random() < 0.05:
        path.write_text('{"a":' * 100_000)
        return "nested deeply"
    if generator.random() < 0.9:
        seal, told = _seal(whole), f"{told} (forged)"
    path.write_text(json.dumps({**whole, "digest": seal}, indent=1, sort_keys=True))
    return told


def _seal(whole: Any) -> str:
    return hashlib.blake2b(json.dumps(whole, indent=1, sort_keys=True).encode(), digest_size=16).hexdigest()


def _edited(whole: Any, generator: random.Random) -> str:
    """Changes a value at a random place of any depth: another value, another place's value, no value, a further key."""
    holder, key = _place(whole, generator)
    way = generator.randrange(4)
    if way == 0:
        del holder[key]
        return f"no {key}"
    if way == 1 and isinstance(holder, dict):
        holder[generator.choice(["x", "file", "about", "t_w", "living"])] = generator.choice(VALUES)
        return f"more beside {key}"
    if way == 2:
        other, name = _place(whole, generator)
        value = copy.deepcopy(other[name])
    else:
        value = generator.choice(VALUES)
    holder[key] = value
    return f"{key} = {value!r}"[:120]


def _place(value: Any, generator: random.Random) -> tuple[Any, Any]:
    """A holder and a key in it, every depth as likely: most numbers lie in long lists of coordinates."""
    while True:
        key = generator.choice(sorted(value) if isinstance(value, dict) else range(len(value)))
        part = value[key]
        if not part or not isinstance(part, dict | list) or generator.random() < 0.25:
            return value, key
        value = part


_WATCHED: dict[str, list[str]] = {}
_HOOKED: list[bool] = []


class watching:
    """Notes what this process opens, removes, renames or makes below a directory, by way of the interpreter's audit events."""

    def __init__(self, outside: Path) -> None:
        self.place = str(outside)
        if not _HOOKED:
            sys.addaudithook(_audit)  # for ever: the interpreter has no way to take one away
            _HOOKED.append(True)

    def __enter__(self) -> list[str]:
        return _WATCHED.setdefault(self.place, [])

    def __exit__(self, *error: object) -> None:
        del _WATCHED[self.place]


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _WATCHED and event in ("open", "os.remove", "os.rename", "os.mkdir", "os.truncate", "os.link", "os.symlink"):
        for argument in arguments[:2]:
            if isinstance(argument, str | bytes | os.PathLike):
                name = os.path.normpath(os.fsdecode(argument))
                for place, seen in _WATCHED.items():
                    if name.startswith(place):
                        seen.append(f"{event} {name}")
