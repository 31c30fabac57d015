"""Vectors of 16 floats for Numba kernels: what the code says is what the machine does.

LLVM's automatic vectorisation of such loops is a matter of luck; these types write LLVM vector instructions
directly, and LLVM maps them to whatever the processor has (AVX-512, two AVX registers, four NEON ones).
Arithmetic (+ - * /), comparisons (giving masks) and & | on masks work between vectors and with plain numbers, which
are broadcast. A product and a sum may be fused into one rounding; nothing else is reordered, so results repeat.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.extending import models, overload, register_model

LANES = 16

_I32 = ir.IntType(32)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_HALF = ir.VectorType(ir.FloatType(), LANES // 2)
_INTS = ir.VectorType(_I32, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


class _FloatsType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


class _MaskType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"boolx{LANES}")


class _IntsType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"uint32x{LANES}")


floats = _FloatsType()
mask = _MaskType()
ints = _IntsType()


@register_model(_FloatsType)
class _FloatsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, _FLOATS)


@register_model(_MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, _MASK)


@register_model(_IntsType)
class _IntsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, _INTS)


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of kernels, given as one that returns its signature and what writes its instructions."""
    return extending.intrinsic(function)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, pointee: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), pointee.as_pointer())


@intrinsic
def load(typingctx, array, index):
    """16 consecutive elements of a contiguous float32 array."""

    def codegen(context, builder, signature, args):
        value = builder.load(_address(context, builder, signature.args[0], args[0], args[1], _FLOATS))
        value.align = 4
        return value

    return floats(array, types.uintp), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Write 16 consecutive elements of a contiguous float32 array, or uint32 array for integers."""

    def codegen(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], args[0], args[1], args[2].type)
        builder.store(args[2], pointer).align = 4
        return context.get_dummy_value()

    return types.void(array, types.uintp, value), codegen


@intrinsic
def no_bits(typingctx):
    """Integers that are all zero."""

    def codegen(context, builder, signature, args):
        return ir.Constant(_INTS, [0] * LANES)

    return ints(), codegen


@intrinsic
def set_bit(typingctx, words, condition, number):
    """Set bit ``number`` of the integers in those lanes where the condition holds."""

    def codegen(context, builder, signature, args):
        undefined = ir.Constant(_INTS, ir.Undefined)
        bit = builder.shl(ir.Constant(_I32, 1), args[2])
        first = builder.insert_element(undefined, bit, ir.Constant(_I32, 0))
        everywhere = builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))
        chosen = builder.select(args[1], everywhere, ir.Constant(_INTS, [0] * LANES))
        return builder.or_(args[0], chosen)

    return ints(ints, mask, types.uint32), codegen


@intrinsic
def lowest_bit(typingctx, word):
    """Number of the lowest bit that is set in a word other than 0."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), codegen


@intrinsic
def highest_bit(typingctx, word):
    """Number of the highest bit that is set in a word other than 0."""

    def codegen(context, builder, signature, args):
        return builder.sub(ir.Constant(_I32, 31), builder.ctlz(args[0], ir.Constant(ir.IntType(1), 1)))

    return types.uint32(types.uint32), codegen


@intrinsic
def broadcast(typingctx, value):
    """The same number in every lane."""

    def codegen(context, builder, signature, args):
        undefined = ir.Constant(_FLOATS, ir.Undefined)
        first = builder.insert_element(undefined, args[0], ir.Constant(_I32, 0))
        return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))

    return floats(types.float32), codegen


@intrinsic
def select(typingctx, condition, if_true, if_false):
    """Lane by lane, one or the other."""

    def codegen(context, builder, signature, args):
        return builder.select(*args)

    return floats(mask, floats, floats), codegen


@intrinsic
def lookup(typingctx, image, width, x, y):
    """Bilinear values of a contiguous [h, width] float32 image at 16 points in units of pixels, 0 at the first centre.

    The points are not checked: both coordinates are at least 0 and less than the last row's and column's.
    """

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        wholes = [builder.fptosi(coordinate, _INTS) for coordinate in args[2:]]
        right, down = (builder.fsub(c, builder.sitofp(w, _FLOATS)) for c, w in zip(args[2:], wholes))
        corners = [ir.Constant(_FLOATS, ir.Undefined)] * 4
        for lane in range(LANES):
            at = ir.Constant(_I32, lane)
            column, row = (builder.sext(builder.extract_element(w, at), args[1].type) for w in wholes)
            first = builder.add(builder.mul(row, args[1]), column)
            for k, offset in enumerate((first, builder.add(first, args[1]))):
                pointer = builder.gep(data, [offset])
                for side in range(2):
                    value = builder.load(builder.gep(pointer, [ir.Constant(_I32, side)]))
                    corners[2 * k + side] = builder.insert_element(corners[2 * k + side], value, at)

        def mix(first: Any, second: Any, share: Any) -> Any:
            product = builder.fmul(share, builder.fsub(second, first), flags=("contract",))
            return builder.fadd(first, product, flags=("contract",))

        return mix(mix(corners[0], corners[1], right), mix(corners[2], corners[3], right), down)

    return floats(image, types.int64, floats, floats), codegen


@intrinsic
def bits(typingctx, condition):
    """A mask as an integer, lane 0 in bit 0."""

    def codegen(context, builder, signature, args):
        return builder.zext(builder.bitcast(args[0], ir.IntType(LANES)), _I32)

    return types.uint32(mask), codegen


@intrinsic
def exp2(typingctx, x):
    """2**x for -126 < x < 127, to 2 units in the last place.

    x = whole + fraction with fraction in [-0.5, 0.5]; the polynomial is the minimax one of degree 5 in relative
    error, and the whole part is added to the exponent's bits. Adding and subtracting 1.5 * 2**23 rounds.
    """
    coefficients = [1.0, 0.69314698, 0.24022242, 0.055507337, 0.0096715129, 0.0013264727]

    def codegen(context, builder, signature, args):
        def constant(number: float) -> ir.Constant:
            return ir.Constant(_FLOATS, [number] * LANES)

        shifted = builder.fadd(args[0], constant(12582912.0))
        fraction = builder.fsub(args[0], builder.fsub(shifted, constant(12582912.0)))
        power = constant(_as_float32(coefficients[-1]))
        for coefficient in reversed(coefficients[:-1]):
            product = builder.fmul(power, fraction, flags=("contract",))
            power = builder.fadd(product, constant(_as_float32(coefficient)), flags=("contract",))
        exponent = builder.shl(builder.bitcast(shifted, _INTS), ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(power, _INTS), exponent), _FLOATS)

    return floats(floats), codegen


def _add_sums(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Sum vectors together, as a matrix is transposed: 8 cost 29 instructions of AVX in place of 8 x 7."""

    def shuffled_sum(left: Any, right: Any, first: list[int], second: list[int]) -> Any:
        indices = [ir.Constant(ir.VectorType(_I32, len(first)), i) for i in (first, second)]
        return builder.fadd(*(builder.shuffle_vector(left, right, i) for i in indices))

    half = LANES // 2
    rows = [shuffled_sum(v, v, list(range(half)), list(range(half, LANES))) for v in args[2:]]
    steps = [
        ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]),
        ([0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]),
        ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]),
    ]
    for first, second in steps:
        if len(rows) == 1:
            rows = [shuffled_sum(rows[0], rows[0], first[:4], second[:4])]
        else:
            rows = [shuffled_sum(rows[i], rows[i + 1], first, second) for i in range(0, len(rows), 2)]
    pointer = _address(context, builder, signature.args[0], args[0], args[1], rows[0].type)
    before = builder.load(pointer)
    before.align = 4
    builder.store(builder.fadd(before, rows[0]), pointer).align = 4
    return context.get_dummy_value()


@intrinsic
def add_4_sums(typingctx, array, index, a, b, c, d):
    """Add the sums over the lanes of 4 vectors to 4 consecutive elements of a float32 array."""
    return types.void(array, types.uintp, *[floats] * 4), _add_sums


@intrinsic
def add_8_sums(typingctx, array, index, a, b, c, d, e, f, g, h):
    """Add the sums over the lanes of 8 vectors to 8 consecutive elements of a float32 array."""
    return types.void(array, types.uintp, *[floats] * 8), _add_sums


@intrinsic
def fetch_add(typingctx, counter):
    """Take the next number from a counter that threads share: int64 array of one element."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), codegen


def _as_float32(number: float) -> float:
    import numpy as np

    return float(np.float32(number))


def _instruction(name: str, result: types.Type, operands: types.Type, *arguments: str, flags: bool) -> Any:
    """A function of two vectors that is one instruction."""
    keywords = {"flags": ("contract",)} if flags else {}

    @intrinsic
    def function(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return getattr(builder, name)(*arguments, *args, **keywords)

        return result(operands, operands), codegen

    return function


def _register(operation: Any, function: Any) -> None:
    """Let an operator take two vectors, or a vector and a number on either side."""

    @overload(operation, inline="never")
    def implementation(a, b):
        number = (types.Float, types.Integer)
        if a == floats and b == floats:
            return lambda a, b: function(a, b)
        if a == floats and isinstance(b, number):
            return lambda a, b: function(a, broadcast(b))
        if b == floats and isinstance(a, number):
            return lambda a, b: function(broadcast(a), b)
        return None


for _operation, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _register(_operation, _instruction(_name, floats, floats, flags=True))

for _operation, _sign in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">=")):
    _register(_operation, _instruction("fcmp_ordered", mask, floats, _sign, flags=False))

_both = _instruction("and_", mask, mask, flags=False)


@overload(operator.and_)
def _and(a, b):
    return (lambda a, b: _both(a, b)) if a == mask and b == mask else None


def minimum(a: Any, b: Any) -> Any:
    """Lane by lane, the smaller."""


def maximum(a: Any, b: Any) -> Any:
    """Lane by lane, the larger."""


def absolute(a: Any) -> Any:
    """Lane by lane, without sign."""


_smaller = _instruction("fcmp_ordered", mask, floats, "<", flags=False)


@overload(minimum)
def _minimum(a, b):
    if b == floats:
        return lambda a, b: select(_smaller(a, b), a, b)
    return lambda a, b: minimum(a, broadcast(b))


@overload(maximum)
def _maximum(a, b):
    if b == floats:
        return lambda a, b: select(_smaller(b, a), a, b)
    return lambda a, b: maximum(a, broadcast(b))


@overload(absolute)
def _absolute(a):
    return lambda a: maximum(a, broadcast(0) - a)
