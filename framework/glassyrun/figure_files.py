"""From runs on disk to figures on disk: what `glassyrun plot` does."""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassyrun import result
from glassyrun.analysis.of_spec import spec_of
from glassyrun.errors import GlassyrunError, Refusal
from glassyrun.figure_list import FIGURES
from glassyrun.foreign import open_result
from glassyrun.look import STYLE, mark_unfinished, save
from glassyrun.spec.fields import flat
from glassyrun.spec.problems import meant

LONGEST = 40
"""Characters of a name that a legend has room for."""
Recipe = Callable[..., Axes | Figure]


def draw(
    name: str,
    sources: Sequence[Path],
    output: Path | None = None,
    formats: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Iterator[Path]:
    """Draws a figure of runs and gives the files that it has written; a figure of one run is drawn for each.

    Args:
        name: one of `FIGURES`.
        sources: run directories, their `result.nc`, or other netCDF files of results.
        output: by default a file of the figure's name beside the result, of several runs in the working directory.
        formats: suffixes, without dot; by default that of `output`, or png.
        options: keywords of the recipe; `null` is a run on disk like the sources.

    Raises:
        GlassyrunError: if there is no such figure or option, or the runs do not give it.
    """
    recipe, options = _recipe(name), options or {}
    known = inspect.signature(recipe).parameters
    for option in options:
        if option not in known:
            knows = [flag(key) for key, about in known.items() if about.kind == about.KEYWORD_ONLY]
            raise Refusal(f"{flag(option)}: the figure {name} knows {', '.join(knows) or 'no options'}")
    if "null" in options:
        options = {**options, "null": opened(options["null"])}
    together = any(about.kind == about.VAR_POSITIONAL for about in known.values())
    groups = [list(sources)] if together else [[source] for source in sources]
    if output and len(groups) > 1:
        raise Refusal(f"--output {output}: the figure {name} is of one run, and there are {len(groups)}; leave --output out")
    for group in groups:
        runs = [opened(source) for source in group]
        if len(runs) > 1:
            runs = told_apart(runs, group)
        with mpl.rc_context(STYLE):
            try:
                drawn = recipe(*runs, **options)
            except GlassyrunError as error:
                where = str(group[0]) if len(group) == 1 else f"{len(group)} runs"
                raise type(error)(f"{where}: no figure {name}: {error}") from error
            whole: Any = drawn.figure  # of axes and of a figure itself
            mark_unfinished(whole, runs)
        yield from save(whole, _targets(name, group, output, formats))


def _recipe(name: str) -> Recipe:
    if name not in FIGURES:
        raise Refusal(f"--figure {name}: {meant(name, FIGURES) or 'there is no such figure'}; there are {', '.join(FIGURES)}")
    return getattr(importlib.import_module("glassyrun.analysis.recipes"), name)


def flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def opened(source: Path) -> xr.Dataset:
    """The dataset of a run directory, of what is committed so far, or of a netCDF file."""
    if source.name == "result.nc" and (source.parent / "manifest.json").exists():
        source = source.parent
    return open_result(source) if source.is_file() else result.assemble(source)


def told_apart(runs: Sequence[xr.Dataset], sources: Sequence[Path]) -> list[xr.Dataset]:
    """Runs of one title are called by what their specs differ in, or else their places."""
    titles = [str(run.attrs.get("title", "")) for run in runs]
    if len(set(titles)) == len(titles):
        return list(runs)
    names = _fields(runs) or _parts(sources)
    return [run.assign_attrs(title=name) for run, name in zip(runs, names, strict=True)]


def _fields(runs: Sequence[xr.Dataset]) -> list[str]:
    """The fields of the specs with other values in each run, if few tell them apart."""
    specs = [{field: str(value) for field, value in flat(spec_of(run)).items()} for run in runs]
    fields = [field for field in dict.fromkeys(itertools.chain(*specs)) if len({spec.get(field) for spec in specs}) > 1]
    names = [", ".join(f"{field}={spec.get(field, 'none')}" for field in fields) for spec in specs]
    return names if max(map(len, names)) <= LONGEST and len(set(names)) == len(names) else []


def _parts(sources: Sequence[Path]) -> list[str]:
    """The parts of the names of places that not all have."""
    places = _without_digests(
        [source.parent.name if source.name == "result.nc" else source.name.removesuffix(".nc") for source in sources]
    )
    parts = [place.split(",") for place in places]
    shared = set.intersection(*map(set, parts))
    return [",".join(word for word in words if word not in shared) or place for words, place in zip(parts, places, strict=True)]


def _without_digests(places: list[str]) -> list[str]:
    """The names of places without what `run_name` ends long ones with, where they are told apart without it."""
    short = [re.sub("~[0-9a-f]{12}$", "", place) for place in places]
    return short if len(set(short)) == len(short) else places


def _targets(name: str, group: Sequence[Path], output: Path | None, formats: Sequence[str]) -> list[Path]:
    if output is not None:
        return [output.with_suffix(f".{suffix}") for suffix in formats] or [output]
    source = group[0]
    if len(group) > 1:
        place, stem = Path(), name
    elif source.is_file() and source.name != "result.nc":
        place, stem = source.parent, f"{source.stem}_{name}"
    else:
        place, stem = source.parent if source.is_file() else source, name
    return [place / f"{stem}.{suffix}" for suffix in formats or ["png"]]
