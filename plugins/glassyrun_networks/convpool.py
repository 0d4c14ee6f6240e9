"""A convolution, 2×2 max-pool and ReLU as one layer: each window is pooled as soon as it is convolved.

Three quarters of a pooled convolution are thrown away, and what is below zero as well. torch writes all of it to memory, and on
the way back fills a full-size array with zeros and convolves it. Here only maxima are written, and their slopes go straight to
weights and images. On a GPU it is plain torch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from glassyrun import thread_count, together

POOL = 2
MOST_VECTORS = 4
"""Vectors of outputs that are summed up together, at four positions: their sums fit into a processor's registers."""


class ConvPool(nn.Conv2d):
    """ReLU(max-pool(convolution)): square kernel, stride 1, no padding, windows of 2×2.

    Parameters, their order and initialisation are those of `torch.nn.Conv2d`.
    """

    def __init__(self, channels: int, outputs: int, kernel: int) -> None:
        super().__init__(channels, outputs, kernel)

    def forward(self, input: Float[Tensor, "image channel Y X"]) -> Float[Tensor, "image out y x"]:
        assert self.bias is not None
        if input.device.type == "cpu" and input.dtype in (torch.float32, torch.float64) and not _transformed():
            return _ConvPool.apply(input, self.weight, self.bias)
        return convpool(input, self.weight, self.bias)


def convpool(
    images: Float[Tensor, "image channel Y X"], weight: Float[Tensor, "out channel k k"], bias: Float[Tensor, " out"]
) -> Float[Tensor, "image out y x"]:
    """The same in plain torch, on any device and differentiable any number of times."""
    return F.relu(F.max_pool2d(F.conv2d(images, weight, bias), POOL))


def _transformed() -> bool:
    """Whether vmap, jvp or their like look on, which see torch's own operations only."""
    return torch._C._are_functorch_transforms_active()


class _ConvPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out, where = _pooled(images, weight, bias)
        ctx.save_for_backward(images, weight, where)
        return out.movedim(3, 1)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, where = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone wants a Hessian
            return _Slopes.apply(slopes[0], images, weight, where, ctx.needs_input_grad[0])
        return _backward(images, weight, where, slopes[0], ctx.needs_input_grad[0])


class _Slopes(torch.autograd.Function):
    """The way back once more: which corner is the largest stays as it is, so that all is linear in each of slopes, images and weights."""

    @staticmethod
    def forward(ctx: Any, slopes: Tensor, images: Tensor, weight: Tensor, where: Tensor, to_images: bool) -> Any:
        ctx.save_for_backward(slopes, images, weight, where)
        return _backward(images, weight, where, slopes, to_images)

    @staticmethod
    def backward(ctx: Any, *along: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, where = ctx.saved_tensors
        # as new tensors, since `along` may depend on the old ones
        slopes, images, weight = inputs = [tensor.view_as(tensor) for tensor in tensors]
        of_images, of_weight, of_bias = along
        assert of_weight is not None
        bent = selected(images, of_weight, of_bias, where)
        if of_images is not None:
            bent = bent + selected(of_images, weight, None, where)
        if torch.is_grad_enabled():
            needed = ctx.needs_input_grad[:3]
            wanted = [tensor for tensor, need in zip(inputs, needed, strict=True) if need]
            found = iter(torch.autograd.grad((slopes * bent).sum(), wanted, create_graph=True, allow_unused=True))
            return *(next(found) if need else None for need in needed), None, None
        if of_images is None:
            return bent, None, None, None, None
        to_images, to_weight, _ = _backward(of_images, of_weight, where, slopes, True)
        return bent, to_images, to_weight, None, None


def selected(
    images: Float[Tensor, "image channel Y X"],
    weight: Float[Tensor, "out channel k k"],
    bias: Float[Tensor, " out"] | None,
    where: UInt8[Tensor, "image y x out"],
) -> Float[Tensor, "image out y x"]:
    """The convolution at the given corner of each window, and 0 where none is given, in plain torch."""
    convolved, corners = F.conv2d(images, weight, bias), where.movedim(3, 1)
    high, wide = (POOL * side for side in corners.shape[2:])
    found = torch.zeros_like(convolved[..., :high:POOL, :wide:POOL])
    for corner in range(POOL * POOL):
        found = torch.where(corners == corner, convolved[..., corner // POOL : high : POOL, corner % POOL : wide : POOL], found)
    return found


def _pooled(
    images: Float[Tensor, "image channel Y X"], weight: Float[Tensor, "out channel k k"], bias: Float[Tensor, " out"]
) -> tuple[Float[Tensor, "image y x out"], UInt8[Tensor, "image y x out"]]:
    """What comes out, and which corner of each window it was."""
    from glassyrun_networks.convpool_loops import forward, lanes

    outputs, channels, kernel, _ = weight.shape
    high, wide = ((side - kernel + 1) // POOL for side in images.shape[2:])
    last = images.movedim(1, 3).contiguous()
    out = images.new_empty(images.shape[0], high, wide, outputs)
    where = torch.empty(out.shape, dtype=torch.uint8)
    width = lanes(weight.element_size())
    vectors = min(MOST_VECTORS, -(-outputs // width))
    bounds = _bounds(len(images))
    row = images.shape[3] * channels
    arrays = _flat(last), _flat(weight), _flat(bias), _flat(out), _flat(where)
    sizes = (high, wide, outputs, vectors * width, channels, kernel, row, images.shape[2] * row)
    tuples = (0,) * (kernel * channels), (0,) * vectors

    def share(part: int) -> None:
        forward(*arrays, bounds[part], bounds[part + 1], *sizes, *tuples)

    together(share, len(bounds) - 1)
    return out, where


def _backward(
    images: Tensor, weight: Tensor, where: Tensor, slopes: Tensor, to_images: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Slopes of images, weights and bias."""
    from glassyrun_networks.convpool_loops import backward

    outputs, channels, kernel, _ = weight.shape
    last = images.movedim(1, 3).contiguous()
    bounds = _bounds(len(images))
    parts = len(bounds) - 1
    of_weight, of_bias = weight.new_empty(parts, *weight.shape), weight.new_empty(parts, outputs)
    of_images = torch.empty_like(last) if to_images else last.new_empty(0)
    loop = backward(kernel, channels, weight.element_size(), to_images)
    arrays = _flat(slopes.movedim(1, 3)), _flat(where), _flat(last), _flat(weight), _flat(of_images)
    weights, biases = of_weight.view(parts, -1).numpy(), of_bias.numpy()
    row = images.shape[3] * channels
    sizes = (where.shape[1], where.shape[2], outputs, row, images.shape[2] * row)

    def share(part: int) -> None:
        loop(*arrays, weights[part], biases[part], bounds[part], bounds[part + 1], *sizes)

    together(share, parts)
    if parts == 1:
        return of_images.movedim(3, 1) if to_images else None, of_weight[0], of_bias[0]
    return of_images.movedim(3, 1) if to_images else None, of_weight.sum(0), of_bias.sum(0)


def _flat(tensor: Tensor) -> Any:
    """A contiguous tensor's memory, or that of a copy, as a flat array."""
    return tensor.reshape(-1).numpy()


def _bounds(images: int) -> list[int]:
    """Of equal ranges of images, one a thread."""
    parts = max(1, min(thread_count(), images))
    return [images * part // parts for part in range(parts + 1)]
