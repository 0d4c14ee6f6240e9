"""What becomes of a stranger's file: it is read, or refused in one sentence that names a place. Anything else is a fault.

Each judge gives None where all is well, and else says what is not, so that a campaign can count.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import psutil

from glassyrun import DataError, GlassyrunError, PluginError
from glassyrun.experiment import Setting
from glassyrun.registry import Registry
from glassyrun.spec.load import load_spec
from glassyrun.spec.problems import Problem, SpecError
from glassyrun_networks.data import download, recent
from glassyrun_networks.data.arrays import Form
from glassyrun_networks.data.idx import Original, read_idx
from glassyrun_networks.data.npz import read_npz
from tests.fuzz.generate import IDX_SHAPE, SIDES, idx_original

LONGEST = 1000
"""Characters of a sentence about a file of a few words."""
FIELD = re.compile(r"(seed|system|dynamics|schedule|ensemble|observables|run)\b")
WHOLE_FILE = re.compile(r"more than [\d,]+ bytes|can't be read as TOML")
SMALL = 30_000_000
"""Bytes up to which what was accepted is built too."""
ORIGINAL = Original("images-idx3-ubyte", IDX_SHAPE, hashlib.sha256(idx_original()).hexdigest())


MEMORY = 400_000_000
"""Bytes that the specs are told are free."""


@contextmanager
def offline() -> Iterator[None]:
    """No data set is looked for on the network, and the machine is a small one."""

    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError("no network here")

    small = mock.patch.object(psutil, "virtual_memory", return_value=SimpleNamespace(available=MEMORY, total=MEMORY))
    with mock.patch.object(download.urllib.request, "urlopen", refuse), small:
        yield


def lay_data(root: Path) -> Path:
    """A data root with small sets for the specs that ask for images."""
    root.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(1)
    for kind, sides, classes in (("mnist", (28, 28), 10), ("cifar10", (32, 32, 3), 10), ("cifar100", (32, 32, 3), 100)):
        arrays = {}
        for part, count in (("train", 300), ("test", 100)):
            arrays[f"{part}_x"] = numbers.integers(0, 256, (count, *sides)).astype(np.uint8)
            arrays[f"{part}_y"] = np.arange(count) % classes
        np.savez(root / f"{kind}.npz", **arrays)
    return root


def judge_spec(file: Path, registry: Registry, data: Path) -> str | None:
    """Loads a spec file and plans what it asks for, small systems included. Call it inside `offline`."""
    try:
        spec = load_spec(file, (), registry)
    except SpecError as error:
        return _unplaced(error)
    except GlassyrunError as error:
        return _not_a_sentence(str(error), str(file))
    except Exception as error:  # noqa: BLE001 -- this is what is looked for
        return f"loading raised {type(error).__name__}: {error}"
    try:
        _planned(Setting.of(spec, data))
    except PluginError as error:
        return f"a plugin raised: {error}"
    except GlassyrunError as error:
        told = str(error)
        placed = FIELD.search(told) or isinstance(error, DataError)
        return _not_a_sentence(told, "") or (None if placed else f"names no field: {told}")
    except Exception as error:  # noqa: BLE001
        return f"planning raised {type(error).__name__}: {error}"
    finally:
        recent.forget()
    return None


def _planned(setting: Setting) -> None:
    """What `glassyrun plan` does, but for the timing."""
    setting.schedule.axes("1")
    footprint = setting.footprint()
    setting.check_memory(footprint)
    if setting.memory(footprint) > SMALL:
        return
    setting.schedule.events()
    system = setting.system(0)
    stages = setting.stages(system, 0)
    setting.observables(system, 0, stages)
    setting.attributes(system, stages)


def _unplaced(error: SpecError) -> str | None:
    """A problem without a line and a field, or one whose words are those of another program."""
    if not error.problems:
        return "a SpecError without a problem"
    for problem in error.problems:
        if not (problem.line or problem.field or problem.file.startswith("--set") or WHOLE_FILE.search(problem.found)):
            return f"names neither field nor line: {problem}"
        if "raised" in problem.found or "Input should" in problem.found:
            return f"not our words: {problem}"
        if fault := _line_fault(problem):
            return fault
    return None


def _line_fault(problem: Problem) -> str | None:
    told = str(problem)
    if not told.isprintable():
        return f"steers the terminal: {told!r}"
    return f"{len(told)} characters: {told[:300]}" if len(told) > LONGEST else None


def _not_a_sentence(told: str, place: str) -> str | None:
    if not told.isprintable() or "Traceback" in told or len(told) > LONGEST:
        return f"not one sentence: {told[:500]}"
    return None if place in told else f"does not name {place}: {told}"


def judge_npz(file: Path) -> str | None:
    """Reads an npz file."""
    form = Form(SIDES, 10)
    try:
        arrays = read_npz(file, form)
    except DataError as error:
        return _not_a_sentence(str(error), str(file))
    except Exception as error:  # noqa: BLE001
        return f"raised {type(error).__name__}: {error}"
    shapes = {name: getattr(arrays, name).shape for name in ("train_x", "train_y", "test_x", "test_y")}
    fault = form.fault(shapes, {name: getattr(arrays, name).dtype for name in shapes})
    labels = np.concatenate([arrays.train_y, arrays.test_y])
    return fault or (None if labels.min() >= 0 and labels.max() < 10 else "labels outside 0 to 9")


def judge_idx(file: Path) -> str | None:
    """Reads an idx file, which must be the original, bit for bit, or be refused."""
    try:
        array, content = read_idx(file, ORIGINAL)
    except DataError as error:
        return _not_a_sentence(str(error), str(file))
    except Exception as error:  # noqa: BLE001
        return f"raised {type(error).__name__}: {error}"
    same = bytes(content) == idx_original() and array.shape == IDX_SHAPE
    return None if same else "another array than the original was read"
