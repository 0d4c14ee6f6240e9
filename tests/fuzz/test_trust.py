"""What SECURITY.md promises beside the limits: nothing but our own shards is read, and a result must fit the machine."""

from __future__ import annotations

import re
from pathlib import Path

import netCDF4
import numpy as np
import pytest

import glassyrun
from glassyrun.cli import main
from glassyrun_networks.data.arrays import Form
from glassyrun_networks.data.npz import read_npz

ROOT = Path(__file__).parents[2]
SPEC = {
    "system": {"kind": "pspin", "n": 12},
    "dynamics": {"kind": "quench", "dt": 0.05},
    "schedule": {"horizon": 1.0},
    "observables": [{"kind": "energy"}, {"kind": "msd"}],
}


def test_a_stranger_s_result_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`plot` and `collect` read the shards, whose digests are checked: netCDF's C library sees nothing that we did not write."""
    glassyrun.run(SPEC, tmp_path / "run", quiet=True)
    (tmp_path / "run" / "result.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\xff" * 5000)
    opened: list[str] = []
    original = netCDF4.Dataset.__init__

    def watched(self: netCDF4.Dataset, filename: str, mode: str = "r", *arguments: object, **named: object) -> None:
        opened.append(mode)
        original(self, filename, mode, *arguments, **named)

    class Watched(netCDF4.Dataset):
        __init__ = watched

    monkeypatch.setattr(netCDF4, "Dataset", Watched)
    assert main(["plot", str(tmp_path / "run")]) == 0
    assert main(["collect", str(tmp_path / "run")]) == 0
    assert set(opened) == {"w"}


def test_nothing_in_the_program_unpickles_or_opens_a_dataset() -> None:
    """But the one unpickler that knows four names, and `foreign.py`, which opens the netCDF file that the command line names."""
    risky = re.compile(
        r"pickle\.loads?\(|torch\.load\(|open_dataset\(|load_dataset\(|allow_pickle=True|extractall\(|(?<![.\w])(eval|exec)\(|yaml\.load"
    )
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("framework", "plugins")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if risky.search(line) and not line.strip().startswith("#")
    ]
    assert [place.partition(":")[0] for place in found] == ["framework/glassyrun/foreign.py"]


def test_the_limits_in_security_md_are_those_of_the_program() -> None:
    from glassyrun.spec import document, model, overrides, positions, stages
    from glassyrun_networks.data import cifar_files, download, npz, pca
    from glassyrun_networks.data.generated import MOST_EXAMPLES, MOST_SIDES

    told = (ROOT / "SECURITY.md").read_text()
    for number in (
        document.LARGEST_FILE,
        positions.DEEPEST,
        positions.MOST_KEYS,
        positions.MOST_ITEMS,
        positions.LONGEST_NUMBER,
        overrides.LONGEST,
        model.MOST_STAGES,
        model.MOST_OBSERVABLES,
        model.MOST_POINTS,
        model.MOST_EVENTS,
        model.MOST_NUMBERS,
        npz.MOST_MEMBERS,
        pca.MOST_FEATURES,
        MOST_SIDES,
        MOST_EXAMPLES,
    ):
        assert f"{number:,}" in told, number
    assert stages.MOST_STEPS == 10**13
    assert (npz.MOST_DIRECTORY, download.MOST_BYTES, cifar_files.LARGEST_FILE) == (10**6, 10**9, 4 * 10**8)


def test_a_result_that_the_machine_could_not_hold_is_refused() -> None:
    large = SPEC | {
        "ensemble": {"samples": 1000, "replicas": 100},
        "schedule": {"horizon": 500.0, "t_w": {"n": 30}, "t": {"n": 30}},
        "observables": [{"kind": "energy"}, {"kind": "van_hove", "largest": 1.0, "bins": 10_000}],
    }
    with pytest.raises(glassyrun.Refusal, match=r"observables\.van_hove: '.*' would have 1000 × \d+ × .* of memory; take fewer"):
        glassyrun.run(large, quiet=True)


ESCAPE = "\x1b]0;owned\x07\x9b31m\u202e"
"""Sets a terminal's title and colour, and turns the direction of writing."""


@pytest.mark.parametrize(
    "text",
    [
        f"x = {ESCAPE}",
        f'"{ESCAPE}" = 1',
        f'[system]\nkind = "{ESCAPE}"',
        f'[schedule]\nhorizon = 1\nt = {{ "{ESCAPE}" = 1 }}',
        f'[system]\nkind = "pspin"\nn = 4\nmixture = {{ "{ESCAPE}" = 1.0 }}',
    ],
)
def test_a_message_does_not_steer_the_terminal(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.toml").write_bytes(text.encode())
    assert main(["plan", str(tmp_path / "x.toml")]) == 2
    said = capsys.readouterr().err
    assert all(sign.isprintable() or sign == "\n" for sign in said)


def test_nor_do_names_in_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{ESCAPE: np.zeros(3)})
    with pytest.raises(glassyrun.DataError) as error:
        read_npz(tmp_path / "x.npz", Form((4, 4, 3), 10))
    assert str(error.value).isprintable()
