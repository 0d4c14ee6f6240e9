"""Loops of `convpool`, compiled by numba for images with the channel last.

Rows of an image are contiguous, so K neighbouring pixels with all their channels are one stretch of K·channels numbers. Short
stretches of odd length are what compilers vectorise badly: they are worked off in whole vectors of 64 bytes by hand.
"""

from __future__ import annotations

import contextlib
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
MOST_SUMS = 24
"""Vectors that are summed up together on the way back; a processor has 32 registers for them."""
WORTH_A_GUESS = 12
"""Vectors from which on it pays to pass over a window without a slope; for fewer, adding zeros takes less time than guessing wrong."""
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


@emitted
def _collect(
    typing: Any,
    into: Any,
    entry: Any,
    stride: Any,
    slopes: Any,
    marks: Any,
    base: Any,
    outputs: Any,
    high: Any,
    wide: Any,
    images: Any,
    begin: Any,
    row: Any,
    channels: Any,
    rows: Any,
    vectors: Any,
) -> Any:
    """into[entry + r · stride + …] += Σ slope · images[place + r · row + …] over the windows of one image, for one output.

    `place` is the corner of a window that was the largest, from `begin` on; a window whose mark is `INACTIVE` adds nothing. How
    many rows r and vectors in a row there are is in the types, as lengths of tuples: all sums stay in registers.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0].dtype
        size = kind.bitwidth // 8
        lanes = VECTOR // size
        number_type = context.get_value_type(kind)
        vector = ir.VectorType(number_type, lanes)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        down, along = (range(signature.args[argument].count) for argument in (13, 14))
        _, entry, stride, _, _, base, outputs, high, wide, _, begin, row, channels, _, _ = arguments

        def data(argument: int) -> Any:
            return context.make_array(signature.args[argument])(context, builder, arguments[argument]).data

        def number(value: int) -> Any:
            return ir.Constant(ir.IntType(64), value)

        def pointer(base: Any, offset: Any) -> Any:
            return builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())

        sums, slopes, marks, images = data(0), data(3), data(4), data(9)
        places = [
            [pointer(sums, builder.add(builder.add(entry, builder.mul(number(r), stride)), number(v * lanes))) for v in along]
            for r in down
        ]
        kept = [[cgutils.alloca_once_value(builder, builder.load(place, align=size)) for place in line] for line in places]
        with cgutils.for_range(builder, high) as outer, cgutils.for_range(builder, wide) as inner:
            at = builder.add(base, builder.mul(builder.add(builder.mul(outer.index, wide), inner.index), outputs))
            mark = builder.zext(builder.load(builder.gep(marks, [at])), ir.IntType(64))
            active = builder.icmp_unsigned("<", mark, number(INACTIVE))
            slope = builder.select(active, builder.load(builder.gep(slopes, [at])), ir.Constant(number_type, 0.0))
            corner = builder.select(active, mark, number(0))
            y = builder.add(builder.shl(outer.index, number(1)), builder.lshr(corner, number(1)))
            x = builder.add(builder.shl(inner.index, number(1)), builder.and_(corner, number(1)))
            place = builder.add(begin, builder.add(builder.mul(y, row), builder.mul(x, channels)))
            undefined = ir.Constant(vector, ir.Undefined)
            one = builder.insert_element(undefined, slope, ir.Constant(ir.IntType(32), 0))
            splat = builder.shuffle_vector(one, undefined, everywhere)
            with builder.if_then(active) if len(down) * len(along) >= WORTH_A_GUESS else contextlib.nullcontext():
                for r in down:
                    for v in along:
                        source = builder.add(builder.add(place, builder.mul(number(r), row)), number(v * lanes))
                        product = builder.fmul(splat, builder.load(pointer(images, source), align=size), flags=("contract",))
                        builder.store(builder.fadd(builder.load(kept[r][v]), product, flags=("contract",)), kept[r][v])
        for line, sources in zip(places, kept, strict=True):
            for place, source in zip(line, sources, strict=True):
                builder.store(builder.load(source), place, align=size)
        return context.get_dummy_value()

    given = into, entry, stride, slopes, marks, base, outputs, high, wide, images, begin, row, channels, rows, vectors
    return types.void(*given), emit


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
def _table(weight, bias, outputs, channels, kernel, group):  # type: ignore[no-untyped-def]
    """Weights as `forward` reads them: [group of outputs, 1 + kernel·kernel·channel, output in it], the bias first, 0 for no output."""
    patch = kernel * kernel * channels
    groups = (outputs + group - 1) // group
    table = np.zeros((groups, 1 + patch, group), weight.dtype)
    for o in range(outputs):
        entry = table[o // group, :, o % group]
        entry[0] = bias[o]
        for c in range(channels):
            for yx in range(kernel * kernel):
                entry[1 + yx * channels + c] = weight[(o * channels + c) * kernel * kernel + yx]
    return table.reshape(-1)


@compiled
def forward(
    images, weight, bias, out, where, begin, end, high, wide, outputs, group, channels, kernel, row, size, stretch, vectors
):  # type: ignore[no-untyped-def]
    """Convolution, pool and ReLU of images begin … end − 1, one window after another.

    Flat arrays: images [image, Y, X, channel], weights [out, channel, kernel, kernel], biases [out], out and marks
    [image, y, x, out]; `group` outputs are worked on together. `stretch` and `vectors` are tuples whose lengths count: kernel ·
    channels, and vectors in a group.
    """
    weights, scratch = _table(weight, bias, outputs, channels, kernel, group), np.empty(8 * group, weight.dtype)
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

    Its arguments are flat arrays: slopes and marks [image, y, x, out], images [image, Y, X, channel], weights and their slopes
    [out, channel, kernel, kernel], bias slopes [out], then the range of images and the sizes. Slopes of weights are written,
    not added to.
    """
    width = lanes(itemsize)
    length = kernel * channels
    stretch = padded(length, itemsize)
    per_output = kernel * stretch
    whole = length // width * width
    rows, vectors = _at_once(kernel, stretch // width)
    down, along = (0,) * rows, (0,) * vectors
    u, n = np.uint64, np.int64

    @compiled
    def to_weights(slopes, where, images, sums, image, high, wide, outputs, row, image_size):  # type: ignore[no-untyped-def]
        base = image * high * wide * outputs
        # what a last vector reads beyond the stretch goes into padding; beyond the last image there is nothing to read
        if (image + 1) * image_size + stretch - length <= len(images):
            for c in range(outputs):
                for r in range(0, kernel, rows):
                    for v in range(0, stretch, vectors * width):
                        entry, begin = n(c * per_output + r * stretch + v), n(image * image_size + r * row + v)
                        _collect(
                            sums, entry, n(stretch), slopes, where, n(base + c), n(outputs), n(high), n(wide),
                            images, begin, n(row), n(channels), down, along,
                        )  # fmt: skip
            return
        for y in range(high):
            for x in range(wide):
                for c in range(outputs):
                    at = base + (y * wide + x) * outputs + c
                    corner = n(where[at])
                    if corner < INACTIVE:
                        first = image * image_size + (2 * y + (corner >> 1)) * row + (2 * x + (corner & 1)) * channels
                        for r in range(kernel):
                            for j in range(length):
                                sums[c * per_output + r * stretch + j] += slopes[at] * images[first + r * row + j]

    @compiled
    def loop(slopes, where, images, weight, of_images, of_weight, of_bias, begin, end, high, wide, outputs, row, image_size):  # type: ignore[no-untyped-def]
        zero = slopes.dtype.type(0)
        weights, of_weights = np.zeros(outputs * per_output, weight.dtype), np.zeros(outputs * per_output, weight.dtype)
        of_bias[:outputs] = zero
        for o in range(outputs):
            for c in range(channels):
                for y in range(kernel):
                    for x in range(kernel):
                        value = weight[((o * channels + c) * kernel + y) * kernel + x]
                        weights[o * per_output + y * stretch + x * channels + c] = value
        for image in range(begin, end):
            to_weights(slopes, where, images, of_weights, image, high, wide, outputs, row, image_size)
            if to_images:  # here it is in the cache when it is needed
                of_images[image * image_size : (image + 1) * image_size] = zero
            for window in range(image * high * wide, (image + 1) * high * wide):
                for c in range(u(outputs)):
                    at = u(window * outputs) + c
                    of_bias[c] += slopes[at] if where[at] < INACTIVE else zero
            for y in range(high if to_images else 0):
                for x in range(wide):
                    base = ((image * high + y) * wide + x) * outputs
                    for c in range(outputs):
                        corner = n(where[base + c])
                        if corner < INACTIVE:
                            slope = slopes[base + c]
                            first = image * image_size + (2 * y + (corner >> 1)) * row + (2 * x + (corner & 1)) * channels
                            at, entry = u(first), u(c * per_output)
                            for _ in range(kernel):
                                for j in range(u(0), u(whole), u(width)):
                                    _add_vector(of_images, at + j, slope, weights, entry + j)
                                for j in range(u(whole), u(length)):
                                    of_images[at + j] += slope * weights[entry + j]
                                at += u(row)
                                entry += u(stretch)
        for o in range(outputs):
            for c in range(channels):
                for y in range(kernel):
                    for x in range(kernel):
                        value = of_weights[o * per_output + y * stretch + x * channels + c]
                        of_weight[((o * channels + c) * kernel + y) * kernel + x] = value

    return loop


def _at_once(rows: int, vectors: int) -> tuple[int, int]:
    """Rows of a patch, and vectors in a row, whose sums are kept in registers together: all, one row, or one vector."""
    if rows * vectors <= MOST_SUMS:
        return rows, vectors
    return (1, vectors) if vectors <= MOST_SUMS else (1, 1)


def padded(length: int, itemsize: int) -> int:
    """`length` numbers rounded up to whole vectors."""
    return -(-length // lanes(itemsize)) * lanes(itemsize)


def lanes(itemsize: int) -> int:
    """Numbers in a vector."""
    return VECTOR // itemsize
