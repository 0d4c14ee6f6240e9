"""Every spec that is shipped runs, and says what it is and costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import glassyrun
from glassyrun import Context, LabelledData
from tests.shipped import SPECS, small


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged samples, and for CIFAR-100, which has none, images that were never photographed."""
    import torch

    from glassyrun_networks.data.cifar100 import Cifar100Options

    def invented(self: Cifar100Options, context: Context) -> LabelledData:
        chance = torch.Generator().manual_seed(0)
        images = torch.randint(256, (400, 3, 32, 32), generator=chance, dtype=torch.uint8)
        labels = torch.arange(400) % 100
        return LabelledData(images, labels, images[:20], labels[:20], classes=100)

    monkeypatch.setattr(Cifar100Options, "whole", invented)
    monkeypatch.setattr("glassyrun_networks.data.images.SAMPLE_SECONDS", 0.01)


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSYRUN_DATA", str(tmp_path))
    spec = small(path)
    if spec.system.kind == "resnet18" and spec.system.data.kind == "cifar100":
        spec = spec.model_copy(
            update={"system": spec.system.model_copy(update={"data": spec.system.data.model_copy(update={"subset": 100})})}
        )
    result = glassyrun.run(spec, quiet=True)
    assert result.attrs["complete"] == 1
    for name, values in result.data_vars.items():
        measured = values.isel(time=-1) if "time" in values.dims else values.isel(t_w=0)
        assert np.isfinite(measured.values).any(), name


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_comment_says_what_it_is_and_what_it_costs(path: Path) -> None:
    comment = path.read_text(encoding="utf-8").partition("\n[")[0]
    assert all(line.startswith("#") for line in comment.strip().splitlines())
    assert "Cost" in comment


def test_the_protocol_of_the_paper() -> None:
    """Batch 100, learning rate 0.01, logarithmic grids to the end of any horizon, no augmentation (there is none to switch on)."""
    for name in ("mnist_toy", "mnist_fc", "cifar10_cnn", "cifar10_resnet18", "cifar100_resnet18"):
        spec = glassyrun.load(next(path for path in SPECS if path.stem == name))
        assert (spec.dynamics.kind, spec.dynamics.batch_size, spec.dynamics.learning_rate) == ("sgd", 100, 0.01)
        assert (spec.schedule.t_w.to, spec.schedule.t.to) == (None, None)
