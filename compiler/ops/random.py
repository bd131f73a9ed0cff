"""Random bits from a counter: a hash of seed, step, site and position, in integer arithmetic that every provider has.

ONNX Runtime's own generators keep a state that differs among providers and cannot be set for a step; a hash needs
none, so a run that is stopped and resumed draws what it would have drawn. Only Mul, Add and Div are used: CUDA has no
kernels for shifts and exclusive or. Sums alone do not mix (the difference of neighbours would stay nearly constant),
products of the position with itself do: modulo 2ᵏ, z ↦ z (a z + c) with a even and c odd is a permutation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netlang.dims import Size

from ..op import Bad, Op, S
from .common import number, product

if TYPE_CHECKING:
    from ..emit import Emitter
    from ..ir import Node

_HALF = 1 << 32
_QUARTER = 1 << 16

# Odd parts of 2⁶⁴ or 2³² over the golden ratio and of splitmix64's and MurmurHash3's multipliers; any well mixed will do.
_SEED, _STEP, _START = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_BEND, _TURN = 0xD6E8FEB86659FD92, 0xA0761D6478BD642F
_STRIDE_X, _STRIDE_T = 0x9E3779B1, 0x85EBCA6A

_COLUMNS = 256
"""Trailing axes are taken together until they are so many: positions are sums of a column and a row."""


def _signed(value: int, bits: int) -> int:
    """`value` modulo 2ᵇⁱᵗˢ, as a signed number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _toward_zero(value: int, divisor: int) -> int:
    return abs(value) // divisor * (1 if value >= 0 else -1)


def _site_multiplier(site: int) -> tuple[int, int]:
    """An even factor and an odd summand for each site: what tells the sites of one step apart."""
    z = (site + 1) * _SEED & (1 << 64) - 1
    mixed: list[int] = []
    for _ in range(2):
        z = z * (z * _BEND + _TURN) & (1 << 64) - 1
        z ^= z >> 32
        mixed.append(z)
    return _signed(mixed[0] * 4 + 2, 64), _signed(mixed[1] | 1, 64)


def _keys(seed: int, step: int, site: int) -> tuple[int, int]:
    """Two 32-bit keys, the second odd."""
    z = _signed(seed * _SEED + step * _STEP + _START, 64)
    for _ in range(2):
        z = _signed(z * (z * _BEND + _TURN), 64)
        z = _signed(z + _toward_zero(z, _HALF), 64)
    factor, summand = _site_multiplier(site)
    z = _signed(z * factor + summand, 64)
    return _toward_zero(z, _HALF), _signed(z, 32)


def _random_bits_numpy(seed: np.ndarray, step: np.ndarray, shape: tuple[int, ...], site: int) -> np.ndarray:
    first, second = _keys(int(seed), int(step), site)
    position = np.arange(int(product(shape)), dtype=np.uint32)
    x = position * np.uint32(_STRIDE_X) + np.uint32(first % _HALF)
    t = position * np.uint32(_STRIDE_T) + np.uint32(second % _HALF)
    z = (x * t).view(np.int32)
    down = z // _QUARTER
    down += (z < 0) & (down * _QUARTER != z)  # toward zero
    return ((z + down) * t.view(np.int32)).reshape(shape)


def _random_bits_onnx(e: Emitter, node: Node, seed: str, step: str) -> str:
    shape: tuple[Size, ...] = node.attributes["shape"]
    first, second = _keys_onnx(e, seed, step, node.attributes["site"])
    split = _split(shape)
    rows, columns = product(shape[:split]), product(shape[split:])
    x = _positions(e, rows, columns, _STRIDE_X, first)
    t = _positions(e, rows, columns, _STRIDE_T, second)
    z = e.node("Mul", x, t)
    z = e.node("Add", z, e.node("Div", z, e.constant(np.array(_QUARTER, np.int32))))
    return e.reshape(e.node("Mul", z, t), (rows, columns), shape)


def _split(shape: tuple[Size, ...]) -> int:
    """Where rows end and columns begin: enough trailing axes for long vectors, but none of unknown size with others."""
    columns: Size = 1
    for axis in range(len(shape) - 1, -1, -1):
        columns = columns * shape[axis]
        if not isinstance(columns, int) or columns >= _COLUMNS:
            return axis
    return 0


def _positions(e: Emitter, rows: Size, columns: Size, stride: int, start: str) -> str:
    """start + stride * position modulo 2³², as [rows, columns]: the sum of a column and a row, which costs one pass."""

    def steps(count: Size, by: str) -> str:
        zero, one = number(e, 0, "i32"), number(e, 1, "i32")
        return e.node("Mul", e.node("Range", zero, number(e, count, "i32"), one), by)

    multiplier = e.constant(np.array(_signed(stride, 32), np.int32))
    width = e.node("Mul", number(e, columns, "i32"), multiplier)
    column = e.node("Add", steps(rows, width), start)
    return e.node("Add", e.reshape(column, (rows,), (rows, 1)), steps(columns, multiplier))


def _keys_onnx(e: Emitter, seed: str, step: str, site: int) -> tuple[str, str]:
    def constant(value: int) -> str:
        return e.constant(np.array(_signed(value, 64), np.int64))

    half = constant(_HALF)
    z = e.node("Add", e.node("Mul", seed, constant(_SEED)), e.node("Mul", step, constant(_STEP)))
    z = e.node("Add", z, constant(_START))
    for _ in range(2):
        z = e.node("Mul", z, e.node("Add", e.node("Mul", z, constant(_BEND)), constant(_TURN)))
        z = e.node("Add", z, e.node("Div", z, half))
    factor, summand = _site_multiplier(site)
    z = e.node("Add", e.node("Mul", z, constant(factor)), constant(summand))
    narrow = e.onnx_dtype("i32")
    return e.node("Cast", e.node("Div", z, half), to=narrow), e.node("Cast", z, to=narrow)


_SEED_0, _STEP_7 = np.array(0), np.array(7)

OPERATORS: tuple[Op, ...] = (
    Op(
        "random_bits(seed: i64, step: i64, shape: sizes, site: int) -> i32[*shape]",
        doc="Random bits that depend on seed, step, site and position only. The upper 24 bits of each number are "
        "uniform and independent; the lower 8 are less so.",
        numpy=_random_bits_numpy,
        nondiff="the result is random",
        onnx=_random_bits_onnx,
        samples=(
            S(_SEED_0, _STEP_7, shape=(3, 5), site=0),
            S(np.array(-(2**63)), np.array(2**63 - 1), shape=(2, 3, 300), site=1),
            S(np.array(123456789), np.array(1), shape=(4, 2, 20, 20), site=2**31),
            S(_SEED_0, _STEP_7, shape=(), site=3),
            S(_SEED_0, _STEP_7, shape=(0, 4), site=3),
            Bad((), _STEP_7, shape=(2,), site=0, code="type-mismatch"),
        ),
    ),
)
