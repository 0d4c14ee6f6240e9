"""The gallery's stored results are those of the specs beside them, and its pages show each with spec, command and figure."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import xarray as xr
from tests.shipped import small

import glassyrun
from glassyrun import api
from glassyrun.cli import main
from glassyrun.spec.load import dump_spec

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "gallery"
SPECS = sorted((GALLERY / "specs").glob("*.toml"))
RESULTS = sorted((GALLERY / "results").glob("*.nc"))
CLAIMS = sorted(path for path in GALLERY.glob("*.md") if path.name != "index.md")
DEAR = {"cifar10_resnet18", "cifar10_all"}  # as tests/specs runs them
LARGEST, ALL = 250_000, 2_000_000
LOADED = re.compile(r'"(\w+)"')


def sections(page: Path) -> dict[str, str]:
    """The sections of a page with a claim, by their headings."""
    parts = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line[2:]) for line in text.splitlines() if line.startswith("$ ")]


ALL_COMMANDS = [(page.name, command) for page in sorted(GALLERY.glob("*.md")) for command in commands(page.read_text("utf-8"))]


def test_each_result_has_its_spec_and_each_spec_its_result() -> None:
    assert [path.stem for path in RESULTS] == [path.stem for path in SPECS]


@pytest.mark.parametrize("result", RESULTS, ids=lambda path: path.stem)
def test_a_stored_result_belongs_to_the_spec_beside_it(result: Path) -> None:
    ds = xr.load_dataset(result)
    spec = api.load(GALLERY / "specs" / f"{result.stem}.toml")
    assert dump_spec(api.load(tomllib.loads(ds.attrs["spec"]))) == dump_spec(spec)
    assert ds.attrs["complete"] == 1
    assert "warnings" not in ds.attrs or "SAMPLE" not in ds.attrs["warnings"]  # of the set itself, not of the packaged sample
    assert float(ds.time[-1]) == spec.schedule.horizon
    assert (ds.sizes["sample"], ds.sizes["replica"]) == (spec.ensemble.samples, spec.ensemble.replicas)
    assert ds.sizes["sample"] >= 3 or ds.sizes["replica"] >= 3  # an interval needs three


def test_stored_results_are_small_and_name_no_place_of_a_machine() -> None:
    assert all(path.stat().st_size < LARGEST for path in RESULTS)
    assert sum(path.stat().st_size for path in RESULTS) < ALL
    for path in RESULTS:
        told = " ".join(str(value) for value in xr.load_dataset(path).attrs.values())
        assert not re.search(r"(?<![\w.])/(tmp|root|home|work|mnt)/", told), path.stem


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_a_spec_of_the_gallery_says_what_it_costs_and_runs_when_small(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLASSYRUN_DATA", str(tmp_path))
    monkeypatch.setattr("glassyrun_networks.data.images.SAMPLE_SECONDS", 0.01)
    lines = spec.read_text(encoding="utf-8").splitlines()
    header = "\n".join(line for line in lines[: lines.index("[system]")] if line.startswith("#"))
    assert re.search(r"^# Cost: about .+ on one core, .+[MG]B\.$", header, re.M)
    anywhere = tmp_path / spec.name  # a segment's own times are none of the small grids
    anywhere.write_text(re.sub(r'(kind = "segment"\n)t_w = .+\nt = .+\n', r"\1points = 3\n", "\n".join(lines) + "\n"), "utf-8")
    made_small = small(anywhere)
    if spec.stem not in DEAR:
        assert glassyrun.run(made_small, quiet=True).attrs["complete"] == 1


@pytest.mark.parametrize("page", CLAIMS, ids=lambda path: path.stem)
def test_each_claim_has_a_spec_a_command_a_figure_and_what_came_out(page: Path) -> None:
    shown: list[str] = []
    for heading, text in sections(page).items():
        shown += re.findall(r"\{literalinclude\} specs/(\w+)\.toml", text)
        assert "**Claim.**" in text, heading
        assert "**Here.**" in text, heading
        assert commands(text), heading
        assert "```{code-cell} python" in text, heading
        assert "figure" in text or "three_regimes" in text, heading
        for command in commands(text):
            if command[1].endswith(".toml"):
                spec = Path(command[1])
                assert spec.parent.as_posix() == "docs/gallery/specs", heading
                assert spec.stem in text.replace(spec.as_posix(), "") or spec.stem in page.read_text("utf-8"), heading
    assert shown, page.name


def test_each_result_is_on_a_page_and_each_spec_is_shown_or_run() -> None:
    text = "".join(page.read_text("utf-8") for page in GALLERY.glob("*.md"))
    assert {path.stem for path in RESULTS} <= set(LOADED.findall(text))
    run = {Path(command[1]).stem for _, command in ALL_COMMANDS if command[1].endswith(".toml")}
    assert run == {path.stem for path in SPECS}


@pytest.mark.parametrize(
    ("page", "command"), ALL_COMMANDS, ids=lambda part: part if isinstance(part, str) else " ".join(part[1:])
)
def test_a_command_of_the_gallery_is_one(page: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is planned only in its options; a figure is drawn, of the stored result in the place of the run's directory."""
    assert command[0] == "glassyrun"
    if command[1] == "plot":
        monkeypatch.chdir(tmp_path)
        words = [str(GALLERY / "results" / f"{Path(word).name}.nc") if word.startswith("runs/") else word for word in command[1:]]
        assert main([*words, "--output", str(tmp_path / "figure.png")]) == 0
        assert (tmp_path / "figure.png").stat().st_size > 0
    else:
        overrides = [command[n + 1] for n, word in enumerate(command) if word == "--set"]
        assert len(command) == 2 + 2 * len(overrides)
        api.load(ROOT / command[1], overrides)
