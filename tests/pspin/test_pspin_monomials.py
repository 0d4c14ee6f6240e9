"""Monomial tables and the layout of couplings."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glassyrun_pspin.layout import Layout, Shape, Tiling, store_size
from glassyrun_pspin.monomials import Monomials, count

CPU = torch.device("cpu")


@settings(max_examples=40, deadline=None)
@given(sites=st.integers(1, 7), degree=st.integers(0, 4), repeats=st.booleans())
def test_ranks_and_members_are_a_bijection_and_prefixes_are_those_of_fewer_sites(sites, degree, repeats):
    monomials = Monomials.build(sites, degree, repeats, CPU)
    members = monomials.members(torch.arange(count(sites, degree, repeats)))
    chosen = itertools.combinations_with_replacement if repeats else itertools.combinations
    assert sorted(map(tuple, members.tolist())) == sorted(chosen(range(sites), degree))
    for fewer in range(sites):
        prefix = members[: count(fewer, degree, repeats)]
        assert prefix.numel() == 0 or int(prefix.max()) < fewer


@settings(max_examples=25, deadline=None)
@given(sites=st.integers(1, 6), degree=st.integers(0, 4), repeats=st.booleans(), seed=st.integers(0, 99))
def test_pull_back_is_the_transposed_derivative(sites, degree, repeats, seed):
    generator = torch.Generator().manual_seed(seed)
    monomials = Monomials.build(sites, degree, repeats, CPU)
    x = torch.randn(2, sites, dtype=torch.float64, generator=generator).requires_grad_()
    members = monomials.members(torch.arange(count(sites, degree, repeats)))
    values = x[:, members].prod(-1)
    torch.testing.assert_close(monomials.values(x), values)
    slope = torch.randn(*values.shape, dtype=torch.float64, generator=generator)
    expected = torch.autograd.grad((values * slope).sum(), x, allow_unused=True)[0] if values.requires_grad else None
    pulled = monomials.pull_back(x.detach(), slope)
    torch.testing.assert_close(pulled, torch.zeros_like(pulled) if expected is None else expected)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 9),
    degree=st.integers(2, 6),
    repeats=st.booleans(),
    most_bytes=st.sampled_from([64, 1000, 2**21]),
    most_padding=st.sampled_from([0, 20, 2**16]),
)
def test_terms_are_a_bijection_onto_sorted_sites_for_any_tiling(n, degree, repeats, most_bytes, most_padding):
    patch = pytest.MonkeyPatch()
    with patch.context() as within:
        within.setattr(Tiling, "of", classmethod(lambda cls, device: cls(most_bytes, most_padding, 0.0)))
        shape = Shape(n, degree, repeats)
        layout = Layout.build(shape, 8, CPU)
    places, sites = layout.locate(torch.arange(shape.terms))
    chosen = itertools.combinations_with_replacement if repeats else itertools.combinations
    assert sorted(map(tuple, sites.tolist())) == sorted(chosen(range(n), degree))
    assert len(torch.unique(places)) == shape.terms
    assert shape.terms == 0 or int(places.max()) < layout.size


@pytest.mark.parametrize(("n", "p"), [(512, 3), (1000, 3), (100, 4), (40, 5), (2000, 2)])
def test_padding_stays_small(n, p):
    shape = Shape(n, p, True)
    size = store_size(tuple(shape.tiles(4, Tiling.of(CPU))))
    assert shape.terms <= size <= 1.1 * shape.terms + 2**20


def test_the_order_of_terms_does_not_depend_on_the_tiling():
    shape = Shape(9, 3, True)
    fine = Layout.build(shape, 8, CPU).locate(torch.arange(shape.terms))[1]
    patch = pytest.MonkeyPatch()
    with patch.context() as within:
        within.setattr(Tiling, "of", classmethod(lambda cls, device: cls(1, 0, 0.0)))
        assert torch.equal(Layout.build(shape, 4, CPU).locate(torch.arange(shape.terms))[1], fine)
