"""Randomness without state."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glassyrun import Stream, replica_normals


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), sample=st.integers(0, 10**6), index=st.integers(0, 10**9), name=st.text(max_size=20))
def test_output_depends_on_the_name_and_index_only(seed: int, sample: int, index: int, name: str) -> None:
    stream = Stream(name, seed, sample)
    before = stream.numpy(index).integers(2**63, size=4)
    stream.numpy(index + 1).integers(2**63, size=100)
    stream.child("x").normal((3,), dtype=torch.float32, device=torch.device("cpu"))
    assert np.array_equal(stream.numpy(index).integers(2**63, size=4), before)


def test_neighbours_are_unrelated() -> None:
    """Seed, sample, name and index each change everything; 'a/1' with index 2 is not 'a' with index 12."""
    streams = [Stream("a", 1, 0), Stream("a", 2, 0), Stream("a", 1, 1), Stream("b", 1, 0), Stream("a/1", 1, 0)]
    keys = {stream.key(index) for stream in streams for index in range(50)}
    assert len(keys) == 250


def test_no_global_generator_is_used_or_seeded() -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 -- the global generator is what must not be touched
    random.seed(5)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    Stream("a", 1, 0).torch(3)
    replica_normals([Stream("a", 1, 0)] * 2, 5, torch.zeros(2, 5))
    after = torch.random.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    assert before[2] == after[2]


def test_normals_are_standard_normal_and_uncorrelated_between_steps() -> None:
    """Mean, variance, fourth moment and the correlation of neighbouring indices, each within five standard errors."""
    stream, n = Stream("noise", 7, 0), 200_000
    a, b = (stream.normal((n,), dtype=torch.float64, device=torch.device("cpu"), index=i) for i in (0, 1))
    assert abs(float(a.mean())) < 5 / n**0.5
    assert abs(float(a.var()) - 1) < 5 * (2 / n) ** 0.5
    assert abs(float((a**4).mean()) - 3) < 5 * (96 / n) ** 0.5
    assert abs(float((a * b).mean())) < 5 / n**0.5


def test_the_same_stream_twice_is_the_same_row_twice() -> None:
    rows = replica_normals([Stream("a", 1, 0), Stream("b", 1, 0), Stream("a", 1, 0)], 6, torch.zeros(1, 6))
    assert torch.equal(rows[0], rows[2])
    assert not torch.equal(rows[0], rows[1])


def test_what_is_the_same_everywhere_is_drawn_on_the_host() -> None:
    """A device that can draw nothing takes what was drawn here."""
    nowhere, streams = torch.device("meta"), [Stream("a", 1, 0)]
    assert streams[0].normal((2, 3), dtype=torch.float32, device=nowhere, everywhere=True).device == nowhere
    assert replica_normals(streams, 3, torch.empty(0, device=nowhere), everywhere=True).device == nowhere
    with pytest.raises(RuntimeError):
        replica_normals(streams, 3, torch.empty(0, device=nowhere))
    here = torch.device("cpu")
    drawn = [streams[0].normal((4,), dtype=torch.float64, device=here, everywhere=everywhere) for everywhere in (True, False)]
    assert torch.equal(*drawn)
