"""Whatever the documentation shows runs: specs load, Python blocks pass, commands succeed.

The blocks of a page are taken in order, in an empty directory that has the shipped `specs/` in it, made small. Comments on
the line before a block steer this:

    <!-- file: NAME -->     the block is the content of that file; a .py file is a plugin of the specs that follow
    <!-- not run: WHY -->   the block is only shown
"""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import attrs
import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from tests.shipped import SPECS, small

import glassyrun
from glassyrun import api
from glassyrun.cli import main
from glassyrun.describe import reference
from glassyrun.registry import Registry
from glassyrun.spec.load import dump_spec

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^(?P<fence>`{3,})\s*(?P<language>\{code-cell\}[^\n]*|[\w-]*)\s*\n(?P<text>.*?)^(?P=fence)\s*$", re.M | re.S)
COMMENT = re.compile(r"<!-- *(file|not run): *(.+?) *-->\n\Z")


@attrs.frozen
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    file: str | None = None
    skipped: str | None = None


def blocks_of(page: str) -> Iterator[Block]:
    for match in FENCE.finditer(page):
        language = match["language"].partition("}")[0].lstrip("{") or ""
        comment = COMMENT.search(page[: match.start()])
        what, value = comment.groups() if comment else ("", None)
        file, skipped = (value if what == "file" else None), (value if what == "not run" else None)
        language = "python" if language == "code-cell" else language
        yield Block(language, match["text"], page.count("\n", 0, match.start()) + 1, file, skipped)


@attrs.define
class Page:
    """A page as it is gone through: its files, its plugins, its names."""

    path: Path
    plugins: list[Path] = attrs.field(factory=list)
    names: dict[str, object] = attrs.field(factory=lambda: {"__name__": "__page__"})

    def take(self, block: Block) -> None:
        if block.skipped:
            return
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        if block.language == "toml":
            self.load(block)
        elif block.language == "python" and block.file:
            self.plugins.append(Path(block.file))
        elif block.language == "python":
            code = "\n" * block.line + block.text
            exec(compile(code, str(self.path), "exec"), self.names)
        elif block.language == "console":
            for command in commands_of(block.text):
                self.run(command)

    def load(self, block: Block) -> None:
        file = Path(block.file or f"block{block.line}.toml")
        file.write_text(block.text, encoding="utf-8")
        api.load(file, plugins=self.plugins)

    def run(self, command: list[str]) -> None:
        assert command[0] == "glassyrun", f"only glassyrun is run, not {command[0]}: mark the block as not run"
        quiet = ["--quiet"] if command[1].endswith(".toml") else []
        assert main([*command[1:], *quiet]) == 0, shlex.join(command)


def commands_of(text: str) -> list[list[str]]:
    """The command lines of a console block, without prompts, comments and output."""
    lines = text.replace("\\\n", " ").splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [words for line in prompted or lines if (words := shlex.split(line, comments=True))]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory with the shipped specs, made small, where no data set but the packaged sample is found."""
    (tmp_path / "specs").mkdir()
    for spec in SPECS:
        (tmp_path / "specs" / spec.name).write_text(dump_spec(small(spec)), encoding="utf-8")
    monkeypatch.setenv("GLASSYRUN_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_everything_on_the_page_runs(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassyrun_networks.data.images.SAMPLE_SECONDS", 0.01, raising=False)
    going = Page(page)
    with mpl.rc_context():
        for block in blocks_of(page.read_text(encoding="utf-8")):
            try:
                going.take(block)
            except BaseException as error:
                error.add_note(f"{page.relative_to(ROOT)}, block at line {block.line}")
                raise
    plt.close("all")
    shutil.rmtree(place / "runs", ignore_errors=True)


def test_blocks_that_are_only_shown_are_few() -> None:
    skipped = [block for page in PAGES for block in blocks_of(page.read_text(encoding="utf-8")) if block.skipped]
    assert len(skipped) <= 12


def test_the_extraction_sees_what_it_should() -> None:
    page = "a\n\n<!-- file: x.toml -->\n```toml\nn = 1\n```\n\n```{code-cell} python\n1\n```\n"
    page += "<!-- not run: slow -->\n```console\n$ y\n```\n"
    seen = [(block.language, block.text, block.line, block.file, block.skipped) for block in blocks_of(page)]
    assert seen == [
        ("toml", "n = 1\n", 4, "x.toml", None),
        ("python", "1\n", 8, None, None),
        ("console", "$ y\n", 12, None, "slow"),
    ]
    assert commands_of("$ glassyrun a.toml \\\n    --fresh  # again\nsome output\n") == [["glassyrun", "a.toml", "--fresh"]]


def test_the_signatures_on_the_python_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^glassyrun\.(load|run)\((.*)\) ->", page, re.M)) | dict(
        re.findall(r"^\| `(plot\.\w+)\((.*)\)`", page, re.M)
    )
    assert list(shown) == [
        "load",
        "run",
        "plot.energy",
        "plot.msd",
        "plot.overlap",
        "plot.two_time",
        "plot.waiting",
        "plot.summary",
    ]
    for name, arguments in shown.items():
        function = getattr(glassyrun.plot if "." in name else glassyrun, name.rpartition(".")[2])
        bare = [parameter.replace(annotation=parameter.empty) for parameter in inspect.signature(function).parameters.values()]
        assert arguments.replace('"', "'") == str(inspect.Signature(bare))[1:-1], name


def test_the_tables_of_the_plugin_page_name_what_there_is() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    tables = {
        "attribute": glassyrun.System,
        "of `SystemOptions`": glassyrun.SystemOptions,
        "field": glassyrun.Footprint,
        "of a `Dynamics`": glassyrun.Dynamics,
        "of `DynamicsOptions`": glassyrun.DynamicsOptions,
        "of an `Observable`": glassyrun.Observable,
    }
    for head, kind in tables.items():
        table = page.partition(f"\n| {head} |")[2].partition("\n\n")[0]
        for name, default in re.findall(r"^\| (`.+?`(?:, `\w+`)*) \| ([^|]+) \|", table, re.M):
            for word in re.findall(r"`(\w+)", name):
                known = {word for base in kind.__mro__ for word in (*vars(base), *getattr(base, "__annotations__", {}))}
                assert word in known, f"{kind.__name__}.{word}"
                if default in ("True", "False", "1.0"):
                    assert str(getattr(kind, word)) == default, word
        assert "`" in table, head


def test_the_spec_reference_is_not_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m glassyrun.describe > docs/spec.md` writes it anew."""
    own = ("pspin", "quadratic", "networks", "dynamics", "observables", "landscape")
    registry = Registry.installed()
    for entries in registry.entries.values():
        for kind in [kind for kind, entry in entries.items() if entry.plugin not in own]:
            del entries[kind]
    assert reference(registry) == (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
