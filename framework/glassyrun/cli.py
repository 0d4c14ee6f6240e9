"""The command line. This is the only module that knows cyclopts, and it imports nothing heavy before a command runs."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from glassyrun.errors import GlassyrunError
from glassyrun.figure_list import FIGURES

if TYPE_CHECKING:
    from glassyrun.registry import Registry
    from glassyrun.spec.model import Spec

BUG = 1
RUNS = Path("runs")
SUFFIXES = (".png", ".svg", ".pdf")

SpecFile = Annotated[Path, Parameter(help="Spec file, TOML.")]
Overrides = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="FIELD=VALUE: change one field, for example system.n=512. Repeatable."),
]
Plugins = Annotated[
    list[Path] | None,
    Parameter(name="--plugin", negative="", help="Python file with further plugins; it is code and is run. Repeatable."),
]
DataRoot = Annotated[
    Path | None,
    Parameter(name="--data", help="Directory of data sets, and where they are downloaded to; default: $GLASSYRUN_DATA."),
]
StartFrom = Annotated[
    str | None,
    Parameter(
        name="--from",
        help="DIR: begin in the newest State of another run, its final one if it is finished. DIR@T_W: in the configurations that "
        "it kept at the waiting time T_W.",
    ),
]
MaxWall = Annotated[
    str | None,
    Parameter(
        name="--max-wall",
        help="DURATION: save and stop (exit code 75) before so much time has passed since the process began: 3600 (seconds), 90m, "
        "1h30m, 01:30:00, 1-00:00:00.",
    ),
]
RunDirectory = Annotated[Path, Parameter(help="Run directory.")]
Runs = Annotated[
    list[Path],
    Parameter(help="Run directories, or .nc files of results; several for the figures that are of several, else a figure each."),
]


class FigureOptions(TypedDict, total=False):
    """What an analysis takes from the spec, or from its own default, unless it is said here."""

    variable: Annotated[str, Parameter(help="Variable of the result: another observable than the figure's own.")]
    bottom: Annotated[float, Parameter(help="Energy of the bottom (regimes, collapse, diffusion).")]
    after: Annotated[float, Parameter(help="First waiting time at the bottom (collapse, diffusion); default: t₂.")]
    waiting: Annotated[
        tuple[float, float],
        Parameter(negative="", help="LOW HIGH: waiting times that are fitted and drawn (aging); HIGH may be inf; default: all."),
    ]
    window: Annotated[
        tuple[float, float],
        Parameter(
            negative="",
            help="LOW HIGH: lags that are fitted (aging, collapse, diffusion), or values of the correlation (fdt, superposition).",
        ),
    ]
    t_w: Annotated[float, Parameter(help="Waiting time that is drawn (chi4, superposition, compare).")]
    level: Annotated[float, Parameter(help="Part of the correlation that is left at τ (relaxation); default: 1/e.")]
    amplitude: Annotated[
        Literal["common", "free"],
        Parameter(help="Whether each waiting time has an amplitude of its own (aging); default: common."),
    ]
    null: Annotated[
        Path,
        Parameter(help="A run of the null model (aging, relaxation); default: its closed form, which is that of T = 0."),
    ]
    temperature: Annotated[float, Parameter(help="Of the bath (fdt, effective_temperature); default: that of the spec.")]
    time: Annotated[float, Parameter(help="Time at which sizes are compared (finite_size); default: the last.")]
    exponent: Annotated[float, Parameter(help="a of 1/N^a (finite_size); default: 1.")]


app = App(
    name="glassyrun",
    usage="Usage: glassyrun SPEC [OPTIONS]\n       glassyrun COMMAND …",
    help="Compare the dynamics of glasses and of neural networks.\n\n"
    "glassyrun SPEC runs the experiment that a spec file describes and writes runs/NAME/result.nc.",
    version=version("glassyrun"),
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


@app.default
def run(
    spec: SpecFile,
    /,
    *,
    set_: Overrides = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="Run directory; default: runs/NAME,OVERRIDES.")
    ] = None,
    plugin: Plugins = None,
    data: DataRoot = None,
    from_: StartFrom = None,
    fresh: Annotated[bool, Parameter(negative="", help="Run again what was run before, from the start.")] = False,
    allow_drift: Annotated[
        bool,
        Parameter(
            negative="",
            help="Go on though device, versions, plugins or threads are others than before: without the promise of equal bits.",
        ),
    ] = False,
    max_wall: MaxWall = None,
    quiet: Annotated[bool, Parameter(negative="", help="No progress.")] = False,
) -> None:
    """Run a spec."""
    from glassyrun.stopping import WallLimit, listening

    with listening():  # loading takes seconds, in which a batch system may ask already
        limit = None if max_wall is None else WallLimit.of_process(max_wall)
        from glassyrun.spec.names import run_name

        experiment = _load(spec, set_, plugin)
        from glassyrun import api

        directory = output or RUNS / run_name(spec, set_ or (), from_)
        outcome = api.execute(
            experiment,
            directory,
            data_root=data,
            start_from=from_,
            fresh=fresh,
            quiet=quiet,
            max_wall=limit,
            allow_drift=allow_drift,
        )
    if not quiet:
        state = "was finished before (--fresh runs it again)" if outcome.already_done else "written"
        print(f"{outcome.result} {state}")
        print(f"plots: glassyrun plot {shlex.quote(str(directory))}")


@app.command
def plan(
    spec: SpecFile, /, *, set_: Overrides = None, plugin: Plugins = None, data: DataRoot = None, from_: StartFrom = None
) -> None:
    """Tell what a spec would run: sizes, steps, readings, memory, time."""
    experiment = _load(spec, set_, plugin)
    from glassyrun.plan import plan as planned

    print(planned(experiment, data_root=data, start_from=from_))


@app.command(help="Draw a figure of a run, or of several.\n\n" + "\n".join(f"{name}: {about}" for name, about in FIGURES.items()))
def plot(
    runs: Runs,
    /,
    *,
    figure: Annotated[str, Parameter(help="Name of the figure, one of the above.")] = "summary",
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="File; default: beside the result, for several runs in the working directory."),
    ] = None,
    format_: Annotated[
        list[Literal["png", "svg", "pdf"]] | None,
        Parameter(name="--format", negative="", help="Repeatable; default: the suffix of --output, or png."),
    ] = None,
    options: Annotated[FigureOptions | None, Parameter(name="*")] = None,
) -> None:
    if output and not format_ and output.suffix.lower() not in SUFFIXES:
        raise GlassyrunError(f"--output {output}: found a name without a known suffix, expected one in {', '.join(SUFFIXES)}")
    from glassyrun.figure_files import draw

    for file in draw(figure, runs, output, format_ or (), options):
        print(file)


@app.command
def collect(directory: RunDirectory, /) -> None:
    """Write the result of a run from what it has measured so far, also while it runs."""
    from glassyrun import api

    print(api.collect(directory))


@app.command
def watch(
    directory: RunDirectory, /, *, once: Annotated[bool, Parameter(negative="", help="Tell it once, then end.")] = False
) -> None:
    """Follow a run: where it is, how fast, and whether its process lives. Ends with the run, or by Ctrl-C."""
    from glassyrun.follow_run import follow

    with contextlib.suppress(KeyboardInterrupt):
        follow(directory, once)


@app.command
def plugins(*, plugin: Plugins = None) -> None:
    """List the installed kinds of systems, dynamics, observables and data sets."""
    from glassyrun.describe import overview

    print(overview(_registry(plugin, warn=False)))


@app.command
def show(kind: str, /, *, plugin: Plugins = None) -> None:
    """Describe one kind, or one table of the spec: its options, defaults and units."""
    from glassyrun.describe import description

    print(description(kind, _registry(plugin)))


@app.command
def schema(*, plugin: Plugins = None) -> None:
    """Print the JSON Schema of specs, installed plugins included, for editors."""
    import json

    from glassyrun.schema import spec_schema

    print(json.dumps(spec_schema(_registry(plugin)), indent=2, ensure_ascii=False))


def _registry(files: Sequence[Path] | None, *, warn: bool = True) -> Registry:
    from glassyrun.registry import Registry

    registry = Registry.installed(files or ())
    for problem in registry.problems if warn else ():
        _say(f"warning: {problem}")
    return registry


def _load(path: Path, overrides: Sequence[str] | None, files: Sequence[Path] | None) -> Spec:
    if not path.exists():
        raise GlassyrunError(_no_spec(path))
    registry = _registry(files)
    from glassyrun.spec.load import load_spec

    return load_spec(path, overrides or (), registry)


def _no_spec(path: Path) -> str:
    """What may have been meant by a spec that is not there: another file or a command."""
    from glassyrun.spec.document import near_spec
    from glassyrun.spec.problems import nearest

    command = nearest(str(path), _commands())
    if command and path.suffix != ".toml":
        return f"{path}: neither a command nor a spec file; did you mean 'glassyrun {command}'?"
    advice = near_spec(path) or f"the commands are {', '.join(_commands())}"
    return f"{path}: there is no such spec file; {advice}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives back the exit code.

    0 done, 2 bad spec or usage, 3 diverged, 4 locked, 5 input or output or no memory, 75 stopped and resumable, 130 interrupted
    (128 + n by another signal), 1 a mistake of the program itself.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows no Δ shows \u0394 rather than fails
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(_usage(error, tokens), 2)
    except GlassyrunError as error:
        return _fail(_lines(error), error.exit_code)
    except BrokenPipeError:  # `glassyrun schema | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", 5)
    except KeyboardInterrupt as error:
        return _interrupted(error)
    except MemoryError as error:
        return _fail(f"out of memory: {str(error) or 'the system gave none'}; 'glassyrun plan SPEC' tells what a run takes", 5)
    except Exception as error:  # noqa: BLE001 -- a mistake of ours or of a plugin: the traceback is what a report needs
        if isinstance(error.__context__, KeyboardInterrupt):  # a half-finished import fails on its own after Ctrl-C
            return _interrupted(error.__context__)
        import traceback

        traceback.print_exc()
        return _fail("this is a mistake in glassyrun or in a plugin; please report it with the lines above", BUG)
    return 0


def _interrupted(error: KeyboardInterrupt) -> int:
    return _fail("interrupted", getattr(error, "exit_code", 130))


def _usage(error: CycloptsError, tokens: Sequence[str]) -> str:
    """What is wrong with how the command was typed, in one sentence."""
    first = tokens[0] if tokens else ""
    called = f"glassyrun {first}" if first in _commands() else "glassyrun"
    advice = f"see '{called} --help'"
    if isinstance(error, UnusedCliTokensError):
        if called == "glassyrun" and not Path(first).exists():
            return _no_spec(Path(first))
        return f"found '{' '.join(error.unused_tokens or ())}', expected nothing more; {advice}"
    text = " ".join(str(error).split()).rstrip(".").replace("Parameter ", "")
    text = re.sub(r'^Command "(\S+)" parameter', r"\1:", text)
    text = re.sub(r"(-\S+) requires an argument", r"\1 needs a value", text)
    text = text.replace(" requires an argument", " is missing").replace(". Did you mean", "; did you mean")
    text = re.sub(r"\. Choose from: (.*)", r", expected one of \1", text)
    return text if "did you mean" in text else f"{text}; {advice}"


def _commands() -> list[str]:
    return [name for name in app if not name.startswith("-")]


def _lines(error: GlassyrunError) -> str:
    """The message; problems of a spec one a line, the place first so that editors find it."""
    problems = getattr(error, "problems", None)
    if not problems:
        return str(error)
    for line in str(error).splitlines():
        print(line, file=sys.stderr)
    count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
    return f"the spec has {count}; nothing was run"


def _fail(message: str, code: int) -> int:
    _say(" ".join(message.split("\n")))
    return code


def _say(line: str) -> None:
    print(f"glassyrun: {line}", file=sys.stderr)
