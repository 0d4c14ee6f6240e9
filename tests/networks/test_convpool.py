"""The fused convolution, max-pool and ReLU is the one of torch, forwards, backwards, and differentiated again."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glassyrun_networks.convpool import ConvPool, convpool

ROUNDING = {torch.float32: 3e-6, torch.float64: 3e-14}


def compare(layer: ConvPool, images: torch.Tensor) -> None:
    """Outputs and all slopes, relative to the largest."""
    inputs = (images.requires_grad_(), layer.weight, layer.bias)
    ours, theirs = layer(images), convpool(*inputs)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(7), dtype=ours.dtype)
    found = (ours, *torch.autograd.grad((ours * weights).sum(), inputs))
    expected = (theirs, *torch.autograd.grad((theirs * weights).sum(), inputs))
    for mine, right in zip(found, expected, strict=True):
        assert mine.shape == right.shape
        torch.testing.assert_close(mine, right, rtol=0, atol=ROUNDING[images.dtype] * max(1.0, right.detach().abs().max().item()))


def made(channels: int, outputs: int, kernel: int, shape: tuple[int, int, int], dtype: torch.dtype, seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ConvPool(channels, outputs, kernel).to(dtype), torch.randn(shape[0], channels, *shape[1:], dtype=dtype)


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 4),
    outputs=st.sampled_from([1, 4, 10, 20, 33]),
    images=st.integers(1, 5),
    high=st.integers(6, 11),
    wide=st.integers(6, 11),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    last=st.booleans(),
)
def test_it_is_the_layer_of_torch(channels, outputs, images, high, wide, dtype, last):
    layer, batch = made(channels, outputs, 5, (images, high, wide), dtype)
    compare(layer, batch.contiguous(memory_format=torch.channels_last) if last else batch)


@pytest.mark.parametrize("outputs", [70, 130])
def test_more_outputs_than_fit_into_registers(outputs):
    compare(*made(2, outputs, 3, (3, 9, 8), torch.float32))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_the_images(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        compare(*made(3, 10, 5, (7, 12, 12), torch.float64))
    finally:
        torch.set_num_threads(before)


def test_the_first_of_equal_ones_has_the_slope():
    layer, _ = made(1, 3, 3, (1, 6, 6), torch.float64)
    compare(layer, torch.ones(2, 1, 8, 8, dtype=torch.float64))


def test_nan_goes_through():
    layer, images = made(2, 3, 3, (2, 8, 8), torch.float32)
    images[1, 0, 4, 4] = torch.nan
    ours, theirs = layer(images), convpool(images, layer.weight, layer.bias)
    assert torch.equal(ours.isnan(), theirs.isnan())
    assert ours.isnan().any()


def test_it_can_be_differentiated_again():
    layer, images = made(2, 3, 3, (2, 6, 6), torch.float64)

    def outputs(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,)).square()

    inputs = (images.requires_grad_(), layer.weight, layer.bias)
    assert torch.autograd.gradcheck(outputs, inputs)
    assert torch.autograd.gradgradcheck(outputs, inputs)


@pytest.mark.parametrize("to_images", [False, True])
@pytest.mark.parametrize("odd", [6, 7])
def test_derivatives_of_any_order_are_those_of_torch(to_images, odd):
    """Up to the fourth along a direction, with a side of which a row is left over, and of a first layer, whose images have no slope."""
    layer, images = made(2, 3, 3, (3, 8, odd + 3), torch.float64)
    inputs = [layer.weight, layer.bias, *([images.requires_grad_()] if to_images else [])]
    chance = torch.Generator().manual_seed(1)
    vectors = [torch.randn(tensor.shape, generator=chance, dtype=torch.float64) for tensor in inputs]

    def derivatives(outputs):
        found, value = [], outputs.pow(3).sum() + outputs.sin().sum()
        for _ in range(4):
            slopes = torch.autograd.grad(value, inputs, create_graph=True)
            found += [slope.detach() for slope in slopes]
            value = sum((slope * vector).sum() for slope, vector in zip(slopes, vectors, strict=True))
        return found

    ours, theirs = derivatives(layer(images)), derivatives(convpool(images, layer.weight, layer.bias))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-10)


def test_vmap_sees_torch_alone():
    layer, images = made(1, 2, 3, (2, 6, 6), torch.float64)
    many = torch.stack([images, 2 * images])
    torch.testing.assert_close(torch.func.vmap(layer)(many), torch.stack([layer(one) for one in many]))


def test_start_and_parameters_are_those_of_a_convolution():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        ours = ConvPool(3, 10, 5)
        torch.manual_seed(3)
        theirs = torch.nn.Conv2d(3, 10, 5)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
