"""Mini-batches: which terms a step looks at, and what each dynamics does with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.engine_tools import load, tables
from tests.models import FreeSpins, begin, context, dynamics
from tests.networks.toy import any_module
from torch.utils._python_dispatch import TorchDispatchMode

import glassyrun
from glassyrun import Batches, Footprint, State, Stream, System, batch_count
from glassyrun.experiment import Setting
from glassyrun.watch import Watch
from glassyrun_dynamics.langevin import LangevinOptions
from glassyrun_dynamics.quench import QuenchOptions
from glassyrun_dynamics.sgd import SGDOptions
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import QuadraticOptions


def regression() -> System:
    return QuadraticOptions(n=4, terms=12, noise=0.3).build(context("system"))


def spins(n: int = 10) -> System:
    return PSpinOptions(p=3, n=n).build(context("system"))


@pytest.mark.parametrize(("terms", "size"), [(20_000, 100), (9_001, 7), (5_000, 4_999), (12_000, 5_000)])
def test_a_long_epoch_looks_at_no_term_twice(terms: int, size: int) -> None:
    """Longer than what is worked out ahead; and a batch does not depend on which were asked for before it."""
    batches = Batches(Stream("b", 3, 0), terms, size)
    for epoch in range(2):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        whole = np.concatenate([batches.batch(step, 0) for step in steps])
        assert len(np.unique(whole)) == len(whole) == terms - terms % size
        assert whole.min() >= 0
        assert whole.max() < terms
        for step in {steps[0], steps[len(steps) // 2], steps[-1]}:
            alone = Batches(Stream("b", 3, 0), terms, size).batch(step, 0)
            assert np.array_equal(alone, whole[(step - steps[0]) * size :][:size])


def test_each_epoch_has_an_order_of_its_own() -> None:
    batches = Batches(Stream("b", 3, 0), 60, 20)
    epochs = [np.concatenate([batches.batch(3 * epoch + k, 0) for k in range(3)]) for epoch in range(20)]
    assert len({tuple(epoch) for epoch in epochs}) == 20
    assert all(set(epoch) == set(range(60)) for epoch in epochs)


def test_the_remainder_of_an_epoch_is_another_one_each_time() -> None:
    batches = Batches(Stream("b", 3, 0), 50, 20)
    left = [set(range(50)) - {*batches.batch(2 * epoch, 0), *batches.batch(2 * epoch + 1, 0)} for epoch in range(30)]
    assert {len(rest) for rest in left} == {10}
    assert set.union(*left) == set(range(50))


def test_with_replacement_each_step_draws_anew() -> None:
    """All steps differ, each is the same when asked again, and over many of them each term comes up equally often."""
    batches = Batches(Stream("b", 3, 0), 40, 10, "with_replacement")
    drawn = [batches.batch(step, 1) for step in range(2_000)]
    assert len({tuple(batch) for batch in drawn}) == 2_000
    assert np.array_equal(batches.batch(77, 1), drawn[77])
    counts = np.bincount(np.concatenate(drawn), minlength=40)
    assert np.abs(counts / 500 - 1).max() < 5 / np.sqrt(500)


@pytest.mark.parametrize("sampling", ["without_replacement", "with_replacement"])
@pytest.mark.parametrize("size", [100, 7, 3000, 9000])
def test_a_batch_is_the_same_however_it_is_asked_for(sampling: Any, size: int) -> None:
    """In order or not, for one replica or for many, far ahead or one by one, on the host or on the device."""
    terms, cpu = 9_050, torch.device("cpu")
    far = Batches(Stream("b", 3, 0), terms, size, sampling)
    near = Batches(Stream("b", 3, 0), terms, size, sampling, ahead=1)
    for step in (0, 1, 2, 57, 58, 300, 41, 0):
        rows = far.draw(step, 3, cpu)
        assert torch.equal(rows, near.draw(step, 3, cpu))
        assert torch.equal(rows[:1], far.draw(step, 1, cpu))
        assert torch.equal(rows[:1], Batches(Stream("b", 3, 0), terms, size, sampling).draw(step, 1, cpu))
        for replica in range(3):
            assert np.array_equal(far.batch(step, replica), rows[replica].numpy())


@pytest.mark.parametrize("sampling", ["without_replacement", "with_replacement"])
def test_a_step_copies_nothing_to_the_device(sampling: Any) -> None:
    """One copy a block of 40 batches, and in between only views; as on any device whose memory is not the host's."""
    batches, device = Batches(Stream("b", 3, 0), 50_000, 100, sampling), torch.device("meta")
    with Counted() as counted:
        rows = [batches.draw(step, 4, device) for step in range(80)]
    assert {tuple(row.shape) for row in rows} == {(4, 100)}
    assert counted.names.count("aten::_to_copy") == 2
    assert set(counted.names) <= {"aten::lift_fresh", "aten::_to_copy", "aten::select"}


class Counted(TorchDispatchMode):
    """Notes every torch operation; indexing by a mask as `aten::nonzero`, which it is on a device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(function.name().partition(".")[0])
        indices = args[1] if "aten::index" in self.names[-1] and len(args) > 1 and isinstance(args[1], list | tuple) else ()
        if any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices):
            self.names.append("aten::nonzero")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("quench", {"scheme": "heun"}),
        ("quench", {"batch_size": 4}),
        ("langevin", {"temperature": 0.01}),
        ("langevin", {"temperature": 0.01, "batch_size": 4, "ramp": {"start": 0.1, "until": 1.0}}),
        ("sgd", {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True, "batch_size": 4}),
        ("sgd", {"batch_size": 4, "sampling": "with_replacement"}),
    ],
)
@pytest.mark.parametrize("make", ["pspin", "quadratic", "cnn"])
def test_no_step_of_a_chunk_waits_for_the_device(make: str, kind: str, options: dict[str, Any]) -> None:
    """No number is asked for by the host, as `.item()`, `bool(…)`, a mask or a comparison of tensors would."""
    options = {name: value for name, value in options.items() if make != "pspin" or name != "weight_decay"}
    system = Setting.of(load(tables(make, kind))).system(0)
    moves = dynamics(kind, system, **options)
    state, watch = begin(system, moves, 2), Watch.over(torch.zeros(2, 1), True)
    with Counted() as counted:
        moves.advance(system, state, 5, watch)
    assert state.step == 5
    assert len(counted.names) > 20
    asked = {name for name in counted.names if name.removeprefix("aten::") in ASKING}
    assert not asked


ASKING = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "masked_select", "unique_dim", "_unique2", "allclose")
"""What can't be answered before the device has come to it."""


@pytest.mark.parametrize(
    "ask", [lambda x: x.sum().item(), lambda x: bool(x[0] > 0), lambda x: x[x > 0], lambda x: float(x.max())]
)
def test_waiting_for_the_device_would_be_seen(ask: Any) -> None:
    with Counted() as counted:
        ask(torch.ones(3))
    assert {name.removeprefix("aten::") for name in counted.names} & set(ASKING)


def test_batches_of_two_sizes_from_one_stream_have_nothing_in_common() -> None:
    """Stages of a protocol share a stream: with another size the same epoch must not bring the same order again."""
    small, large = (Batches(Stream("b", 3, 0), 1_000, size) for size in (50, 100))
    ahead = np.concatenate([small.batch(step, 0) for step in range(20)])
    again = np.concatenate([large.batch(step, 0) for step in range(10)])
    assert (ahead == again).sum() < 10


@pytest.mark.parametrize(("size", "count"), [(20, 20), (1, 1), (80, 80), (0.25, 20), (1.0, 80), (0.99, 79), (0.5, 40), (1e-6, 1)])
def test_a_batch_size_is_a_number_or_a_share(size: int | float, count: int) -> None:
    assert batch_count(size, 80) == count
    system = QuadraticOptions(n=2, terms=80).build(context("system"))
    for kind, options in (("quench", {}), ("langevin", {"temperature": 0.0}), ("sgd", {})):
        moves = dynamics(kind, system, batch_size=size, sampling="with_replacement", **options)
        assert moves.draw(0, begin(system, moves, 3)).batch.shape == (3, count)


@pytest.mark.parametrize(("size", "said", "not_said"), [(5, "2 terms", "all terms"), (4, "4 of 12", "left out")])
@pytest.mark.parametrize("kind", ["sgd", "quench", "langevin"])
def test_the_result_says_how_terms_were_looked_at(kind: str, size: int, said: str, not_said: str) -> None:
    table: dict[str, Any] = {"kind": kind, "batch_size": size} | ({"temperature": 0.1} if kind == "langevin" else {})
    about = glassyrun.run(tables("quadratic", kind, steps=3, dynamics=table), quiet=True).attrs["dynamics_batches"]
    assert f"{size} of 12" in about
    assert said in about
    assert not_said not in about
    assert ("left out" in about) == (size == 5)


# What descends, and so what a rise of the energy means.


@pytest.mark.parametrize(
    "table",
    [
        {"kind": "quench", "dt": 0.3, "batch_size": 2},
        {"kind": "quench", "dt": 0.3, "batch_size": 2, "scheme": "heun"},
        {"kind": "langevin", "dt": 0.3, "temperature": 0.0, "batch_size": 2},
        {"kind": "langevin", "dt": 0.1, "temperature": 0.5},
        {"kind": "langevin", "dt": 0.1, "temperature": 0.0, "ramp": {"start": 1.0, "until": 3.0}},
    ],
)
@pytest.mark.parametrize("system", ["quadratic", "pspin"])
def test_a_noisy_rise_does_not_stop_a_noisy_dynamics(system: str, table: dict[str, Any]) -> None:
    ds = glassyrun.run(tables(system, str(table["kind"]), steps=60, dynamics=table, schedule={"horizon": 18.0}), quiet=True)
    assert ds.attrs["complete"] == 1


@pytest.mark.parametrize(
    "table",
    [
        {"kind": "quench", "dt": 3.0},
        {"kind": "quench", "dt": 3.0, "scheme": "heun"},
        {"kind": "quench", "dt": 3.0, "batch_size": 1.0},
        {"kind": "langevin", "dt": 3.0, "temperature": 0.0},
    ],
)
def test_a_rise_stops_what_can_only_descend(table: dict[str, Any]) -> None:
    """On the sphere: nothing overflows there, so only the rise tells."""
    with pytest.raises(glassyrun.Diverged, match="rose to"):
        glassyrun.run(tables("pspin", str(table["kind"]), dynamics=table, schedule={"horizon": 300.0}), quiet=True)


def test_a_ramp_to_zero_is_hot_until_its_end_and_cold_after() -> None:
    """Without couplings x moves by noise alone: at first, and no more once T = 0."""
    system = FreeSpins(6)
    moves = dynamics("langevin", system, dt=0.1, temperature=0.0, ramp={"start": 2.0, "until": 1.0})
    state = begin(system, moves, 2)
    start = state.x.clone()
    moves.advance(system, state, 10)
    at_the_end = state.x.clone()
    assert float((at_the_end - start).abs().min(1).values.max()) > 1e-3
    moves.advance(system, state, 10)
    torch.testing.assert_close(state.x, at_the_end, rtol=1e-12, atol=1e-12)


# The same steps, written by hand.


def by_hand(system: System, x: np.ndarray, batch: torch.Tensor | None, dt: float, scheme: str) -> np.ndarray:
    """One step of −P∇H by Euler or Heun with the gradient of the given terms."""
    sphere = system.dof if isinstance(system.manifold, glassyrun.Sphere) else None

    def slope(at: np.ndarray) -> np.ndarray:
        raw = system.gradient(State(torch.from_numpy(at.copy())), batch).gradient.numpy()
        return raw if sphere is None else raw - (raw * at).sum(1, keepdims=True) / sphere * at

    def back(at: np.ndarray) -> np.ndarray:
        return at if sphere is None else at * np.sqrt(sphere) / np.linalg.norm(at, axis=1, keepdims=True)

    first = slope(x)
    ahead = back(x - dt * first)
    return ahead if scheme == "euler" else back(x - dt / 2 * (first + slope(ahead)))


@pytest.mark.parametrize("make", [regression, spins])
@pytest.mark.parametrize("sampling", ["without_replacement", "with_replacement"])
@pytest.mark.parametrize(
    ("kind", "options", "scheme"),
    [
        ("quench", {"scheme": "euler"}, "euler"),
        ("quench", {"scheme": "heun"}, "heun"),
        ("langevin", {"temperature": 0.0}, "heun"),
        ("sgd", {}, "euler"),
    ],
)
def test_mini_batches_are_what_a_step_goes_down(
    make: Any, sampling: str, kind: str, options: dict[str, Any], scheme: str
) -> None:
    system, dt = make(), 0.02
    step = {"learning_rate": dt} if kind == "sgd" else {"dt": dt}
    moves = dynamics(kind, system, batch_size=5, sampling=sampling, **step, **options)
    state = begin(system, moves, 2)
    x = state.x.numpy().copy()
    for k in range(30):
        batch = moves.draw(k, state).batch
        assert batch.shape == (2, 5)
        x = by_hand(system, x, batch, dt, scheme)
        moves.advance(system, state, 1)
        np.testing.assert_allclose(state.x.numpy(), x, rtol=1e-10, atol=1e-11)


def test_hot_langevin_goes_down_its_mini_batches() -> None:
    """In flat space: noise of half a step, Heun down the terms drawn, noise of half a step."""
    system = regression()
    moves = dynamics("langevin", system, dt=0.05, temperature=0.3, batch_size=3)
    state = begin(system, moves, 2)
    x = state.x.numpy().copy()
    for k in range(20):
        draw = moves.draw(k, state)
        before, after = (np.sqrt(0.3 * 0.05) * noise.numpy() for noise in draw.noise)
        x = by_hand(system, x + before, draw.batch, 0.05, "heun") + after
        moves.advance(system, state, 1)
        np.testing.assert_allclose(state.x.numpy(), x, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sgd_on_the_sphere_goes_along_its_tangent_gradient(momentum: float) -> None:
    """v ← βv + Pg, x ← R(x − αv), v ← Pv: with g itself the radial part would change the length of the step."""
    system, rate = spins(), 0.02
    moves = dynamics("sgd", system, learning_rate=rate, momentum=momentum, batch_size=60)
    state = begin(system, moves, 2)
    x = state.x.numpy().copy()
    v = np.zeros_like(x)
    for k in range(20):
        g = system.gradient(State(torch.from_numpy(x.copy())), moves.draw(k, state).batch).gradient.numpy()
        v = momentum * v + g - (g * x).sum(1, keepdims=True) / 10 * x
        moved = x - rate * v
        x = moved * np.sqrt(10) / np.linalg.norm(moved, axis=1, keepdims=True)
        v = v - (v * x).sum(1, keepdims=True) / 10 * x
        moves.advance(system, state, 1)
        np.testing.assert_allclose(state.x.numpy(), x, rtol=1e-10, atol=1e-11)


# The System's memory.

LOOKS = [
    ("quench", {"dt": 0.05, "scheme": "euler"}, 1),
    ("quench", {"dt": 0.05, "scheme": "heun"}, 2),
    ("langevin", {"dt": 0.05, "temperature": 1e-4}, 2),
    ("langevin", {"dt": 0.05, "temperature": 0.0}, 2),
    ("sgd", {"learning_rate": 0.05}, 1),
    ("sgd", {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01}, 1),
]


@pytest.mark.parametrize("batch_size", [None, 12])
@pytest.mark.parametrize(("kind", "options", "looks"), LOOKS)
def test_batch_norm_remembers_every_look(kind: str, options: dict[str, Any], looks: int, batch_size: int | None) -> None:
    """torch's own count of looks, and running statistics that move at each of them, for each replica by its own."""
    system = any_module("batch_norm")
    moves = dynamics(kind, system, batch_size=batch_size, **options)
    state = begin(system, moves, 2)
    (counter,) = (name for name in state.system if "num_batches_tracked" in name)
    statistics = [name for name in state.system if "running" in name]
    assert len(statistics) == 2
    for step in range(1, 4):
        before = {name: state.system[name].clone() for name in statistics}
        moves.advance(system, state, 1)
        assert state.system[counter].tolist() == [looks * step] * 2
        for name in statistics:
            assert (state.system[name] != before[name]).any(1).all(), name
            assert not torch.equal(state.system[name][0], state.system[name][1])


# How hot the noise of mini-batches is.


def foretold(notes: tuple[str, ...]) -> float:
    (line,) = (note for note in notes if "temperature" in note)
    return float(line.rsplit(" ", 1)[1])


@pytest.mark.parametrize(
    ("options", "step"),
    [
        (SGDOptions(learning_rate=0.01, batch_size=100), 0.01),
        (SGDOptions(learning_rate=0.01, momentum=0.9, batch_size=100), 0.1),
        (SGDOptions(learning_rate=0.02, momentum=0.5, batch_size=100), 0.04),
        (QuenchOptions(dt=0.03, batch_size=100), 0.03),
        (LangevinOptions(dt=0.05, temperature=0.1, batch_size=100), 0.05),
    ],
)
@pytest.mark.parametrize("p", [2, 3])
def test_the_temperature_of_mini_batches(options: Any, step: float, p: int) -> None:
    """T_eff = α/(1−β) (p/4)(M/B − 1) without replacement, M/B with."""
    system = PSpinOptions(p=p, n=512)
    notes = options.notes(Footprint(512, 400, 0), system)
    assert foretold(notes) == pytest.approx(step * p / 4 * 3, rel=1e-3)
    assert any("1/4 " in note for note in notes)
    again = options.model_copy(update={"sampling": "with_replacement"}).notes(Footprint(512, 400, 0), system)
    assert foretold(again) == pytest.approx(step * p / 4 * 4, rel=1e-3)


@pytest.mark.parametrize("sampling", ["without_replacement", "with_replacement"])
def test_the_temperature_foretold_is_that_of_the_batches(sampling: Any) -> None:
    """α/2 times the variance of a tangent component of g_B, over samples and points: T_eff of the plan within a tenth.

    A third of the terms is in each batch, so that the two samplings differ by M/B over M/B − 1, one and a half.
    """
    options, rate, measured = PSpinOptions(p=3, n=24), 0.01, []
    sgd = SGDOptions(learning_rate=rate, batch_size=1 / 3, sampling=sampling)
    for seed in range(8):
        system = options.build(context("system", seed=seed))
        moves = sgd.build(context("dynamics", seed=seed), system)
        state = begin(system, moves, 2, seed=seed)
        whole = system.gradient(state).gradient
        deviations = torch.stack(
            [
                system.manifold.project(state.x, system.gradient(state, moves.draw(k, state).batch).gradient - whole)
                for k in range(40)
            ]
        )
        measured.append(float(deviations.square().mean()) * rate / 2)
    terms = system.terms
    assert np.mean(measured) == pytest.approx(foretold(sgd.notes(Footprint(24, terms, 0), options)), rel=0.1)


def test_a_spec_without_batches_says_nothing_of_them() -> None:
    spec = load(tables("pspin", "quench"))
    assert spec.dynamics.notes(Footprint(12, 364, 0), spec.system) == ()
