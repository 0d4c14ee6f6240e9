"""Asked to stop, a run saves, says how to go on, and ends with the same bytes when it has gone on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine.test_housekeeping import spied
from tests.engine_tools import load, tables

import glassyrun
from glassyrun import State, api, result
from glassyrun.spec.model import Spec
from glassyrun.stopping import HEARD, AtOnce, listening
from glassyrun.trajectories import Trajectory

SPEC = """
[system]
kind = "quadratic"
n = 8

[dynamics]
kind = "sgd"
batch_size = 2
momentum = 0.5

[schedule]
horizon = 40000
"""


def start(spec: Path, directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "glassyrun", str(spec), "-o", str(directory)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_signal_saves_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """A real process; all that follows is done within this one."""
    spec = tmp_path / "walk.toml"
    spec.write_text(SPEC)
    stopped = start(spec, tmp_path / "run")
    assert stopped.stderr is not None
    assert stopped.stderr.readline().startswith("run: ")  # it has begun
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 75, said
    assert "SIGTERM" in said
    assert "run the same command again" in said
    assert said.count("\n") <= 2
    for directory in ("run", "whole"):
        assert start(spec, tmp_path / directory).wait(timeout=120) == 0
    assert (tmp_path / "run" / "result.nc").read_bytes() == (tmp_path / "whole" / "result.nc").read_bytes()


def spec_with(spy: Callable[[State | None], float] | None = None, samples: int = 1) -> Spec:
    plain = load(tables("quadratic", "sgd", steps=6, ensemble={"samples": samples, "replicas": 2}))
    return spied(plain, spy or (lambda kept: 0.0))


def raising(number: signal.Signals, when: int, calls: list[int]) -> Callable[..., float]:
    """Sends this process a signal at the n-th call."""

    def spy(*_: Any) -> float:
        calls.append(1)
        if len(calls) == when:
            signal.raise_signal(number)
        return 0.0

    return spy


def plain_result(directory: Path, samples: int = 1) -> bytes:
    return api.execute(spec_with(samples=samples), directory, quiet=True).result.read_bytes()


@pytest.mark.parametrize("number", HEARD)
def test_the_first_signal_saves(number: signal.Signals, tmp_path: Path) -> None:
    with pytest.raises(glassyrun.Stopped, match=rf"stopped by {number.name} at step \d of 6, everything is saved in") as caught:
        api.execute(spec_with(raising(number, 3, [])), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 75
    assert plain_result(tmp_path / "run") == plain_result(tmp_path / "whole")


@pytest.mark.parametrize("second", HEARD)
def test_a_second_signal_of_any_kind_stops_at_once(second: signal.Signals, tmp_path: Path) -> None:
    """Between the two no host looks after the run: both come within one event."""
    handlers = [signal.getsignal(number) for number in HEARD]

    def twice(kept: State | None) -> float:
        if kept is not None:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(second)
        return 0.0

    with pytest.raises(AtOnce) as caught:
        api.execute(spec_with(twice), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 128 + second
    assert [signal.getsignal(number) for number in HEARD] == handlers
    assert plain_result(tmp_path / "run") == plain_result(tmp_path / "whole")


def test_a_signal_between_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Trajectory.commit

    def commit(trajectory: Trajectory, **how: Any) -> None:
        real(trajectory, **how)
        if how.get("finished") and trajectory.sample == 1:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Trajectory, "commit", commit)
    with pytest.raises(glassyrun.Stopped, match="stopped by SIGTERM before sample 3 of 3; run the same command again"):
        api.execute(spec_with(samples=3), tmp_path / "run", quiet=True)
    monkeypatch.undo()
    assert plain_result(tmp_path / "run", samples=3) == plain_result(tmp_path / "whole", samples=3)


@pytest.mark.parametrize("attribute", ["system", "stages", "observables", "start"])
def test_a_signal_while_a_system_is_built(attribute: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glassyrun.experiment import Setting

    real = getattr(Setting, attribute)

    def building(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return real(*arguments)

    monkeypatch.setattr(Setting, attribute, building)
    with pytest.raises(glassyrun.Stopped, match="stopped by SIGUSR1 at step 0 of 6"):
        api.execute(spec_with(), tmp_path / "run", quiet=True)
    monkeypatch.undo()
    assert plain_result(tmp_path / "run") == plain_result(tmp_path / "whole")


def test_a_signal_while_the_result_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is measured: the file is finished."""
    real = result.assemble

    def assemble(*arguments: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return real(*arguments, **options)

    monkeypatch.setattr(result, "assemble", assemble)
    assert not api.execute(spec_with(), tmp_path / "run", quiet=True).already_done
    monkeypatch.undo()
    assert (tmp_path / "run" / "result.nc").read_bytes() == plain_result(tmp_path / "whole")


def test_a_second_signal_while_the_result_is_written_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xarray as xr

    real = xr.Dataset.to_netcdf

    def to_netcdf(dataset: xr.Dataset, *arguments: Any, **options: Any) -> Any:
        real(dataset, *arguments, **options)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(xr.Dataset, "to_netcdf", to_netcdf)
    with pytest.raises(AtOnce):
        api.execute(spec_with(), tmp_path / "run", quiet=True)
    monkeypatch.undo()
    assert not (tmp_path / "run" / "result.nc").exists()
    assert plain_result(tmp_path / "run") == plain_result(tmp_path / "whole")


def test_a_signal_before_the_run_leaves_no_trace(tmp_path: Path) -> None:
    with listening():
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(
            glassyrun.Stopped, match="stopped by SIGUSR1 before the run began; run the same command again to go on"
        ):
            api.execute(spec_with(), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_fresh_is_not_to_be_said_again(tmp_path: Path) -> None:
    """It would throw away what was saved."""
    api.execute(spec_with(), tmp_path / "run", quiet=True)
    with pytest.raises(glassyrun.Stopped, match="run the same command again, without --fresh, to go on"):
        api.execute(spec_with(raising(signal.SIGTERM, 3, [])), tmp_path / "run", quiet=True, fresh=True)


def test_a_third_signal_does_what_it_did_before() -> None:
    """Should something swallow the second one."""
    before = signal.getsignal(signal.SIGTERM)
    with listening():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(AtOnce):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == before


def test_handlers_are_given_back_and_shared_where_one_listens_already() -> None:
    before = [signal.getsignal(number) for number in HEARD]
    with listening() as outer, listening() as inner:
        assert inner is outer
        signal.raise_signal(signal.SIGTERM)
        assert outer == {"signal": "SIGTERM", "reason": "SIGTERM"}
    assert [signal.getsignal(number) for number in HEARD] == before
    with listening() as later:
        assert later == {}


class Clock:
    """Time that only steps take."""

    now = 0.0


@pytest.mark.parametrize("cost", [0.001, 0.01, 2.0])
def test_a_signal_is_heard_within_one_chunk_in_the_last_decade(
    cost: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event between 10,000 and 100,000: after the signal at most half a second's worth of steps is done, at least one."""
    from glassyrun import trajectories
    from glassyrun_dynamics.sgd import SGD

    clock, done = Clock(), []

    def advance(dynamics: SGD, system: Any, state: State, n: int, watch: Any = None) -> None:
        clock.now += n * cost
        if state.step < 10_000:
            state.step += n  # the way there is of no interest
        else:
            done.append(n)
            if len(done) == 5:
                signal.raise_signal(signal.SIGTERM)
            state.step += n

    monkeypatch.setattr(SGD, "advance", advance)
    monkeypatch.setattr(trajectories.time, "monotonic", lambda: clock.now)
    points = [float(10**k) for k in range(6)]
    schedule = {"horizon": 1e5, "time": points, "t_w": [0.0], "t": points}
    with pytest.raises(glassyrun.Stopped) as caught:
        api.execute(load(tables("quadratic", "sgd", schedule=schedule)), tmp_path / "run", quiet=True)
    assert len(done) == 5, "a chunk was begun after the signal"
    assert max(done) <= max(1, 0.5 / cost)
    assert f"step {10_000 + sum(done)} of 100000" in str(caught.value)
