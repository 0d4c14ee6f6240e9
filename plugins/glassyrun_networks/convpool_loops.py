"""Loops of `convpool`, compiled by numba for images with the channel last.

Rows of an image are contiguous, so K neighbouring pixels with all their channels are one stretch of K·channels numbers. Short
stretches of odd length are what compilers vectorise badly: they are worked off in whole vectors of 64 bytes by hand.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

VECTOR = 64
"""Bytes worked on together; a compiler cuts them into what the processor has."""
INACTIVE = 4
"""Mark of a pooled output that is 0: nothing goes back through it."""


def compiled(function: Callable[..., Any]) -> Any:
    """Without reassociation: the order of sums is that of the loops. What checkers of run-time types have wrapped is unwrapped."""
    decorate = numba.njit(nogil=True, fastmath={"contract", "nsz"}, error_model="numpy", cache=True)
    return decorate(inspect.unwrap(function))


def emitted(function: Callable[..., Any]) -> Any:
    """An instruction for compiled loops."""
    return intrinsic(inspect.unwrap(function))


@emitted
def _add_vector(typing: Any, into: Any, at: Any, weight: Any, source: Any, begin: Any) -> Any:
    """into[at + j] += weight · source[begin + j] for one vector of j."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, place, factor, origin, start = arguments
        kind = signature.args[0].dtype
        size = kind.bitwidth // 8
        vector = ir.VectorType(context.get_value_type(kind), VECTOR // size)

        def pointer(array: Any, value: Any, offset: Any) -> Any:
            data = context.make_array(array)(context, builder, value).data
            return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())

        into_pointer = pointer(signature.args[0], target, place)
        undefined = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(undefined, factor, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), VECTOR // size), [0] * (VECTOR // size))
        factors = builder.shuffle_vector(first, undefined, lanes)
        added = builder.load(pointer(signature.args[3], origin, start), align=size)
        product = builder.fmul(factors, added, flags=("contract",))
        total = builder.fadd(builder.load(into_pointer, align=size), product, flags=("contract",))
        builder.store(total, into_pointer, align=size)
        return context.get_dummy_value()

    return types.void(into, at, weight, source, begin), emit


@emitted
def _convolve(
    typing: Any, scratch: Any, images: Any, firsts: Any, row: Any, rows: Any, stretch: Any, weights: Any, vectors: Any
) -> Any:
    """scratch[p, :] = bias + Σ images[firsts[p] + …] · weights[…, :] over a patch of `rows` stretches, for each p.

    How many positions, numbers in a stretch, and vectors of outputs there are is in the types, as lengths of tuples: a stretch
    is worked off without a loop, and all sums stay in registers.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0].dtype
        size = kind.bitwidth // 8
        lanes = VECTOR // size
        vector = ir.VectorType(context.get_value_type(kind), lanes)
        positions, length, width = (range(signature.args[argument].count) for argument in (2, 5, 7))
        undefined = ir.Constant(vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

        def data(argument: int) -> Any:
            return context.make_array(signature.args[argument])(context, builder, arguments[argument]).data

        def number(value: int) -> Any:
            return ir.Constant(ir.IntType(64), value)

        def load(base: Any, offset: Any) -> Any:
            return builder.load(builder.bitcast(builder.gep(base, [offset]), vector.as_pointer()), align=size)

        out, pixels, table = data(0), data(1), data(6)
        starts = [builder.gep(pixels, [builder.extract_value(arguments[2], p)]) for p in positions]
        sums = [[cgutils.alloca_once_value(builder, load(table, number(v * lanes))) for v in width] for _ in positions]
        per_row = len(length) * len(width) * lanes
        with cgutils.for_range(builder, arguments[4]) as outer:
            down = builder.mul(outer.index, arguments[3])
            places = [builder.gep(start, [down]) for start in starts]
            entries = builder.gep(table, [builder.add(builder.mul(outer.index, number(per_row)), number(len(width) * lanes))])
            for j in length:
                factors = [load(entries, number((j * len(width) + v) * lanes)) for v in width]
                for p in positions:
                    pixel = builder.load(builder.gep(places[p], [number(j)]))
                    one = builder.insert_element(undefined, pixel, ir.Constant(ir.IntType(32), 0))
                    splat = builder.shuffle_vector(one, undefined, everywhere)
                    for v in width:
                        product = builder.fmul(splat, factors[v], flags=("contract",))
                        builder.store(builder.fadd(builder.load(sums[p][v]), product, flags=("contract",)), sums[p][v])
        for p in positions:
            for v in width:
                place = builder.gep(out, [number((p * len(width) + v) * lanes)])
                builder.store(builder.load(sums[p][v]), builder.bitcast(place, vector.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.void(scratch, images, firsts, row, rows, stretch, weights, vectors), emit


@compiled
def _pool(scratch, begin, width, outputs, out, where, at):  # type: ignore[no-untyped-def]
    """The largest of four positions and 0, and which it was (`INACTIVE` for 0); the first of equal ones, as in torch."""
    zero = scratch.dtype.type(0)
    first = np.uint64(begin)
    second = first + np.uint64(width)
    third = second + np.uint64(width)
    fourth = third + np.uint64(width)
    for c in range(np.uint64(outputs)):
        most, chosen = scratch[first + c], np.uint8(0)
        value = scratch[second + c]
        if value > most or value != value:
            most, chosen = value, np.uint8(1)
        value = scratch[third + c]
        if value > most or value != value:
            most, chosen = value, np.uint8(2)
        value = scratch[fourth + c]
        if value > most or value != value:
            most, chosen = value, np.uint8(3)
        if most <= zero:
            most, chosen = zero, np.uint8(INACTIVE)
        out[at + c] = most
        where[at + c] = chosen


@compiled
def forward(
    images, weights, scratch, out, where, begin, end, high, wide, outputs, group, channels, kernel, row, size, stretch, vectors
):  # type: ignore[no-untyped-def]
    """Convolution, pool and ReLU of images begin … end − 1, one window after another.

    Flat arrays: images [image, Y, X, channel], weights [group, 1 + kernel·kernel·channel, vectors · lanes] with the bias first, out and
    marks [image, y, x, out]; `scratch` of this thread alone; `group` outputs are worked on together. `stretch` and `vectors` are
    tuples whose lengths count: kernel · channels, and vectors in a group.
    """
    per_group = (kernel * len(stretch) + 1) * group
    c, r, n = np.uint64(channels), np.uint64(row), np.int64(row)
    pairs = wide // 2 if len(vectors) == 1 else 0  # enough sums to keep the processor's adders busy
    for first in range(0, outputs, group):
        some = min(group, outputs - first)
        table = weights[first // group * per_group :]
        for image in range(begin, end):
            for y in range(high):
                top = np.uint64(image * size + 2 * y * row)
                at = np.uint64((image * high + y) * wide * outputs + first)
                for pair in range(pairs):
                    a = top + np.uint64(4 * pair * channels)
                    b = a + c + c
                    corners = (a, a + c, a + r, a + r + c, b, b + c, b + r, b + r + c)
                    _convolve(scratch, images, corners, n, np.int64(kernel), stretch, table, vectors)
                    _pool(scratch, 0, group, some, out, where, at)
                    at += np.uint64(outputs)
                    _pool(scratch, 4 * group, group, some, out, where, at)
                    at += np.uint64(outputs)
                for x in range(2 * pairs, wide):
                    a = top + np.uint64(2 * x * channels)
                    _convolve(scratch, images, (a, a + c, a + r, a + r + c), n, np.int64(kernel), stretch, table, vectors)
                    _pool(scratch, 0, group, some, out, where, at)
                    at += np.uint64(outputs)


@functools.cache
def backward(kernel: int, channels: int, itemsize: int, to_images: bool) -> Any:
    """The loop that takes slopes of pooled outputs back to weights and, with `to_images`, to images.

    Its arguments are flat arrays: slopes and marks [image, y, x, out], images [image, Y, X, channel], weights and their
    slopes [out, kernel, stretch], bias slopes [out], then the range of images and the sizes.
    """
    width = lanes(itemsize)
    length = kernel * channels
    stretch = padded(length, itemsize)
    per_output = kernel * stretch
    whole = length // width * width
    u = np.uint64

    @compiled
    def loop(slopes, where, images, weights, of_images, of_weights, of_bias, begin, end, high, wide, outputs, row, image_size):  # type: ignore[no-untyped-def]
        size, zero = len(images), slopes.dtype.type(0)
        for image in range(begin, end):
            if to_images:  # here it is in the cache when it is needed
                of_images[image * image_size : (image + 1) * image_size] = zero
            for y in range(high):
                for x in range(wide):
                    base = ((image * high + y) * wide + x) * outputs
                    for c in range(outputs):
                        corner = np.int64(where[base + c])
                        active = corner < INACTIVE
                        if active or not to_images:  # to weights alone, adding zeros takes less time than guessing wrong
                            corner = corner if active else 0
                            slope = slopes[base + c] if active else zero
                            of_bias[c] += slope
                            first = image * image_size + (2 * y + (corner >> 1)) * row + (2 * x + (corner & 1)) * channels
                            inside = first + (kernel - 1) * row + stretch <= size
                            at, weight = u(first), u(c * per_output)
                            for _ in range(kernel):
                                if inside:  # what a last vector reads beyond the stretch goes into padding
                                    for j in range(u(0), u(stretch), u(width)):
                                        _add_vector(of_weights, weight + j, slope, images, at + j)
                                else:
                                    for j in range(u(length)):
                                        of_weights[weight + j] += slope * images[at + j]
                                if to_images:
                                    for j in range(u(0), u(whole), u(width)):
                                        _add_vector(of_images, at + j, slope, weights, weight + j)
                                    for j in range(u(whole), u(length)):
                                        of_images[at + j] += slope * weights[weight + j]
                                at += u(row)
                                weight += u(stretch)

    return loop


def padded(length: int, itemsize: int) -> int:
    """`length` numbers rounded up to whole vectors."""
    return -(-length // lanes(itemsize)) * lanes(itemsize)


def lanes(itemsize: int) -> int:
    """Numbers in a vector."""
    return VECTOR // itemsize
