"""What must hold for each pairing of a network and a dynamics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from glassyrun import State, api
from glassyrun.experiment import Setting
from glassyrun.spec.model import Spec
from tests.engine_tools import Crash, Killed, final_state

PLUGIN = Path(__file__).with_name("toy_plugin.py")
IMAGES = {"kind": "toy_images", "train": 12, "test": 4}
SYSTEMS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "widths": [5, 4], "chunk": 8, "data": {"kind": "toy_vectors", "train": 24}},
    "cnn": {"kind": "cnn", "channels": [2, 3], "hidden": 4, "chunk": 8, "data": IMAGES},
    "resnet18": {"kind": "resnet18", "stem": "cifar", "chunk": 6, "data": IMAGES},
    "group norm": {"kind": "resnet18", "norm": "group", "chunk": 6, "data": IMAGES},
}
DYNAMICS: dict[str, dict[str, Any]] = {
    "quench": {"kind": "quench", "dt": 1e-3},
    "langevin": {"kind": "langevin", "dt": 1e-3, "temperature": 1e-6, "batch_size": 4},
    "sgd": {"kind": "sgd", "learning_rate": 0.02, "momentum": 0.5, "batch_size": 4},
}
PAIRS = [(system, moves) for system in ("mlp", "cnn", "resnet18") for moves in DYNAMICS]


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet18 with half the channels of each layer, or an eighth with batch norm, so that tests take seconds, not minutes."""

    def resnet18(norm_layer: Callable[[int], nn.Module], num_classes: int, weights: None) -> nn.Module:
        factor = 8 if norm_layer is nn.BatchNorm2d else 2

        class Thin(ResNet):
            def _make_layer(self, block, planes, *arguments, **options):
                return super()._make_layer(block, planes // factor, *arguments, **options)

        module = Thin(BasicBlock, [2, 2, 2, 2], num_classes=num_classes, norm_layer=norm_layer)
        module.fc = nn.Linear(512 // factor, num_classes)
        return module

    monkeypatch.setattr("torchvision.models.resnet18", resnet18)


def spec_of(system: str, moves: str, /, dtype: str = "float32", **changes: Any) -> Spec:
    """A few steps, everything measured at every step."""
    steps, dt = 6, DYNAMICS[moves].get("dt", 1.0)
    grid = {"from": 0.0, "to": steps * dt, "n": steps + 1}
    kinds = ["energy", "msd", "overlap", "displacement", "gradient_norm", "test", "train"]
    source: dict[str, Any] = {
        "seed": 3,
        "system": SYSTEMS[system],
        "dynamics": DYNAMICS[moves],
        "schedule": {"horizon": steps * dt, "time": grid, "t_w": [0.0, 2 * dt], "t": grid},
        "ensemble": {"replicas": 2},
        "observables": [{"kind": kind} for kind in kinds],
        "run": {"dtype": dtype, "checkpoint_seconds": 3600.0},
    }
    return api.load(source | changes, plugins=[PLUGIN])


def same(one: State, other: State) -> None:
    assert one.step == other.step
    assert torch.equal(one.x, other.x)
    for memory, copy in ((one.system, other.system), (one.dynamics, other.dynamics)):
        assert memory.keys() == copy.keys()
        assert all(torch.equal(value, copy[name]) for name, value in memory.items())


@pytest.mark.parametrize(("system", "moves"), PAIRS)
def test_undisturbed_and_resumed(system: str, moves: str, tmp_path: Path) -> None:
    """The same bits with every observable at every step in one go, and with one, killed on the way and gone on with."""
    spec = spec_of(system, moves)
    whole = final_state(spec, tmp_path / "all")
    assert (system == "resnet18") == bool(whole.system)
    often = spec.run.model_copy(update={"checkpoint_seconds": 1e-9})
    fewer = spec.model_copy(update={"run": often, "observables": spec.observables[:1]})
    with pytest.raises(Killed):
        final_state(fewer, tmp_path / "parts", Crash(after=2))
    same(whole, final_state(fewer, tmp_path / "parts"))


@pytest.mark.parametrize(("system", "l2"), [("mlp", 0.0), ("mlp", 0.1), ("cnn", 0.0), ("cnn", 0.1), ("group norm", 0.0)])
def test_batches_of_all_terms_and_of_parts(system: str, l2: float) -> None:
    """A batch of every term is the whole; the mean over a partition into equal batches is, too (batch norm aside)."""
    setting = Setting.of(spec_of(system, "sgd", "float64", system=SYSTEMS[system] | {"l2": l2}))
    network = setting.system(0)
    state = setting.start(network, setting.dynamics(network, 0), 0)
    order = torch.randperm(network.terms, generator=torch.Generator().manual_seed(1))
    whole = network.gradient(state)
    torch.testing.assert_close(whole.energy, network.energy(state), rtol=1e-11, atol=0)
    listed = network.gradient(state, order.expand(state.replicas, -1))
    parts = [network.gradient(state, part.expand(state.replicas, -1)) for part in order.split(4)]
    gradients, energies = [torch.stack(values).mean(0) for values in zip(*[(p.gradient, p.energy) for p in parts], strict=True)]
    for gradient, energy in ((listed.gradient, listed.energy), (gradients, energies)):
        torch.testing.assert_close(gradient, whole.gradient, rtol=1e-8, atol=1e-11)
        torch.testing.assert_close(energy, whole.energy, rtol=1e-11, atol=0)
    subsets = torch.stack([network.energy(state, part) for part in order.split(4)]).mean(0)
    torch.testing.assert_close(subsets, whole.energy, rtol=1e-11, atol=0)


def test_with_batch_norm_neither_holds() -> None:
    """The gradient depends on how the examples are cut; the cut is fixed, and the same in every run."""
    found = {}
    for chunk in (6, 6, 12):
        setting = Setting.of(spec_of("resnet18", "sgd", system=SYSTEMS["resnet18"] | {"chunk": chunk}))
        network = setting.system(0)
        state = setting.start(network, setting.dynamics(network, 0), 0)
        gradient = network.gradient(state).gradient
        if chunk in found:
            assert torch.equal(found[chunk], gradient)
        found[chunk] = gradient
        assert ((network.gradient(state).energy - network.energy(state)).abs() > 0.01).all()
    assert ((found[6] - found[12]).norm(dim=1) > 0.1 * found[12].norm(dim=1)).all()
