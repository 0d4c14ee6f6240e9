"""Products with the Hessian that p-spins and networks give themselves, against dense Hessians by autograd and against differences."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import torch
from tests.models import context, streams
from tests.networks.toy import ToyImages, ToyVectors, any_module, normalised, outputs_of, tiny_cnn, tiny_mlp
from tests.observables.tools import normal, read

from glassyrun import State, System
from glassyrun_landscape import Curvature, Curved, HessianSpectrumOptions
from glassyrun_networks.network import Network
from glassyrun_pspin.options import PSpinOptions
from glassyrun_pspin.system import PSpin

BATCH = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
"""Other terms for each replica, some of them twice."""


def glass(n: int = 9, dtype: torch.dtype = torch.float64, **options: Any) -> PSpin:
    system = PSpinOptions(n=n, **options).build(context("system", dtype=dtype))
    assert isinstance(system, PSpin)
    return system


def written_out(system: PSpin, x: torch.Tensor, terms: torch.Tensor | None) -> torch.Tensor:
    """−(M/B) Σ J x…x over terms one by one."""
    chosen = torch.arange(system.terms) if terms is None else terms
    total, first = x.new_zeros(()), 0
    for part in system.parts:
        mine = chosen[(chosen >= first) & (chosen < first + part.terms)] - first
        couplings, sites = part.pick(mine)
        total, first = total - (couplings.double() * x[sites].prod(1)).sum(), first + part.terms
    return total * system.terms / len(chosen)


def dense(system: PSpin, x: torch.Tensor, terms: torch.Tensor | None) -> torch.Tensor:
    return torch.func.hessian(lambda at: written_out(system, at, terms))(x)


GLASSES: list[dict[str, Any]] = [
    *({"p": p} for p in (2, 3, 4, 5, 6)),
    {"mixture": {"2": 0.5, "4": -1.0}},
    {"mixture": {"2": 1.0, "3": 1.0, "5": 0.7}},
    {"p": 3, "diagonals": False},
    {"p": 3, "n": 20, "dilution": 2.0},
    {"p": 3, "couplings": "binary"},
]


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("options", GLASSES)
def test_a_glass_gives_exact_products(options: dict[str, Any], batched: bool) -> None:
    system = glass(**options)
    state = system.initial(streams(2))
    vectors = 1e3 * normal(3, 2, system.dof)  # no size of v matters
    batch = torch.randint(system.terms, (2, 40), generator=torch.Generator().manual_seed(1)) if batched else None
    products = system.hessian_product(state, vectors, batch)
    for r, product in enumerate(products):
        known = dense(system, state.x[r], None if batch is None else batch[r]) @ vectors[r]
        torch.testing.assert_close(product, known, rtol=1e-12, atol=1e-12 * float(known.abs().max()))


def test_many_rows_are_looked_at_point_by_point(monkeypatch: pytest.MonkeyPatch) -> None:
    system = glass(mixture={"3": 1.0, "4": 0.5})
    state, vectors = system.initial(streams(3)), normal(3, 3, 9)
    together = system.hessian_product(state, vectors)
    monkeypatch.setattr("glassyrun_pspin.curvature.TOGETHER", 1)
    torch.testing.assert_close(system.hessian_product(state, vectors), together, rtol=1e-12, atol=1e-12)


def test_single_precision_loses_rounding_alone() -> None:
    """Of a degree at which points lie far apart."""
    for p, n in ((3, 40), (8, 6)):
        system = glass(n, torch.float32, p=p)
        state, vectors = system.initial(streams(1)), normal(3, 1, n).float()
        known = dense(system, state.x[0].double(), None) @ vectors[0].double()
        found = system.hessian_product(state, vectors)[0].double()
        assert float((found - known).norm() / known.norm()) < 3e-6


def test_no_vector_has_no_product() -> None:
    system = glass(p=4)
    state = system.initial(streams(2))
    assert system.hessian_product(state, torch.zeros(2, 9, dtype=torch.float64)).abs().max() == 0


@pytest.mark.parametrize("terms", [None, 50])
def test_exact_products_and_differences_agree_on_the_sphere(terms: int | None) -> None:
    """Through the observable: with a subset of the terms as well; where a step is given, differences are taken."""
    system = glass(12, mixture={"2": 0.5, "4": 1.0})
    state = system.initial(streams(2))
    exact, differences = (read(HessianSpectrumOptions(terms=terms, step=step), system, state) for step in (None, 6e-6))
    for name, values in exact.items():
        torch.testing.assert_close(torch.from_numpy(values), torch.from_numpy(differences[name]), rtol=1e-7, atol=1e-6)
    coarse = read(HessianSpectrumOptions(terms=terms, step=0.5), system, state)["hessian_spectrum"]
    assert abs(coarse - exact["hessian_spectrum"]).max() > 1e-2


def test_the_shift_takes_one_gradient_for_all_products() -> None:
    calls = itertools.count()

    class Counted(PSpin):
        def gradient(self, state: State, batch: torch.Tensor | None = None) -> Any:
            next(calls)
            return super().gradient(state, batch)

    system = glass(9, p=3)
    counted = Counted(**{field.name: getattr(system, field.name) for field in attrs.fields(PSpin)})
    read(HessianSpectrumOptions(), counted, counted.initial(streams(3)))
    assert next(calls) == 1


# Networks.


def loss_of(network: Network, data: Any, terms: torch.Tensor | None) -> Any:
    """Loss of one replica as a function of its weights, of plain torch operations alone."""
    chosen = torch.arange(network.terms) if terms is None else terms
    seen, labels = normalised(data, "train", torch.float64)[chosen], data.train_y[chosen]

    def loss(x: torch.Tensor) -> torch.Tensor:
        penalty = 0.5 * network._l2 * x.square().sum()
        return network._loss.each(outputs_of(network, x.unsqueeze(0), seen)[0], labels).mean() + penalty

    return loss


NETWORKS: dict[str, Any] = {
    "mlp": (tiny_mlp, {"activation": "tanh"}, ToyVectors()),
    "relu and penalty": (tiny_mlp, {"l2": 0.3}, ToyVectors()),
    "in chunks": (tiny_mlp, {"chunk": 7, "activation": "gelu"}, ToyVectors()),
    "sigmoid": (tiny_mlp, {"loss": "squared_error", "output": "sigmoid", "widths": (4,)}, ToyVectors()),
    "linear": (tiny_mlp, {"loss": "hinge", "widths": ()}, ToyVectors()),
    "cnn": (tiny_cnn, {"channels": (2,), "hidden": 3}, ToyImages(side=8, channels=1, train=50)),
}


@pytest.fixture(params=[1, 3])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_gives_exact_products(kind: str, batched: bool) -> None:
    make, options, table = NETWORKS[kind]
    network = make(data=table, **options)
    state, vectors = network.initial(streams(2)), normal(3, 2, network.dof)
    products = network.hessian_product(state, vectors, BATCH if batched else None)
    for r, product in enumerate(products):
        loss = loss_of(network, table.load(context()), BATCH[r] if batched else None)
        known = torch.func.hessian(loss)(state.x[r]) @ vectors[r]
        torch.testing.assert_close(product, known, rtol=1e-10, atol=1e-12)
    if kind == "linear":
        assert products.abs().max() == 0


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("like", ["batch_norm", "counting"])
def test_normalisation_over_a_batch_is_looked_at_as_by_the_gradient(like: str, together: bool) -> None:
    """The derivative of the gradient, chunks and all, which leaves no trace in the memory; v so short that it crosses no kink."""
    network = any_module(like, together=together, chunk=25)
    state, vectors, h = network.initial(streams(2)), normal(3, 2, network.dof), 1e-8
    before = {name: value.clone() for name, value in state.system.items()}
    for batch in (None, BATCH):
        slopes = [network.gradient(State(state.x + s * h * vectors, 0, state.system), batch).gradient for s in (1, -1)]
        found = network.hessian_product(state, vectors, batch)
        torch.testing.assert_close(found, (slopes[0] - slopes[1]) / (2 * h), rtol=1e-5, atol=3e-6)
    assert all(torch.equal(state.system[name], value) for name, value in before.items())


def test_products_leave_no_trace_in_gradients() -> None:
    network = tiny_cnn()
    state = network.initial(streams(2))
    assert not state.x.requires_grad
    before = network.gradient(state).gradient
    network.hessian_product(state, normal(3, 2, network.dof))
    assert torch.equal(network.gradient(state).gradient, before)


def test_the_hessian_is_symmetric_across_kinks() -> None:
    """Of a network with ReLU, where differences are not."""
    network = tiny_mlp()
    state, u, v = network.initial(streams(1)), normal(1, 1, network.dof), normal(2, 1, network.dof)

    def asymmetry(curvature: Curvature) -> float:
        one, other = (float((a * curvature.product(b)).sum()) for a, b in ((u, v), (v, u)))
        return abs(one - other)

    assert asymmetry(Curvature(network, state)) < 1e-12
    assert asymmetry(Curvature(network, state, step=1e-2)) > 1e-6


def test_both_kinds_of_system_offer_products() -> None:
    systems: list[System] = [glass(p=3), tiny_mlp()]
    assert all(isinstance(system, Curved) for system in systems)
