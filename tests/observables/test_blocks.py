"""Readings block by block, norms, and the direction of x."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models import FreeSpins
from tests.observables.tools import Parts, built, normal, read

from glassyrun import ObservableOptions, Refusal, State
from glassyrun_observables import pieces
from glassyrun_observables.angular import AngularOptions
from glassyrun_observables.displacement import DisplacementOptions, MsdOptions
from glassyrun_observables.norm import WeightNormOptions
from glassyrun_observables.overlap import OverlapOptions

SIZES = (7, 1, 12)


@pytest.fixture(params=[None, 5], ids=["one piece", "small pieces"])
def _cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """x is looked at whole, or three components of two replicas at a time."""
    if request.param is not None:
        monkeypatch.setattr(pieces, "PIECE", request.param + 1)


def two_states(seed: int = 0) -> tuple[Parts, State, State]:
    system = Parts(SIZES)
    return system, State(normal(seed, 2, system.dof, scale=1.3)), State(normal(seed + 1, 2, system.dof))


@pytest.mark.usefixtures("_cut")
@pytest.mark.parametrize("options", [MsdOptions(blocks=True), OverlapOptions(blocks=True), WeightNormOptions(blocks=True)])
def test_blocks_weighted_by_their_size_give_the_whole(options: ObservableOptions) -> None:
    system, now, then = two_states()
    values = read(options, system, now, then)
    weights = np.array(SIZES) / sum(SIZES)
    np.testing.assert_allclose(values[f"{options.kind}_block"] @ weights, values[options.kind], rtol=1e-13)


@pytest.mark.usefixtures("_cut")
def test_each_block_is_read_by_itself() -> None:
    """Against NumPy, block by block: Δ, C, its cosine, |x|²/n, the angle."""
    system, now, then = two_states()
    tables = (MsdOptions, OverlapOptions, WeightNormOptions, AngularOptions)
    values = {name: value for table in tables for name, value in read(table(blocks=True), system, now, then).items()}
    for k, where in enumerate(system.blocks.values()):
        x, past = now.x.numpy()[:, where], then.x.numpy()[:, where]
        cosine = (x * past).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(past, axis=1)
        expected = {
            "msd": ((x - past) ** 2).mean(1),
            "overlap": (x * past).mean(1),
            "overlap_normalised": cosine,
            "weight_norm": (x**2).mean(1),
            "angular": 2 - 2 * cosine,
            "angular_angle": np.arccos(np.clip(cosine, -1, 1)),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(values[f"{name}_block"][:, k], value, rtol=1e-10, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("table", [MsdOptions, OverlapOptions, WeightNormOptions, AngularOptions])
def test_blocks_are_named_and_sized(table: type[MsdOptions]) -> None:
    observable = built(table(blocks=True), Parts(SIZES))
    variable = observable.variables[f"{table().kind}_block"]
    assert variable.dims == ("replica", "block")
    assert list(variable.coords["block"]) == ["layer0", "layer1", "layer2"]
    assert variable.attributes["block_sizes"] == "layer0: 7, layer1: 1, layer2: 12"
    assert not any("block" in name for name in built(table(), Parts(SIZES)).variables)


@pytest.mark.parametrize("table", [MsdOptions, OverlapOptions, WeightNormOptions, AngularOptions])
def test_a_system_without_blocks_can_not_be_read_by_block(table: type[MsdOptions]) -> None:
    system = FreeSpins(5)
    system.blocks = {}
    with pytest.raises(Refusal, match=rf"observables\.{table().kind}\.blocks: found true, but a FreeSpins has no blocks; leave"):
        built(table(blocks=True), system)
    built(table(), system)


@pytest.mark.usefixtures("_cut")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_looking_leaves_x_and_the_reference_alone(dtype: torch.dtype) -> None:
    """In float64 a careless `.double()` hands out x itself, which sums in place would then destroy."""
    system, now, then = two_states()
    now, then = State(now.x.to(dtype)), State(then.x.to(dtype))
    before, before_then = now.x.clone(), then.x.clone()
    for options in (MsdOptions(), OverlapOptions(), WeightNormOptions(), AngularOptions(), DisplacementOptions()):
        read(options, system, now, then)
        assert torch.equal(now.x, before), options.kind
        assert torch.equal(then.x, before_then), options.kind


@pytest.mark.usefixtures("_cut")
def test_the_direction_does_not_feel_the_length() -> None:
    """Each block of x and of its past by a factor of its own; powers of two, so that not a bit changes."""
    system, now, then = two_states()
    factors, others = (
        torch.tensor(values).repeat_interleave(torch.tensor(SIZES)) for values in ((2.0, 0.25, 64.0), (8.0, 1.0, 0.5))
    )
    plain = read(AngularOptions(blocks=True), system, now, then)
    scaled = read(AngularOptions(blocks=True), system, State(now.x * factors), State(then.x * others))
    whole = read(AngularOptions(), system, State(4 * now.x), State(0.125 * then.x))
    for name in ("angular", "angular_angle"):
        assert np.array_equal(scaled[f"{name}_block"], plain[f"{name}_block"])
        assert np.array_equal(whole[name], plain[name])
        assert not np.allclose(scaled[name], plain[name], rtol=0.01)


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 0.3, np.pi / 2, 3.0, np.pi])
def test_angles_large_and_small(angle: float) -> None:
    """A rotation by a known angle: |u − u′|² = 4 sin²(angle/2), in float64 down to 10⁻⁹."""
    then = torch.zeros(1, 20, dtype=torch.float64)
    then[0, 3] = 5.0
    now = torch.zeros_like(then)
    now[0, 3], now[0, 11] = 2 * np.cos(angle), 2 * np.sin(angle)
    values = read(AngularOptions(), Parts(SIZES), State(now), State(then))
    np.testing.assert_allclose(values["angular_angle"], angle, rtol=1e-12)
    np.testing.assert_allclose(values["angular"], 4 * np.sin(angle / 2) ** 2, rtol=1e-12)


def test_what_is_zero_has_no_direction() -> None:
    system, now, then = two_states()
    then.x[:, system.blocks["layer1"]] = 0.0
    values = read(AngularOptions(blocks=True), system, now, then)
    assert np.isnan(values["angular_block"][:, 1]).all()
    assert np.isnan(values["angular_angle_block"][:, 1]).all()
    assert np.isfinite(values["angular_block"][:, [0, 2]]).all()
    assert np.isfinite(values["angular"]).all()


def test_the_norm_is_one_on_the_sphere() -> None:
    system = FreeSpins(30)
    x = system.manifold.retract(normal(3, 2, 30))
    np.testing.assert_allclose(read(WeightNormOptions(), system, State(x))["weight_norm"], 1, rtol=1e-12)
