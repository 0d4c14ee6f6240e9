"""`glassyrun plot`: every figure from files of results, its options, and what it says where a run does not give it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from tests.analysis import figure_runs as of
from tests.analysis.test_figure_images import CASES
from tests.cli.conftest import Said

import glassyrun
from glassyrun.analysis import figures, recipes
from glassyrun.cli import FigureOptions
from glassyrun.figure_files import told_apart
from glassyrun.figure_list import FIGURES

Say = Callable[..., Said]


def written(runs: list[xr.Dataset]) -> list[Path]:
    paths = [Path(f"{number}.nc") for number in range(len(runs))]
    for run, path in zip(runs, paths, strict=True):
        run.to_netcdf(path)
    return paths


def typed(options: dict[str, object]) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return words


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("summary_g")])
def test_every_figure_from_files(say: Say, here: Path, case: str) -> None:
    name, runs, options = CASES[case]
    paths = written(runs())
    said = say("plot", *paths, "--figure", name, *typed(options))
    where = f"{name}.png" if len(paths) > 1 else f"0_{name}.png"
    assert (said.code, said.out, said.err) == (0, f"{where}\n", "")
    assert (here / where).read_bytes()[:4] == b"\x89PNG"


def test_every_figure_has_a_recipe_and_every_option_is_one_of_a_recipe() -> None:
    known = {
        key
        for name in FIGURES
        for key, about in inspect.signature(getattr(recipes, name)).parameters.items()
        if about.kind == about.KEYWORD_ONLY
    }
    assert known == set(get_type_hints(FigureOptions))


def test_the_documentation_names_every_figure_with_its_options() -> None:
    page = (Path(__file__).parents[2] / "docs" / "insight.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)\((.*?)\)` \| `(\w+)`(.*?) \|", page, re.M)
    assert [name for _, _, name, _ in rows] == [name for name in FIGURES if name != "summary"]
    for function, arguments, name, rest in rows:
        about = inspect.signature(getattr(recipes, name)).parameters
        options = [f"--{key.replace('_', '-')}" for key, one in about.items() if one.kind == one.KEYWORD_ONLY]
        assert re.findall(r"`(--[\w-]+)`", rest) == sorted(options), name
        assert ("several runs" in rest) == any(one.kind == one.VAR_POSITIONAL for one in about.values()), name
        known = inspect.signature(getattr(figures, function)).parameters
        assert {argument.partition("=")[0] for argument in arguments.split(", ")} <= set(known), function


def test_the_help_lists_the_figures(say: Say) -> None:
    said = say("plot", "--help")
    assert said.code == 0
    for name in FIGURES:
        assert f"{name}: " in said.out


def test_of_a_run_and_of_several(say: Say, here: Path) -> None:
    """A figure of one run is drawn for each, beside its result, in each format; runs of one title are called by their places."""
    for seed in (1, 2):
        say("line.toml", "--quiet", "--set", f"seed={seed}", "--set", "ensemble.replicas=3", "-o", f"runs/a,seed={seed}")
    said = say("plot", "runs/a,seed=1", "runs/a,seed=2/result.nc", "--figure", "regimes", "--format", "svg", "--format", "pdf")
    assert said.out.splitlines() == [f"runs/a,seed={seed}/regimes.{suffix}" for seed in (1, 2) for suffix in ("svg", "pdf")]
    said = say("plot", "runs/a,seed=1", "runs/a,seed=2", "--figure", "compare", "--variable", "energy", "-o", "both.svg")
    assert said.out == "both.svg\n"
    drawn = (here / "both.svg").read_text()
    assert "seed=1" in drawn
    assert "seed=2" in drawn
    assert "a,seed" not in drawn
    assert say("plot", "runs/a,seed=1").out == "runs/a,seed=1/summary.png\n"


def test_titles_that_differ_stay() -> None:
    runs = [xr.Dataset(attrs={"title": title}) for title in "ab"]
    assert [run.attrs["title"] for run in told_apart(runs, [Path("x"), Path("y")])] == ["a", "b"]


def test_runs_of_one_title_are_called_by_the_fields_they_differ_in() -> None:
    """Not by the digest in which the name of a directory ends; where specs don't tell, by the places without it."""
    spec = "[system]\nwidths = {}\n[dynamics]\nkind = 'sgd'\n"
    runs = [xr.Dataset(attrs={"title": "cnn", "spec": spec.format(widths)}) for widths in ("[5]", "[5, 7]")]
    places = [Path("a,system.widths=_5_~f3e455334835"), Path("a,system.widths=_5__7_~0123456789ab")]
    assert [run.attrs["title"] for run in told_apart(runs, places)] == ["system.widths=[5]", "system.widths=[5, 7]"]
    alike = [run.assign_attrs(spec="") for run in runs]
    assert [run.attrs["title"] for run in told_apart(alike, places)] == ["system.widths=_5_", "system.widths=_5__7_"]


def test_every_figure_of_an_unfinished_run_says_so(say: Say, here: Path) -> None:
    of.descent(0.1).assign_attrs(title="half", complete=0).to_netcdf("half.nc")
    of.descent(0.1).assign_attrs(title="whole", complete=1).to_netcdf("whole.nc")
    for run, name, count in (("half", "summary", 1), ("half", "regimes", 1), ("whole", "regimes", 0)):
        assert say("plot", f"{run}.nc", "--figure", name, "-o", "a.svg").code == 0
        assert (here / "a.svg").read_text().count(f"{run} (not complete)") == count
    one = of.learning(0.1, 100, title="one").assign_attrs(complete=0)
    two = of.learning(0.5, 50, title="two").assign_attrs(complete=1)
    assert say("plot", *written([one, two]), "--figure", "compare", "-o", "both.svg").code == 0
    assert "one (not complete)" in (here / "both.svg").read_text()


def few(ds: xr.Dataset) -> xr.Dataset:
    return ds.isel(replica=slice(2))


REFUSED: dict[str, tuple[list[xr.Dataset], list[str], int, str]] = {
    "no such figure": (
        [of.descent()],
        ["--figure", "agin"],
        2,
        "--figure agin: did you mean 'aging'?; there are summary, regimes, ",
    ),
    "an option of another figure": (
        [of.ages()],
        ["--figure", "aging", "--level", "0.5"],
        2,
        "--level: the figure aging knows --variable, --waiting, --window, --amplitude, --null",
    ),
    "no options": ([of.uneven()], ["--figure", "alpha2", "--level", "0.5"], 2, "--level: the figure alpha2 knows no options"),
    "one output for two": (
        [of.ages(), of.ages()],
        ["--figure", "aging", "-o", "a.png"],
        2,
        "--output a.png: the figure aging is of one run, and there are 2; leave --output out",
    ),
    "not measured": (
        [of.ages()],
        ["--figure", "alpha2"],
        2,
        "0.nc: no figure alpha2: displacement_fourth was not measured, only msd; "
        'add [[observables]] with kind = "displacement" to the spec and run it anew',
    ),
    "one run is not two": (
        [of.descent()],
        ["--figure", "compare"],
        2,
        "0.nc: no figure compare: it is of two runs or more of different systems; name all of them",
    ),
    "over other dimensions": (
        [of.ages()],
        ["--figure", "regimes", "--variable", "msd"],
        2,
        "0.nc: no figure regimes: msd is over sample, replica, t_w, t, and this figure is of a variable over time",
    ),
    "a sweep": (
        [xr.concat([of.ages(), of.ages()], "rate")],
        ["--figure", "aging"],
        2,
        "0.nc: no figure aging: msd has the dimension rate; select one point of it, with isel, and save that",
    ),
    "nothing read yet": (
        [of.ages().where(False)],
        ["--figure", "aging"],
        2,
        "0.nc: no figure aging: msd has no readings yet; let the run go on",
    ),
    "too few replicas": (
        [few(of.ages())],
        ["--figure", "aging"],
        2,
        "0.nc: no figure aging: an error needs 3 samples or 3 replicas",
    ),
    "an unknown bottom": (
        [of.descent(-1.0)],
        ["--figure", "regimes"],
        2,
        "0.nc: no figure regimes: energies are negative and the bottom of this landscape is not known; give its energy with --bottom",
    ),
    "a bottom above": (
        [of.descent()],
        ["--figure", "regimes", "--bottom", "2"],
        2,
        "0.nc: no figure regimes: no energy is above 2; give another --bottom",
    ),
    "no arrival": (
        [of.diffusing().isel(replica=slice(4)).assign(of.descent(0.2).isel(replica=slice(4)))],
        ["--figure", "collapse"],
        2,
        "0.nc: no figure collapse: not reached: at ",
    ),
    "no temperature": (
        [of.responding()],
        ["--figure", "fdt"],
        2,
        "0.nc: no figure fdt: the spec of synthetic has no single temperature in [dynamics]; give it with --temperature",
    ),
    "no lags shared": (
        [of.warm(1.0, 1.0), of.warm(0.8, 1.0).assign_coords(t=lambda ds: ds.t + 0.25)],
        ["--figure", "superposition"],
        2,
        "2 runs: no figure superposition: the runs share no waiting times or lags; give them one schedule",
    ),
    "no times shared": (
        [of.sized(64), of.sized(128).assign_coords(time=lambda ds: ds.time + 0.25)],
        ["--figure", "finite_size"],
        2,
        "2 runs: no figure finite_size: the runs share no times; give them one schedule",
    ),
    "a window without lags": (
        [of.ages()],
        ["--figure", "aging", "--window", "1e6", "1e7"],
        2,
        "0.nc: no figure aging: --window 1e+06 1e+07: there are no lags within it, those measured go from 0.5 to 500; "
        "take a window of these",
    ),
    "a window without waiting times": (
        [of.ages()],
        ["--figure", "aging", "--waiting", "400", "inf"],
        2,
        "0.nc: no figure aging: --waiting 400 inf: there are no waiting times within it, those measured go from 1 to 300; ",
    ),
    "nothing left to draw": (
        [of.diffusing()],
        ["--figure", "collapse", "--after", "1e9"],
        2,
        "0.nc: no figure collapse: Δ/D is not known at any waiting time from 1e+09 on, and last at 300; give an earlier --after",
    ),
    "lags of a collapse": (
        [of.diffusing()],
        ["--figure", "collapse", "--after", "5", "--window", "1e6", "1e7"],
        2,
        "0.nc: no figure collapse: --window 1e+06 1e+07: there are no lags within it, those measured go from 1 to 700; ",
    ),
    "a correlation that none has": (
        [of.responding()],
        ["--figure", "fdt", "--temperature", "0.5", "--window", "2", "3"],
        2,
        "0.nc: no figure fdt: --window 2 3: overlap has no value within it, those measured go from ",
    ),
    "a part of the correlation that none has": (
        [of.warm(1.0, 1.0), of.warm(0.8, 3.0)],
        ["--figure", "superposition", "--window", "2", "3"],
        2,
        "2 runs: no figure superposition: ",
    ),
    "a waiting time that was not measured": (
        [of.responding()],
        ["--figure", "chi4", "--t-w", "30"],
        2,
        "0.nc: no figure chi4: --t-w 30: this waiting time was not measured; the nearest that was is 10",
    ),
    "a negative waiting time": (
        [of.responding()],
        ["--figure", "chi4", "--t-w", "-4"],
        2,
        "0.nc: no figure chi4: --t-w -4: this waiting time was not measured; the nearest that was is 1",
    ),
    "a waiting time of superposition": (
        [of.warm(1.0, 1.0), of.warm(0.8, 3.0)],
        ["--figure", "superposition", "--t-w", "30"],
        2,
        "2 runs: no figure superposition: --t-w 30: this waiting time was not measured; the nearest that was is 1",
    ),
    "a waiting time where one run has not been": (
        [of.ages(), of.ages(0.1, 1)],
        ["--figure", "compare", "--variable", "msd", "--t-w", "100"],
        2,
        "2 runs: no figure compare: --t-w 100: 1 was measured from 0.1 to 30 along the gradient flow; "
        "take a waiting time that all runs have",
    ),
    "a waiting time of an energy": (
        [of.learning(0.1, 100), of.learning(0.5, 50)],
        ["--figure", "compare", "--t-w", "10"],
        2,
        "2 runs: no figure compare: --t-w 10: energy is not over waiting times; leave it out, or take --variable msd",
    ),
    "no such variable": (
        [of.ages()],
        ["--figure", "aging", "--variable", "nonsense"],
        2,
        "0.nc: no figure aging: nonsense was not measured, only msd; no observable is called nonsense; glassyrun plugins lists them",
    ),
    "a word mistyped": (
        [of.ages()],
        ["--figure", "aging", "--variable", "mds"],
        2,
        "0.nc: no figure aging: mds was not measured, only msd; did you mean 'msd'?; glassyrun plugins lists them",
    ),
    "two variables missing": (
        [of.ages()],
        ["--figure", "fdt"],
        2,
        "0.nc: no figure fdt: overlap and response were not measured, only msd; "
        'add [[observables]] with kind = "overlap" and kind = "response" to the spec and run it anew',
    ),
    "a null model that is not there": (
        [of.ages()],
        ["--figure", "aging", "--null", "none.nc"],
        5,
        "none.nc: there is no such file or directory; give a run directory, or a .nc file of a result",
    ),
    "no result": (
        [xr.Dataset({"a": ("b", [1.0])})],
        [],
        5,
        "0.nc: found a, and no variable over time or (t_w, t) as a run writes it",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_run_does_not_give_is_said_in_one_sentence(say: Say, here: Path, case: str) -> None:
    runs, arguments, code, told = REFUSED[case]
    said = say("plot", *written(runs), *arguments)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(f"glassyrun: {told}")
    assert said.err.count("\n") == 1


def test_the_waiting_time_that_is_asked_for_is_the_one_drawn() -> None:
    """A measured one within a quarter of it, and of systems on flow time itself, between what was measured."""
    axes = recipes.chi4(of.responding(), t_w=11)
    assert axes.get_ylabel().endswith("$t_w = 10$")
    plt.close(axes.figure)
    for t_w in (10, 2.71, 30):
        axes = recipes.compare(of.ages(), of.ages(0.1, 1), variable="msd", t_w=t_w)
        assert float(axes.get_title().strip("$").split("=")[1]) == pytest.approx(t_w, rel=1e-3)
        assert all(np.isfinite(line.get_ydata()).any() for line in axes.get_lines())
        plt.close(axes.figure)


def test_runs_of_a_figure_are_named_in_its_legend() -> None:
    runs = [run.assign_attrs(title=title) for run, title in ((of.diffusing(), "fast"), (of.diffusing(0.3, 1), "slow"))]
    axes = recipes.diffusion(*runs, after=5.0)
    told = [text.get_text() for text in axes.get_legend().get_texts() if "gamma" in text.get_text()]
    assert [text.partition(",")[0] for text in told] == ["fast", "slow"]
    assert all(re.search(r"\(\d\.\d\d to \d\.\d\d\)$", text) for text in told)
    plt.close(axes.figure)


def bathed(ds: xr.Dataset, temperature: float) -> xr.Dataset:
    return ds.assign_attrs(spec=f"[dynamics]\nkind = 'langevin'\ntemperature = {temperature}\n")


def test_a_run_of_the_null_model_stands_beside_a_run(say: Say, here: Path) -> None:
    """With --null; what can't stand beside it is told."""
    bathed(of.ages(), 0.3).to_netcdf("glass.nc")
    bathed(of.ages(seed=1), 0.3).to_netcdf("null.nc")
    bathed(of.ages(seed=1), 0.1).to_netcdf("cold.nc")
    of.relaxing().to_netcdf("other.nc")
    of.ages(seed=1).assign_coords(t=lambda ds: ds.t * 1.1).to_netcdf("between.nc")
    assert say("plot", "glass.nc", "--figure", "aging", "--null", "null.nc", "--format", "svg").code == 0
    assert "null model" in (here / "glass_aging.svg").read_text()
    for null, told in {
        "cold.nc": "it is at T = 0.1, and the run at T = 0.3; give a run of the null model at that temperature",
        "other.nc": "msd was not measured, only overlap; ",
        "between.nc": "it shares no waiting times or lags with the run; give both one schedule",
    }.items():
        said = say("plot", "glass.nc", "--figure", "aging", "--null", null)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(f"glassyrun: glass.nc: no figure aging: --null: {told}")


def test_waiting_times_that_are_fitted_are_those_drawn() -> None:
    axes = recipes.aging(of.ages(), waiting=(3, np.inf))
    expected = glassyrun.analysis.aging(of.ages(), waiting=(3, np.inf))
    assert f"{float(expected.mu):.2f}" in axes.get_legend().get_texts()[0].get_text()
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    assert len(lines) == 2 * 5  # of six, and the null model
    plt.close(axes.figure)


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (xr.Dataset(), "plot: there is no msd, and this figure is of a variable over t_w, t, here none"),
        (xr.Dataset({"msd": ("time", [1.0])}), "plot: msd is over time, and this figure is of a variable over t_w, t, here none"),
    ],
    ids=["empty", "over time"],
)
def test_a_figure_of_what_a_dataset_lacks_is_refused(run: xr.Dataset, told: str) -> None:
    with pytest.raises(glassyrun.Refusal) as refused:
        glassyrun.plot.msd(run)
    assert str(refused.value) == told
    with pytest.raises(glassyrun.Refusal, match="there is no energy"):
        glassyrun.plot.energy(run)


def test_what_is_no_netcdf_is_told(say: Say, here: Path) -> None:
    (here / "a.nc").write_bytes(b"nothing of the kind")
    said = say("plot", "a.nc")
    assert said.code == 5
    assert said.err.startswith("glassyrun: a.nc: can't be read as netCDF (")
    assert said.err.endswith("; give a run directory, or a .nc file that glassyrun wrote\n")


def test_a_file_that_can_not_be_written_is_told(say: Say, here: Path) -> None:
    (path,) = written([of.descent()])
    said = say("plot", path, "-o", "none/a.png")
    assert said.code == 5
    assert said.err.startswith("glassyrun: none/a.png: writing failed: ")
    with pytest.raises(glassyrun.StorageError, match=r"a\.xyz: there is no such format"):
        list(glassyrun.plot.draw("summary", [path], Path("a.xyz")))
