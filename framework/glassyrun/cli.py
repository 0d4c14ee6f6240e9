"""The command line. This is the only module that knows cyclopts, and it imports nothing heavy before a command runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from glassyrun.errors import GlassyrunError

if TYPE_CHECKING:
    from glassyrun.registry import Registry
    from glassyrun.spec.model import Spec

INTERRUPTED = 130
BUG = 1
RUNS = Path("runs")

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
    Parameter(name="--data", env_var="GLASSYRUN_DATA", help="Directory of data sets, and where they are downloaded to."),
]
RunDirectory = Annotated[Path, Parameter(help="Run directory.")]

app = App(
    name="glassyrun",
    usage="Usage: glassyrun SPEC [OPTIONS]\n       glassyrun COMMAND …",
    help="Compare the dynamics of glasses and of neural networks.\n\n"
    "glassyrun SPEC runs the experiment that a spec file describes and writes runs/NAME/result.nc.",
    version=version("glassyrun"),
    help_format="plaintext",
    result_action="return_value",
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
    fresh: Annotated[bool, Parameter(negative="", help="Run again what was run before, from the start.")] = False,
    quiet: Annotated[bool, Parameter(negative="", help="No progress.")] = False,
) -> None:
    """Run a spec."""
    from glassyrun.spec.names import run_name

    experiment = _load(spec, set_, plugin)
    from glassyrun import api

    directory = output or RUNS / run_name(spec, set_ or ())
    outcome = api.execute(experiment, directory, data_root=data, fresh=fresh, quiet=quiet)
    if not quiet:
        state = "was finished before (--fresh runs it again)" if outcome.already_done else "written"
        print(f"{outcome.result} {state}")
        print(f"plots: glassyrun plot {_quoted(directory)}")


@app.command
def plan(spec: SpecFile, /, *, set_: Overrides = None, plugin: Plugins = None, data: DataRoot = None) -> None:
    """Tell what a spec would run: sizes, steps, readings, memory, time."""
    experiment = _load(spec, set_, plugin)
    from glassyrun.plan import plan as planned

    print(planned(experiment, data_root=data))


@app.command
def plot(
    directory: RunDirectory,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="File; default: beside the result.")] = None,
    format_: Annotated[
        list[Literal["png", "svg"]] | None, Parameter(name="--format", negative="", help="Repeatable; default: png.")
    ] = None,
) -> None:
    """Draw the energy and the two-time displacement of a run."""
    from glassyrun.plot import plot_run

    suffix = output.suffix.removeprefix(".").lower() if output else ""
    if output and suffix not in ("png", "svg", "") and not format_:
        raise GlassyrunError(f"--output {output}: found a file name in .{suffix}, expected .png or .svg")
    for file in plot_run(directory, output, tuple(format_ or ([suffix] if suffix else ["png"]))):
        print(file)


@app.command
def collect(directory: RunDirectory, /) -> None:
    """Write the result of a run from what it has measured so far, also while it runs."""
    from glassyrun import api

    print(api.collect(directory))


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
    from glassyrun.spec.problems import nearest

    commands = [name for name in app if not name.startswith("-")]
    command = nearest(str(path), commands)
    specs = [file for folder in (path.parent, Path("specs")) if folder.is_dir() for file in sorted(folder.glob("*.toml"))]
    near = nearest(path.stem, [file.stem for file in specs])
    if command and path.suffix != ".toml":
        return f"{path}: neither a command nor a spec file; did you mean 'glassyrun {command}'?"
    if near:
        meant = next(file for file in specs if file.stem == near)
        return f"{path}: there is no such spec file; did you mean '{meant}'?"
    return f"{path}: there is no such spec file, and no such command; the commands are {', '.join(commands)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives back the exit code.

    0 done, 2 bad spec or usage, 3 diverged, 4 locked, 5 input or output, 75 stopped and resumable, 130 interrupted,
    1 a mistake of the program itself.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    return _guarded(lambda: app(tokens, exit_on_error=False, print_error=False))


def _guarded(command: Callable[[], object]) -> int:
    try:
        command()
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(f"{_usage(error)}; see 'glassyrun --help'", 2)
    except GlassyrunError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", 5)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except Exception:  # noqa: BLE001 -- a mistake of ours or of a plugin: the traceback is what a report needs
        import traceback

        traceback.print_exc()
        return _fail("this is a mistake in glassyrun or in a plugin; please report it with the lines above", BUG)
    return 0


def _usage(error: CycloptsError) -> str:
    """Cyclopts' message as one sentence."""
    text = " ".join(str(error).split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        _say(f"error: {line}")
    return code


def _say(line: str) -> None:
    print(f"glassyrun: {line}", file=sys.stderr)


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
