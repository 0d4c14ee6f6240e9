"""What each command does with what was typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import tomli
import xarray as xr

from glassyrun import api, figure_files, plan
from glassyrun.errors import Diverged, Locked, Stopped, StorageError

Say = Callable[..., Any]
PLUGIN = Path(__file__).parents[1] / "spec" / "fake_plugin.py"


@attrs.define
class Calls:
    """Stands for the engine and notes how it was called."""

    made: list[tuple[Any, dict[str, Any]]] = attrs.field(factory=list)
    raising: BaseException | None = None
    done: bool = False

    def execute(self, spec: Any, directory: Path, **options: Any) -> api.Outcome:
        self.made.append((spec, {"directory": directory, **options}))
        if self.raising:
            raise self.raising
        return api.Outcome(directory, directory / "result.nc", self.done)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr(api, "execute", calls.execute)
    return calls


def test_a_spec_is_run_in_a_directory_of_its_name(say: Say, calls: Calls) -> None:
    said = say("line.toml", "--set", "system.n=8", "--set", "seed=2")
    ((spec, options),) = calls.made
    assert (spec.system.n, spec.seed) == (8, 2)
    assert options.pop("directory") == Path("runs/line,seed=2,system.n=8")
    assert options == {
        "data_root": None,
        "start_from": None,
        "fresh": False,
        "quiet": False,
        "max_wall": None,
        "allow_drift": False,
    }
    assert said.code == 0
    assert said.out.splitlines() == [
        "runs/line,seed=2,system.n=8/result.nc written",
        "plots: glassyrun plot runs/line,seed=2,system.n=8",
    ]


def test_options_reach_the_engine(say: Say, calls: Calls) -> None:
    said = say("--fresh", "line.toml", "-o", "out dir", "--data", "sets", "--quiet", "--from", "runs/x@3")
    options = {
        "data_root": Path("sets"),
        "start_from": "runs/x@3",
        "fresh": True,
        "quiet": True,
        "max_wall": None,
        "allow_drift": False,
    }
    assert calls.made[0][1] == {"directory": Path("out dir"), **options}
    assert said.out == ""


def test_drift_and_a_limit_reach_the_engine(say: Say, calls: Calls) -> None:
    assert say("line.toml", "--allow-drift", "--max-wall", "1h30m").code == 0
    options = calls.made[0][1]
    assert options["allow_drift"] is True
    limit = options["max_wall"]
    assert (limit.seconds, limit.told) == (5400.0, "--max-wall 1h30m")


def test_the_directory_says_where_a_run_begins(say: Say, calls: Calls) -> None:
    for origin, name in (("runs/x", "from=x"), ("runs/x/", "from=x"), ("runs/x/result.nc", "from=x"), ("../y@10", "from=y@10")):
        say("line.toml", "--set", "system.n=8", "--from", origin)
        assert calls.made[-1][1]["directory"] == Path(f"runs/line,system.n=8,{name}")
    say("line.toml", "--from", "runs/line,system.n=8")
    assert calls.made[-1][1]["directory"].name.startswith("line,from=line_system.n=8~")


def test_a_finished_run_is_said_to_be_one(say: Say, calls: Calls) -> None:
    calls.done = True
    assert "was finished before (--fresh runs it again)" in say("line.toml").out


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (Diverged("step 3: energy inf"), 3, "glassyrun: step 3: energy inf\n"),
        (Locked("taken"), 4, "glassyrun: taken\n"),
        (StorageError("full"), 5, "glassyrun: full\n"),
        (Stopped("saved"), 75, "glassyrun: saved\n"),
        (KeyboardInterrupt(), 130, "glassyrun: interrupted\n"),
        (FileNotFoundError(2, "No such file or directory", "runs/x"), 5, "glassyrun: runs/x: No such file or directory\n"),
        (MemoryError(), 5, "glassyrun: out of memory: the system gave none; 'glassyrun plan SPEC' tells what a run takes\n"),
    ],
)
def test_exit_codes(say: Say, calls: Calls, error: BaseException, code: int, told: str) -> None:
    calls.raising = error
    said = say("line.toml")
    assert (said.code, said.err) == (code, told)


def test_a_mistake_of_the_program_shows_its_traceback(say: Say, calls: Calls) -> None:
    calls.raising = ZeroDivisionError("oh")
    said = say("line.toml")
    assert said.code == 1
    assert "Traceback" in said.err
    assert said.err.endswith("glassyrun: this is a mistake in glassyrun or in a plugin; please report it with the lines above\n")


def test_problems_of_a_spec_begin_with_their_place(say: Say, calls: Calls) -> None:
    said = say("line.toml", "--set", "dynamics.temprature=1", "--set", "system.n=0")
    assert said.code == 2
    assert said.err.splitlines() == [
        "--set system.n=0: found 0, expected a whole number ≥ 1 and ≤ 20000",
        "--set dynamics.temprature=1: unknown field; did you mean 'temperature'?",
        "glassyrun: the spec has 2 problems; nothing was run",
    ]
    assert calls.made == []


USAGE = [
    (["lin.toml"], "lin.toml: there is no such spec file; did you mean 'line.toml'?"),
    (
        ["specs/other.toml"],
        "specs/other.toml: there is no such spec file; the commands are plan, plot, collect, watch, plugins, show, schema",
    ),
    (["pln"], "pln: neither a command nor a spec file; did you mean 'glassyrun plan'?"),
    (["pln", "line.toml"], "pln: neither a command nor a spec file; did you mean 'glassyrun plan'?"),
    ([], "SPEC is missing; see 'glassyrun --help'"),
    (["plan"], "plan: SPEC is missing; see 'glassyrun plan --help'"),
    (["line.toml", "--sett", "a=1"], "Unknown option: --sett; did you mean --set?"),
    (["line.toml", "--set"], "--set needs a value; see 'glassyrun --help'"),
    (["line.toml", "more"], "found 'more', expected nothing more; see 'glassyrun --help'"),
    (["plot", "x", "--format", "gif"], 'Invalid value "gif" for --format, expected one of "png", "svg", "pdf"'),
    (["plot", "x", "-o", "picture"], "--output picture: found a name without a known suffix, expected one in .png, .svg, .pdf"),
    (["show", "langevn"], "langevn: no such kind or table; did you mean 'langevin'?"),
    (["line.toml", "--plugin", "none.py"], "--plugin none.py: there is no such file"),
]


@pytest.mark.parametrize(("arguments", "told"), USAGE)
def test_wrong_usage_gets_one_sentence(say: Say, arguments: list[str], told: str) -> None:
    said = say(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"glassyrun: {told}")
    assert said.err.count("\n") == 1


def test_plan_plot_and_collect(say: Say, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []

    def draw(name: str, runs: list[Path], output: Path | None, formats: list[str], options: dict[str, Any] | None) -> list[Path]:
        drawn.append((name, runs, output, list(formats), options or {}))
        return [Path(f"{name}.png")]

    monkeypatch.setattr(
        plan, "plan", lambda spec, *, data_root, start_from: f"n = {spec.system.n}, data in {data_root}, {start_from}"
    )
    monkeypatch.setattr(figure_files, "draw", draw)
    monkeypatch.setattr(api, "collect", lambda directory: directory / "result.nc")
    assert say("plan", "line.toml", "--set", "system.n=9", "--data", "d", "--from", "o").out == "n = 9, data in d, o\n"
    assert say("collect", "runs/x").out == "runs/x/result.nc\n"
    assert say("plot", "runs/x", "--format", "png", "--format", "svg").out == "summary.png\n"
    assert say("plot", "x", "y", "--figure", "fdt", "-o", "a.svg", "--window", "0.1", "2", "--t-w", "3").out == "fdt.png\n"
    assert drawn == [
        ("summary", [Path("runs/x")], None, ["png", "svg"], {}),
        ("fdt", [Path("x"), Path("y")], Path("a.svg"), [], {"window": (0.1, 2.0), "t_w": 3.0}),
    ]


def test_plugins_are_listed_and_their_problems_told(say: Say, here: Path) -> None:
    bad = here / "bad.py"
    bad.write_text("import glassyrun\n@glassyrun.hookimpl\ndef glassyrun_systems():\n    return [3]\n")
    said = say("plugins", "--plugin", PLUGIN, "--plugin", bad)
    lines = said.out.splitlines()
    (line,) = (line for line in lines if line.startswith("  glass "))
    assert line.split(maxsplit=1) == ["glass", "A fake glass. (fake_plugin)"]
    assert any(line.startswith("  langevin ") for line in lines)
    assert (
        lines[-1]
        == "problem: plugin 'bad': glassyrun_systems gave 3, which is no subclass of glassyrun.SystemOptions; it is left out"
    )


def test_broken_plugins_are_a_warning_for_a_run(say: Say, here: Path, calls: Calls) -> None:
    (here / "bad.py").write_text("x = 1\n")
    said = say("line.toml", "--plugin", "bad.py")
    assert said.code == 0
    assert said.err.startswith("glassyrun: warning: plugin 'bad' has none of the hooks")
    assert said.err.count("\n") == 1


def test_kinds_of_a_plugin_file_can_be_run(say: Say, calls: Calls) -> None:
    said = say("line.toml", "--plugin", PLUGIN, "--set", "system.kind=glass", "--set", "system.n=3")
    assert said.code == 0, said.err
    assert calls.made[0][0].system.kind == "glass"


def test_show_tells_options_defaults_and_meaning(say: Say) -> None:
    text = say("show", "glass", "--plugin", PLUGIN).out
    assert text.startswith("glass  (systems of plugin fake_plugin)\n\nA fake glass.\n\nMore about it.\n")
    for told in (
        "  n: a whole number ≥ 2 and ≤ 1000; required\n      number of spins\n",
        '  law: "gaussian" or "binary"; default "gaussian"\n',
        "  mixture: a table (each value a number); optional\n",
        "  share: a whole number ≥ 1 or a number > 0 and ≤ 1; optional\n",
    ):
        assert told in text
    assert "horizon: a number > 0; required" in say("show", "schedule").out


def test_the_schema_is_printed_as_json(say: Say) -> None:
    schema = json.loads(say("schema").out)
    assert schema["title"] == "glassyrun spec"
    assert {"$ref": "#/$defs/LangevinOptions"} in schema["$defs"]["DynamicsOptions"]["oneOf"]


def test_a_real_run_from_the_command_line(say: Say, here: Path) -> None:
    assert say("line.toml").code == 0
    with xr.open_dataset(here / "runs/line/result.nc") as result:
        assert {"energy", "msd", "overlap"} <= set(result.data_vars)
        assert tomli.loads(result.attrs["spec"])["system"]["n"] == 4
    assert "was finished before" in say("line.toml").out
    refused = say("line.toml", "-o", "runs/line", "--set", "system.n=5")
    assert refused.code == 2
    assert "system.n was 4, now 5" in refused.err
