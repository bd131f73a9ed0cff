"""Random bits from a counter: a hash of seed, step, site and position, in integer arithmetic that every provider has.

ONNX Runtime's own generators keep a state that differs among providers and cannot be set for a step; a hash needs none,
so a run that is stopped and resumed draws what it would have drawn. Only Mul, Add and Div are used, because CUDA has no
kernels for shifts and exclusive or. Of these, sums and quotients alone do not mix: the difference of two neighbours
would take a handful of values. So numbers are multiplied with each other: `_pair` makes two numbers of a counter, for
each row and for each column of the result, and each element mixes the sums of its row's numbers and its column's. The
expensive part is done for rows and columns only; an element costs six passes.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from netlang.dims import Size

from ..op import Bad, Op, S
from .common import number, product

if TYPE_CHECKING:
    from ..emit import Emitter
    from ..ir import Node

_WORD = 1 << 32
_HALF = 1 << 16

# The numbers of splitmix64 and MurmurHash3, where a multiplier must be even one less: any well mixed ones would do.
_SEED, _STEP, _START = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_BEND, _TURN = 0xD6E8FEB86659FD92, 0xA0761D6478BD642F
_FIRST_STRIDE, _SECOND_STRIDE, _SPREAD = 0x9E3779B1, 0x85EBCA6A, 0xC2B2AE3C
_COLUMN_KEYS = 0x7F4A7C15, 0x1CE4E5B9

_COLUMNS = 256
"""So many columns are enough: more make the vectors no longer, and the tables of columns bigger."""


def _signed(value: int, bits: int) -> int:
    """`value` modulo 2ᵇⁱᵗˢ, as a signed number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _toward_zero(value: int, divisor: int) -> int:
    return abs(value) // divisor * (1 if value >= 0 else -1)


@cache
def _site_multiplier(site: int) -> tuple[int, int]:
    """An even factor and an odd summand for each site: what tells the sites of one step apart."""
    z = (site + 1) * _SEED & (1 << 64) - 1
    mixed: list[int] = []
    for _ in range(2):
        z = z * (z * _BEND + _TURN) & (1 << 64) - 1
        z ^= z >> 32
        mixed.append(z)
    return _signed(mixed[0] * 4 + 2, 64), _signed(mixed[1] | 1, 64)


def _mixed(seed: int, step: int) -> int:
    """A signed 64-bit number; neighbouring seeds and steps give unrelated ones."""
    z = _signed(seed * _SEED + step * _STEP + _START, 64)
    for _ in range(2):
        z = _signed(z * (z * _BEND + _TURN), 64)
        z = _signed(z + _toward_zero(z, _WORD), 64)
    return z


def _keys(mixed: int, site: int) -> tuple[int, int]:
    """Two 32-bit keys, the second odd."""
    factor, summand = _site_multiplier(site)
    z = _signed(mixed * factor + summand, 64)
    return _toward_zero(z, _WORD), _signed(z, 32)


def _split(shape: tuple[Size, ...]) -> int:
    """How many leading axes make rows. The first always does: the draws of a sample do not depend on the others."""
    columns: Size = 1
    for axis in range(len(shape) - 1, 0, -1):
        if not isinstance(columns, int) or columns >= _COLUMNS:
            return axis + 1
        columns = columns * shape[axis]
    return min(1, len(shape))


# --- NumPy ---------------------------------------------------------------------------------------------------------


def _random_bits_numpy(
    seed: np.ndarray, step: np.ndarray, first: np.ndarray, shape: tuple[int, ...], site: int
) -> np.ndarray:
    split = _split(shape)
    keys = _keys(_mixed(int(seed), int(step)), site)
    start = int(first) * math.prod(shape[1:split])
    row, row_start, row_spread = _pair(start, math.prod(shape[:split]), *keys)
    column, _, column_spread = _pair(0, math.prod(shape[split:]), *_COLUMN_KEYS)
    x = row[:, None] + column
    t = (row_spread + row_start)[:, None] + column_spread
    return (_folded(x * t) * t).reshape(shape).view(np.int32)


def _pair(start: int, count: int, first_key: int, second_key: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For `count` positions from `start` a mixed number, an odd counter, and an even number mixed further; mod 2³²."""
    position = np.arange(start, start + count).astype(np.uint32)
    x = position * np.uint32(_FIRST_STRIDE) + np.uint32(first_key % _WORD)
    t = position * np.uint32(_SECOND_STRIDE) + np.uint32(second_key % _WORD)
    mixed = _folded(x * t) * t
    return mixed, t, _folded(mixed) * np.uint32(_SPREAD)


def _folded(z: np.ndarray) -> np.ndarray:
    """z + z / 2¹⁶ of signed numbers, rounded toward zero: brings the upper half, the better mixed one, down."""
    signed = z.view(np.int32)
    down = signed // _HALF
    down += (signed < 0) & (down * _HALF != signed)
    return z + down.view(np.uint32)


# --- ONNX ----------------------------------------------------------------------------------------------------------


def _random_bits_onnx(e: Emitter, node: Node, seed: str, step: str, first: str) -> str:
    shape: tuple[Size, ...] = node.attributes["shape"]
    split = _split(shape)
    rows, columns = product(shape[:split]), product(shape[split:])
    column_keys = (e.constant(_narrow(key)) for key in _COLUMN_KEYS)
    start = e.node("Mul", e.node("Cast", first, to=e.onnx_dtype("i32")), number(e, product(shape[1:split]), "i32"))
    row, row_start, row_spread = _pair_onnx(e, start, rows, *_keys_onnx(e, seed, step, node.attributes["site"]))
    column, _, column_spread = _pair_onnx(e, number(e, 0, "i32"), columns, *column_keys)

    def upright(values: str) -> str:
        return e.reshape(values, (rows,), (rows, 1))

    x = e.node("Add", upright(row), column)
    t = e.node("Add", upright(e.node("Add", row_spread, row_start)), column_spread)
    return e.reshape(e.node("Mul", _folded_onnx(e, e.node("Mul", x, t)), t), (rows, columns), shape)


def _pair_onnx(e: Emitter, start: str, count: Size, first_key: str, second_key: str) -> tuple[str, str, str]:
    end = e.node("Add", start, number(e, count, "i32"))
    position = e.node("Range", start, end, number(e, 1, "i32"))
    x = e.node("Add", e.node("Mul", position, e.constant(_narrow(_FIRST_STRIDE))), first_key)
    t = e.node("Add", e.node("Mul", position, e.constant(_narrow(_SECOND_STRIDE))), second_key)
    mixed = e.node("Mul", _folded_onnx(e, e.node("Mul", x, t)), t)
    return mixed, t, e.node("Mul", _folded_onnx(e, mixed), e.constant(_narrow(_SPREAD)))


def _folded_onnx(e: Emitter, z: str) -> str:
    return e.node("Add", z, e.node("Div", z, e.constant(np.array(_HALF, np.int32))))


def _narrow(value: int) -> np.ndarray:
    return np.array(_signed(value, 32), np.int32)


def _keys_onnx(e: Emitter, seed: str, step: str, site: int) -> tuple[str, str]:
    def constant(value: int) -> str:
        return e.constant(np.array(_signed(value, 64), np.int64))

    word = constant(_WORD)
    z = e.node("Add", e.node("Mul", seed, constant(_SEED)), e.node("Mul", step, constant(_STEP)))
    z = e.node("Add", z, constant(_START))
    for _ in range(2):
        z = e.node("Mul", z, e.node("Add", e.node("Mul", z, constant(_BEND)), constant(_TURN)))
        z = e.node("Add", z, e.node("Div", z, word))
    factor, summand = _site_multiplier(site)
    z = e.node("Add", e.node("Mul", z, constant(factor)), constant(summand))
    narrow = e.onnx_dtype("i32")
    return e.node("Cast", e.node("Div", z, word), to=narrow), e.node("Cast", z, to=narrow)


_SEED_0, _STEP_7, _FIRST = np.array(0), np.array(7), np.array(0)

OPERATORS: tuple[Op, ...] = (
    Op(
        "random_bits(seed: i64, step: i64, first: i64, shape: sizes, site: int) -> i32[*shape]",
        doc="Random bits that depend on seed, step, site and position only. The first axis counts the samples, from "
        "`first` on: what a sample draws does not depend on how many there are, nor on where a batch is cut.",
        numpy=_random_bits_numpy,
        nondiff="the result is random",
        onnx=_random_bits_onnx,
        samples=(
            S(_SEED_0, _STEP_7, _FIRST, shape=(3, 5), site=0),
            S(np.array(-(2**63)), np.array(2**63 - 1), _FIRST, shape=(2, 3, 300), site=1),
            S(np.array(123456789), np.array(1), np.array(6), shape=(4, 2, 20, 20), site=2**31),
            S(_SEED_0, _STEP_7, _FIRST, shape=(), site=3),
            S(_SEED_0, _STEP_7, _FIRST, shape=(0, 4), site=3),
            Bad((), _STEP_7, _FIRST, shape=(2,), site=0, code="type-mismatch"),
        ),
    ),
)
