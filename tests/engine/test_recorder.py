"""Readings on their way to the result: their type, their size, and dimensions as long as x."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from tests.engine.test_resume import attempt, bytes_of
from tests.engine_tools import Crash, load, tables

import glassyrun
from glassyrun import Observable, ObservableOptions, PluginError, Reference, Snapshot, Variable, api
from glassyrun.recorder import BYTES, CAPACITY, Recorder
from glassyrun.spec.model import Spec


class _Keeping(Observable):
    """x at each waiting time in both precisions, and a number of each replica."""

    grid = "t_w"

    def __init__(self, dof: int, dtype: str = "float32") -> None:
        self.variables = {
            "half": Variable("x", dims=("replica", "dof"), coords={"dof": range(dof)}, dtype=dtype),  # type: ignore[arg-type]
            "whole": Variable("x", dims=("replica", "dof"), coords={"dof": range(dof)}),
            "first": Variable("x of the first"),
        }

    def read(self, now: Snapshot, then: Reference | None) -> dict[str, torch.Tensor]:
        return {"half": now.state.x, "whole": now.state.x, "first": now.state.x[:, 0]}


class _KeepingOptions(ObservableOptions):
    """Keeps x."""

    kind: str = "keeping"
    dtype: str = "float32"

    def build(self, context: object, system: glassyrun.System) -> _Keeping:
        return _Keeping(system.dof, self.dtype)


def keeping(**options: str) -> Spec:
    schedule = {"horizon": 12.0, "time": [0.0], "t_w": {"to": 12.0, "n": 13}, "t": [0.0]}
    spec = load(tables("quadratic", "sgd", schedule=schedule, run={"dtype": "float64", "checkpoint_seconds": 1e-9}))
    return spec.model_copy(update={"observables": [_KeepingOptions(**options)]})


def test_a_variable_is_kept_in_its_own_precision(tmp_path: Path) -> None:
    assert attempt(keeping(), tmp_path / "whole", Crash())
    while not attempt(keeping(), tmp_path / "parts", Crash(after=3)):
        pass
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")
    with xr.open_dataset(tmp_path / "whole" / "result.nc") as ds:
        assert (ds.half.dtype, ds.whole.dtype, ds.first.dtype) == (np.float32, np.float64, np.float64)
        np.testing.assert_array_equal(ds.half, ds.whole.astype(np.float32))
        assert (ds.half.values != ds.whole.values).any()
        assert ds.half.dims == ("sample", "replica", "t_w", "dof")
        assert ds.dof.values.tolist() == [0, 1, 2, 3, 4]


def test_a_dimension_as_long_as_x_does_not_fill_the_manifest(tmp_path: Path) -> None:
    spec = keeping()
    sizes = []
    for n in (5, 4000):
        wide = spec.model_copy(update={"system": spec.system.model_copy(update={"n": n, "terms": 12})})
        api.execute(wide, tmp_path / str(n), quiet=True)
        sizes.append((tmp_path / str(n) / "manifest.json").stat().st_size)
    assert sizes[1] - sizes[0] < 200


def test_another_dtype_is_refused() -> None:
    with pytest.raises(PluginError, match="half has the dtype 'float16', expected one of float64, float32"):
        glassyrun.run(keeping(dtype="float16"), quiet=True)


@pytest.mark.parametrize(
    ("dof", "points", "room"),
    [(4, 10**6, CAPACITY), (4, 7, 7), (100_000, 10**6, BYTES // (2 * 100_000 * 4)), (100_000_000, 10, 1)],
)
def test_what_waits_on_the_device_is_bounded(dof: int, points: int, room: int) -> None:
    """In bytes, in number, by what the grid asks for, and never below one reading; nothing is touched here."""
    recorder = Recorder({"keeping": _Keeping(dof)}, 2, {"t_w": points})
    buffer = recorder._buffer("keeping", "half", (2, dof), torch.device("meta"))
    assert tuple(buffer.waiting.shape) == (room, 2, dof)
    assert buffer.waiting.dtype == torch.float32


def test_readings_come_back_in_order_where_a_buffer_holds_few(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = glassyrun.run(keeping(), quiet=True)
    monkeypatch.setattr("glassyrun.recorder.BYTES", 2 * 2 * 5 * 8)
    few = glassyrun.run(keeping(), quiet=True)
    xr.testing.assert_identical(plain, few)
