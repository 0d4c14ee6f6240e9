"""A plugin as a stranger would write it, installed as a package of its own, paired with what is built in.

It may use nothing but the public names, and what comes out must be right, not only be there.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs
import numpy as np
import pytest
import xarray as xr

import glassyrun

PACKAGE = Path(__file__).parents[1] / "stranger"
SOURCES = sorted((PACKAGE / "src").rglob("*.py"))

WELLS = """
[system]
kind = "double_well"
n = 20000
field = 0.2
disorder = 0.5

[dynamics]
kind = "langevin"
dt = 0.05
temperature = 0.5

[schedule]
horizon = 25
time = { from = 10, to = 25, n = 16 }
t_w = [0]
t = [0]

[ensemble]
samples = 2

[[observables]]
kind = "energy"

[[observables]]
kind = "magnetisation"
"""
RELAXED = """
[system]
kind = "double_well"
n = 1000
field = 0.1
disorder = 0.0

[dynamics]
kind = "sgd"
learning_rate = 0.1
batch_size = 0.5

[schedule]
horizon = 400

[[observables]]
kind = "energy"

[[observables]]
kind = "magnetisation"

[run]
dtype = "float64"
"""
LINE = """
[system]
kind = "quadratic"
n = 1
terms = 3
noise = 0.0
spectrum = "power"

[dynamics]
kind = "nesterov"
learning_rate = 0.3
momentum = 0.8

[schedule]
horizon = 20
time = { from = 0, to = 20, n = 21 }

[ensemble]
replicas = 3

[[observables]]
kind = "energy"

[[observables]]
kind = "magnetisation"
name = "position"

[run]
dtype = "float64"
"""
SPHERE = LINE.replace('kind = "quadratic"\nn = 1\nterms = 3\nnoise = 0.0\nspectrum = "power"', 'kind = "pspin"\nn = 8')
SPECS = {"wells": WELLS, "relaxed": RELAXED, "line": LINE, "sphere": SPHERE}
RUN_ALL = """
import sys
from glassyrun.cli import main
print("codes", *(main([f"{name}.toml", "--quiet"]) for name in sys.argv[1:]))
"""


@attrs.frozen
class Installed:
    """The plugin in a directory that only a subprocess knows, and what running the specs there gave."""

    place: Path
    environment: Mapping[str, str]
    codes: Mapping[str, int]
    stderr: str

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _python(self.environment, self.place, *arguments)

    def result(self, name: str) -> xr.Dataset:
        return xr.load_dataset(self.place / "runs" / name / "result.nc")


def _python(environment: Mapping[str, str], place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=place, env=dict(environment), capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("stranger")
    target = place / "site"
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    done = _python(os.environ, place, *pip, "--target", str(target), str(PACKAGE))
    assert done.returncode == 0, done.stderr
    for name, text in SPECS.items():
        (place / f"{name}.toml").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    ran = _python(environment, place, "-c", RUN_ALL, *SPECS)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("codes ")]
    assert lines, ran.stderr
    codes = dict(zip(SPECS, map(int, lines[0].split()[1:]), strict=True))
    return Installed(place, environment, codes, ran.stderr)


def test_the_package_is_not_installed_here() -> None:
    """The tests below mean something only if the plugin is found by its entry point in the subprocess."""
    assert "doublewell" not in {point.name for point in importlib.metadata.entry_points(group="glassyrun")}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_it_uses_public_names_only(source: Path) -> None:
    wrong: list[str] = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wrong += [alias.name for alias in node.names if alias.name.startswith("glassyrun") and alias.name != "glassyrun"]
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("glassyrun"):
            names = [alias.name for alias in node.names]
            wrong += [f"{node.module}.{name}" for name in names if node.module != "glassyrun" or name not in glassyrun.__all__]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "glassyrun":
            wrong += [node.attr] if node.attr not in glassyrun.__all__ else []
    assert wrong == []


def test_all_public_names_exist() -> None:
    assert [name for name in glassyrun.__all__ if not hasattr(glassyrun, name)] == []


def test_its_kinds_are_listed_and_described(installed: Installed) -> None:
    script = "from glassyrun.cli import main; main(['plugins']); main(['show', 'double_well'])"
    said = installed.python("-c", script).stdout
    assert "problem:" not in said
    for kind in ("double_well", "nesterov", "magnetisation"):
        assert any(line.split()[:1] == [kind] and line.endswith("(doublewell)") for line in said.splitlines()), said
    assert "standard deviation of the fields h_i" in said


def test_its_runs_end_well(installed: Installed) -> None:
    assert installed.codes == {"wells": 0, "relaxed": 0, "line": 0, "sphere": 2}, installed.stderr
    assert "glassyrun: dynamics.kind: nesterov takes systems in flat space" in installed.stderr
    assert "Traceback" not in installed.stderr


def test_the_result_names_the_package(installed: Installed) -> None:
    attributes = installed.result("wells").attrs
    assert '"glassyrun_doublewell": "0.3.1 ' in attributes["plugins"]
    assert attributes["system_fields"].startswith("mean ")
    assert installed.result("line").attrs["dynamics_look_ahead"] == "the gradient is taken at x + βv"


def test_its_system_reaches_equilibrium_under_built_in_langevin(installed: Installed) -> None:
    """Energy and magnetisation at T = 0.5 against quadrature over x and over the fields."""
    ds = installed.result("wells")
    energy, magnetisation = _equilibrium(temperature=0.5, field=0.2, disorder=0.5)
    assert float(ds.energy.mean()) == pytest.approx(energy, abs=0.006)
    assert float(ds.magnetisation.mean()) == pytest.approx(magnetisation, abs=0.008)


def _equilibrium(temperature: float, field: float, disorder: float) -> tuple[float, float]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    h = (field + disorder * nodes)[:, None]
    x = np.linspace(-5, 5, 4001)
    u = (x**2 - 1) ** 2 / 4 - h * x
    boltzmann = np.exp(-(u - u.min(1, keepdims=True)) / temperature)
    boltzmann /= boltzmann.sum(1, keepdims=True)
    weights = weights / weights.sum()
    return float(weights @ (u * boltzmann).sum(1)), float(weights @ (x * boltzmann).sum(1))


def test_its_system_descends_by_mini_batches_of_its_terms(installed: Installed) -> None:
    """At T = 0 each particle ends in one of two minima of x³ − x = h; the magnetisation says how many in which."""
    ds = installed.result("relaxed").isel(time=-1)
    low, _, high = np.sort(np.roots([1, 0, -1, -0.1]).real)
    share = (float(ds.magnetisation.squeeze()) - low) / (high - low)
    assert 0.4 < share < 0.6
    well = {x: (x * x - 1) ** 2 / 4 - 0.1 * x for x in (low, high)}
    assert float(ds.energy.squeeze()) == pytest.approx(share * well[high] + (1 - share) * well[low], abs=1e-9)


def test_its_dynamics_moves_a_built_in_system_as_it_should(installed: Installed) -> None:
    """On L = λ(x − x*)²/2 with λ = (1/2)^{2/3}, the deviation obeys Nesterov's recursion in one dimension."""
    ds = installed.result("line")
    assert ds.time.attrs["units"] == "step"
    exact = _recursion(0.5 ** (2 / 3), 0.3, 0.8, steps=20)
    ratio = ds.energy / ds.energy.isel(time=0)
    np.testing.assert_allclose(ratio.values[0], np.tile(exact**2, (3, 1)), rtol=1e-9, atol=1e-13)
    # the position moves on a straight line to x*: positions differ by deviation × (x(0) − x*)
    position = ds.position.values[0]
    target = (position[:, 1] - exact[1] * position[:, 0]) / (1 - exact[1])
    np.testing.assert_allclose(target, target[0], rtol=1e-9)


def _recursion(curvature: float, learning_rate: float, momentum: float, steps: int) -> np.ndarray:
    deviation, velocity, path = 1.0, 0.0, [1.0]
    for _ in range(steps):
        velocity = momentum * velocity - learning_rate * curvature * (deviation + momentum * velocity)
        deviation += velocity
        path.append(deviation)
    return np.array(path)
