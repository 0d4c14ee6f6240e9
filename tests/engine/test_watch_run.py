"""Following a run from outside: what it tells of a run that lives, died, stopped, ended or diverged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.engine.test_housekeeping import spied
from tests.engine.test_owner import HOSTILE
from tests.engine.test_resume import attempt
from tests.engine_tools import Crash, load, tables

import glassyrun
from glassyrun import State, api, follow_run
from glassyrun.cli import main
from glassyrun.experiment import Setting
from glassyrun.extension import grow
from glassyrun.follow_run import Follower, follow
from glassyrun.heartbeat import read_sidecar, write_sidecar
from glassyrun.owner import STILL_SECONDS, Owner
from glassyrun.spec.load import dump_spec
from glassyrun.store import Store


def status_of(owner: Owner, **told: Any) -> dict[str, Any]:
    running = {"phase": "running", "sample": 1, "samples": 3, "step": 250, "horizon": 1000, "energy": -0.5, "rate": 10.0}
    return {**running, "since_commit": 30.0, "token": owner.token, "beat": 5, **told}


def alive(directory: Path, **changes: Any) -> Owner:
    """A directory whose owner is this process, or one of another host."""
    Store.open(directory, dump_spec(load(tables("quadratic", "sgd")))).close()
    owner = attrs.evolve(Owner.here(), host="here", **changes)
    write_sidecar(directory / "owner.json", attrs.asdict(owner))
    write_sidecar(directory / "status.json", status_of(owner))
    return owner


def test_a_run_that_lives(tmp_path: Path) -> None:
    owner = alive(tmp_path)
    seen = Follower(tmp_path).look()
    assert seen.verdict == "running"
    assert seen.line == (
        "sample 2 of 3: step 250 of 1000, energy -0.5, 10 steps/s, 2.9 min left, last commit 30 s ago; "
        f"alive: pid {owner.pid} on host here"
    )
    assert seen.share == pytest.approx(1.25 / 3)


def test_phases(tmp_path: Path) -> None:
    owner = alive(tmp_path)
    write_sidecar(tmp_path / "status.json", status_of(owner, phase="building"))
    assert Follower(tmp_path).look().line.startswith("sample 2 of 3: building the system; alive")
    write_sidecar(tmp_path / "status.json", status_of(owner, token="of the run before"))
    assert Follower(tmp_path).look().line.startswith("starting; alive")
    write_sidecar(tmp_path / "status.json", status_of(owner, samples=1, sample=0, energy=None, rate=None))
    assert Follower(tmp_path).look().line.startswith("run: step 250 of 1000, energy …, last commit")


def test_a_process_of_this_machine_that_died(tmp_path: Path) -> None:
    alive(tmp_path, began="1")
    seen = Follower(tmp_path).look()
    assert seen.verdict == "dead"
    assert re.fullmatch(r"dead: pid \d+ on host here is gone; nothing is committed yet, the same command goes on .*", seen.line)


def test_a_process_that_ended_in_good_order_while_it_was_looked_at_has_not_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive(tmp_path)

    def ends(owner: Owner) -> bool:
        (tmp_path / "owner.json").unlink(missing_ok=True)
        return True

    monkeypatch.setattr(Owner, "gone", property(ends))
    assert Follower(tmp_path).look().verdict == "stopped"


def test_a_run_that_was_stopped_after_it_has_grown(tmp_path: Path) -> None:
    """Its first sample rests at the end of the shorter run, and nothing is lost."""
    short, long = (load(tables("quadratic", "sgd", schedule={"horizon": steps})) for steps in (10.0, 100.0))
    api.execute(short, tmp_path, quiet=True)
    store = Store.open(tmp_path, dump_spec(short))
    grow(store, Setting.of(long), [("schedule.horizon", 10.0, 100.0)], Crash())
    store.close()
    assert Follower(tmp_path).look().line == "stopped: committed up to step 10 of sample 1; the same command goes on"


def test_a_file_is_no_run(tmp_path: Path) -> None:
    """As is typed where `plot` takes the result itself."""
    (tmp_path / "result.nc").write_bytes(b"")
    for look in (lambda path: Follower(path).look(), api.collect):
        with pytest.raises(glassyrun.StorageError, match=r"result\.nc: is a file, expected the directory that a run wrote$"):
            look(tmp_path / "result.nc")


def test_a_heart_on_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dead when it has stood still for long by the watch of who looks; clocks of hosts are not compared."""
    owner, now = alive(tmp_path, machine="elsewhere"), [1e6]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    follower = Follower(tmp_path)
    for beat in range(5):
        write_sidecar(tmp_path / "status.json", status_of(owner, beat=beat))
        assert follower.look().verdict == "running"
        now[0] += STILL_SECONDS - 1
        assert follower.look().verdict == "running"
    now[0] += 1
    seen = follower.look()
    assert seen.verdict == "dead"
    assert f"has shown no sign of life for {STILL_SECONDS:.0f} s" in seen.line


def test_a_run_that_stopped_goes_on_and_ends(tmp_path: Path) -> None:
    spec = load(tables("quadratic", "sgd", run={"checkpoint_seconds": 1e-9}))
    assert not attempt(spec, tmp_path, Crash(after=5, gently=True))
    follower = Follower(tmp_path)
    seen = follower.look()
    assert seen.verdict == "stopped"
    assert re.fullmatch(r"stopped: committed up to step \d of sample 1; the same command goes on", seen.line)
    api.execute(spec, tmp_path, quiet=True)
    assert follower.look() == follow_run.Seen("finished", f"finished: {tmp_path / 'result.nc'}", 1.0)


def test_a_run_that_diverged(tmp_path: Path) -> None:
    dynamics = {"kind": "sgd", "learning_rate": 1e4, "batch_size": 4}
    with pytest.raises(glassyrun.Diverged):
        api.execute(load(tables("quadratic", "sgd", steps=60, dynamics=dynamics)), tmp_path, quiet=True)
    seen = Follower(tmp_path).look()
    assert seen.verdict == "diverged"
    assert "make dynamics.learning_rate smaller" in seen.line


def test_a_real_run_tells_where_it_is(tmp_path: Path) -> None:
    """Watched from within, at each waiting time."""
    lines: list[str] = []

    def spy(kept: State | None) -> float:
        if kept is not None:
            store.append((read_sidecar(tmp_path / "owner.json") or {}).get("token"))
            lines.append(Follower(tmp_path).look().line)
        return 0.0

    store: list[object] = []
    api.execute(spied(load(tables("quadratic", "sgd", steps=4)), spy), tmp_path, quiet=True)
    assert len(lines) == 5
    assert all("alive: pid" in line for line in lines)
    assert None not in store
    status = read_sidecar(tmp_path / "status.json")
    assert status is not None
    assert (status["step"], status["horizon"], status["phase"]) == (4, 4, "ended")
    assert isinstance(status["energy"], float)


class Waits:
    """Time that only waiting takes; after a while the run ends."""

    def __init__(self, directory: Path, after: int) -> None:
        self.directory, self.after, self.now = directory, after, 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.after -= 1
        if self.after == 0:
            (self.directory / "owner.json").unlink()


@pytest.mark.parametrize("terminal", [False, True])
def test_it_follows_until_the_run_ends(
    terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alive(tmp_path)
    waits = Waits(tmp_path, 25)
    monkeypatch.setattr(time, "monotonic", lambda: waits.now)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    follow(tmp_path, pause=waits.pause)
    said = capsys.readouterr().out
    assert said.count("step 250 of 1000") == 3 or terminal
    assert "stopped: nothing is committed yet; the same command goes on" in said.splitlines()[-1 - terminal]


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path)]) == 5
    assert "holds no run" in capsys.readouterr().err
    assert main(["watch", str(tmp_path / "absent"), "--once"]) == 5
    capsys.readouterr()
    alive(tmp_path)
    assert main(["watch", str(tmp_path), "--once"]) == 0
    assert capsys.readouterr().out.count("\n") == 1

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    monkeypatch.setattr(follow_run.follow, "__defaults__", (False, interrupt))
    assert main(["watch", str(tmp_path)]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_it_takes_no_lock_and_loads_nothing_heavy(tmp_path: Path) -> None:
    """While this process holds the lock, another one looks."""
    store = Store.open(tmp_path, dump_spec(load(tables("quadratic", "sgd"))))
    script = f"""
import sys
from glassyrun.cli import main
code = main(["watch", {str(tmp_path)!r}, "--once"])
print(sorted({{"torch", "xarray", "numpy", "matplotlib"}} & set(sys.modules)), code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    store.close()
    assert done.stdout.splitlines()[0].startswith("starting; alive: pid")
    assert done.stdout.endswith("[] 0\n")


@pytest.mark.parametrize("name", ["owner.json", "status.json"])
@pytest.mark.parametrize("content", HOSTILE)
def test_what_a_stranger_wrote_there_does_no_harm(name: str, content: bytes, tmp_path: Path) -> None:
    alive(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert Follower(tmp_path).look().line.isprintable()


@pytest.mark.parametrize("value", [1e308, -1e308, 0, -1, True, None, "x\x1b[2J", [], {}, float("nan"), 10**300])
@pytest.mark.parametrize("field", ["sample", "samples", "step", "horizon", "energy", "rate", "since_commit", "phase", "beat"])
def test_any_status_is_a_printable_line(field: str, value: Any, tmp_path: Path) -> None:
    owner = alive(tmp_path)
    (tmp_path / "status.json").write_text(json.dumps(status_of(owner, **{field: value})))
    assert Follower(tmp_path).look().line.isprintable()
