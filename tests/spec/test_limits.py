"""What a spec may ask of the reader and of the machine: each limit is stated, and nothing large is made before it is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest

from glassyrun.errors import GlassyrunError, StorageError
from glassyrun.experiment import Setting
from glassyrun.options import Options
from glassyrun.registry import POINTS, Registry
from glassyrun.spec.load import load_spec
from glassyrun.spec.model import Spec
from glassyrun.spec.problems import SpecError
from glassyrun.spec.words import all_options_in, fields_of, item_of, members, value_of

DYNAMICS = '[dynamics]\nkind = "quench"\ndt = 0.05\n'
PSPIN = f'[system]\nkind = "pspin"\nn = 64\n{DYNAMICS}[schedule]\nhorizon = 100.0\n'


def system(table: str) -> str:
    return f"{table}{DYNAMICS}[schedule]\nhorizon = 100.0\n"


def learner(data: str) -> str:
    return system(f'[system]\nkind = "mlp"\n[system.data]\n{data}\n')


def many(count: int, text: str) -> str:
    return "".join(text.replace("#", str(number)) for number in range(count))


BOMBS = {
    "unknown keys": (many(19_000, "kez# = 1\n") + PSPIN, "kez0: unknown field"),
    "unknown keys of a grid": (PSPIN + "t = {" + many(19_000, "kez# = 1, ") + "}", "schedule.t: found a table with kez0"),
    "keys": (many(30_000, "kez# = 1\n") + PSPIN, "found more than 20,000 keys and tables, expected at most 20,000 in a spec"),
    "tables": (many(60_000, "[a#]\n"), "found more than 20,000 keys and tables"),
    "inline tables": ("a = {" + many(60_000, "b# = {}, ") + "}", "found more than 20,000 keys and tables"),
    "items": (PSPIN + "t = [" + "1," * 300_000 + "]", "found an array of more than 100,000 items, expected at most 100,000"),
    "wrong items": (PSPIN + "t = [" + '"x",' * 99_999 + "]", 'schedule.t.0: found "x", expected a number'),
    "observables": (PSPIN + many(1001, '[[observables]]\nkind = "energy"\nname = "e#"\n'), "found an array of 1001 items"),
    "stages": (many(1001, '[[dynamics]]\nkind = "quench"\ndt = 0.1\n'), "found an array of 1001 items, expected"),
    "a long name": (PSPIN + f'[[observables]]\nkind = "energy"\nname = "{"a" * 81}"\n', "observables.0.name: found"),
    "points": (PSPIN + "time = { n = 100001 }", "schedule.time.n: found 100001, expected a whole number ≥ 1 and ≤ 100000"),
    "pairs": (PSPIN + "t_w = { n = 1001 }\nt = { n = 1001 }", "expected at most 1,000,000; thin out"),
    "numbers": (
        PSPIN + "[ensemble]\nsamples = 1000000\nreplicas = 100000\n",
        "ensemble: 1000000 samples of 100000 replicas with",
    ),
    "steps": (
        PSPIN.replace("100.0", "1e15"),
        "schedule.horizon: found 1e+15, which takes 2e+16 steps of 0.05, expected at most 1e+13",
    ),
    "a tiny step": (PSPIN.replace("0.05", "1e-300"), "expected at most 1e+13 steps"),
    "infinity": (PSPIN.replace("100.0", "1e999"), "schedule.horizon: found inf, expected a number > 0; only finite numbers"),
    "digits": (PSPIN.replace("64", "1" * 5000), "found a value of 5000 characters without quotes"),
    "an integer": (PSPIN.replace("64", "9" * 30), "an integer of at most 64 bits"),
    "flow": (PSPIN.replace('"quench"\ndt = 0.05', '"sgd"\nlearning_rate = 1e308\nmomentum = 0.99'), "along the gradient flow"),
    "a device": (PSPIN + f'[run]\ndevice = "cuda:{"9" * 20}"\n', "run.device: found"),
    "a degree": (system(f'[system]\nkind = "pspin"\nn = 8\nmixture = {{ {"9" * 5000} = 1.0 }}\n'), "mixture has the key '999"),
    "dilution": (system('[system]\nkind = "pspin"\nn = 8\ndilution = 1e300\n'), "dilution = 1e+300: expected at most 1e+15"),
    "teacher": (learner('kind = "teacher_student"\nclasses = 1000000000'), "system.data.classes: found 1000000000"),
    "width": (learner('kind = "teacher_student"\nteacher = "mlp"\nwidth = 100000000000'), "system.data.width: found"),
    "examples": (learner('kind = "teacher_student"\ntrain = 1000000000000'), "system.data.train: found"),
    "nested": ("a = " + "[" * 40 + "]" * 40, "found more than 32 nested tables and arrays"),
    "nested headers": (f"[{'.'.join('a' * 200_000)}]", "found more than 32 nested tables and arrays"),
    "size": ("#" * 1_000_001, "more than 1,000,000 bytes"),
    "not text": ("\x00\x01", "not valid TOML"),
}
"""Text of a spec, and what is said of it."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_eat_the_machine_is_refused(name: str, spec_file: Callable[[str], Path], registry: Registry) -> None:
    text, words = BOMBS[name]
    with pytest.raises(SpecError) as error:
        load_spec(spec_file(text), (), registry)
    told = str(error.value).splitlines()
    assert words in "\n".join(told)
    assert len(told) <= 51
    assert max(map(len, told)) < 600


HEAVY = {
    "a pair for each two of a million spins": system('[system]\nkind = "pspin"\nn = 1000000\np = 2\n'),
    "sixteen spins at once": system('[system]\nkind = "pspin"\nn = 1000000\np = 16\n'),
    "a thousand layers": learner('kind = "teacher_student"').replace('"mlp"', f'"mlp"\nwidths = [{"1000000, " * 1000}]', 1),
    "data points": system('[system]\nkind = "quadratic"\nn = 20000\nterms = 100000000\n'),
    "vectors": learner('kind = "teacher_student"\ndimension = 1000000\ntrain = 100000000'),
    "clusters": learner('kind = "gaussian_mixture"\ndimension = 1000000\nclusters = 90000\ntrain = 10\ntest = 10'),
    "a teacher": learner('kind = "teacher_student"\nteacher = "mlp"\ndimension = 1000000\nwidth = 1000000\ntrain = 1\ntest = 1'),
    "a covariance": learner('kind = "gaussian_mixture"\ndimension = 1000000\npca = 2\ntrain = 2\ntest = 2'),
    "replicas": PSPIN.replace("64", "1000000").replace("n = 1000000", "n = 1000000\np = 2") + "[ensemble]\nreplicas = 100000\n",
}
"""Specs that are in order, but for what they take."""


def planned(file: Path, registry: Registry) -> None:
    setting = Setting.of(load_spec(file, (), registry))
    setting.check_memory(setting.footprint())


@pytest.mark.parametrize("name", HEAVY)
def test_what_does_not_fit_is_refused_before_it_is_made(
    name: str, spec_file: Callable[[str], Path], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = type("Free", (), {"available": 4 * 10**9})
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    with pytest.raises(GlassyrunError, match=r"^(system|ensemble|\S+x\.toml)") as error:
        planned(spec_file(HEAVY[name]), registry)
    assert "but 4 GB are free" in str(error.value) or "expected at most" in str(error.value)


@pytest.mark.parametrize(
    "value", ["1" * 5000, "[" * 9000, "[" * 40 + "]" * 40, "{" + "a={" * 3000, "9" * 30, "1e999", "x" * 20_000]
)
@pytest.mark.parametrize("field", ["system.p", "schedule.t", "schedule.t.9999999999", "a." * 5000 + "b", "x" * 20_000])
def test_overrides_have_the_same_limits(field: str, value: str, spec_file: Callable[[str], Path], registry: Registry) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(spec_file(PSPIN), [f"{field}={value}"], registry)
    assert all(len(line) < 600 for line in str(error.value).splitlines())


def test_a_spec_is_a_regular_file(tmp_path: Path, registry: Registry) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    for name, words in {
        "fifo.toml": "not a regular file",
        "folder.toml": "found a directory",
        "loop.toml": "there is no such file",
        "absent.toml": "there is no such file",
    }.items():
        with pytest.raises(SpecError, match=words):
            load_spec(tmp_path / name, (), registry)
    with pytest.raises(SpecError, match="not a regular file"):
        load_spec(Path("/dev/zero"), (), registry)
    with pytest.raises(StorageError, match="can't be looked at"):
        load_spec(tmp_path / ("a" * 5000), (), registry)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe[\x00", r"x\.toml:1: byte 0xff is not UTF-8"),
        (b"seed = 1\nx = \xc0\x80", r"x\.toml:2: byte 0xc0 is not UTF-8"),
        (b"seed = 1\n\x00", r"x\.toml:2:1: not valid TOML"),
        (b"seed = 1\rx = 2", r"x\.toml:1:\d+: not valid TOML"),
    ],
)
def test_what_is_no_text(tmp_path: Path, registry: Registry, content: bytes, words: str) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(SpecError, match=words):
        load_spec(tmp_path / "x.toml", (), registry)


def test_a_mark_of_utf_8_at_the_beginning_is_let_pass(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbf" + PSPIN.encode())
    assert load_spec(tmp_path / "x.toml", (), registry).system.kind == "pspin"


FREE_TEXT = {"name", "device", "kind"}
"""Fields that take any text that has the right form: a variable's name of a-z, 0-9 and _, and cpu or cuda:N. Kinds are looked up."""


def free_texts(options: type[Options], seen: set[type[Options]]) -> Iterator[tuple[str, Any]]:
    """Every field, in this table and those within it, where a string or a path could stand that is none of a few words."""
    if options in seen:
        return
    seen.add(options)
    for name, field in fields_of(options).items():
        for inner in all_options_in(field.annotation):
            yield from free_texts(inner, seen)
        todo = [field.annotation]
        while todo:
            annotation = todo.pop()
            for member, _ in members(annotation):
                if get_origin(member) is None and isinstance(member, type) and issubclass(member, str | bytes | os.PathLike):
                    yield f"{options.__name__}.{name}", field
                if member is Any or member is object:
                    yield f"{options.__name__}.{name}", field
            todo += [inner for inner in (item_of(annotation), value_of(annotation)) if inner is not Any]


def test_no_option_takes_a_path_or_the_name_of_code(registry: Registry) -> None:
    """A spec can't name a file to read, a place to write, or code to import: no field takes free text."""
    seen: set[type[Options]] = set()
    found = dict(free_texts(Spec, seen))
    for point in POINTS:
        for entry in registry.kinds(point).values():
            found |= dict(free_texts(entry.options, seen))
    assert len(seen) > 25
    assert {place.rpartition(".")[2] for place in found} <= FREE_TEXT, sorted(found)
    for place, field in found.items():
        if not place.endswith(".kind"):
            assert any(getattr(constraint, "pattern", None) for constraint in field.metadata) or "Annotated" in str(field), place
