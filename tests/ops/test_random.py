"""`random_bits`: what every provider must give, and whether it looks random. Every draw here is fixed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from netlang.compiler.builder import Builder
from netlang.compiler.ops import OPS
from netlang.compiler.ops.random import _keys, _mixed

from netlang.dims import symbol
from netlang.types import TensorType

from .harness import run_onnx

LIMIT = 5.0
"""Standard deviations that a statistic may be away from what is expected; 1 in 1.7 million is, of some thousand."""


def draw(*shape: int, seed: int = 0, step: int = 0, first: int = 0, site: int = 0) -> np.ndarray:
    """Bits as unsigned numbers."""
    bits = OPS["random_bits"].numpy(np.array(seed), np.array(step), np.array(first), shape=shape, site=site)
    return bits.view(np.uint32)


def excess(values: np.ndarray, bins: int) -> float:
    """The chi-square of whole numbers below `bins` against equal frequencies, in standard deviations."""
    counts = np.bincount(values.ravel(), minlength=bins).astype(float)
    expected = values.size / bins
    return (np.sum((counts - expected) ** 2 / expected) - (bins - 1)) / math.sqrt(2 * (bins - 1))


def top(values: np.ndarray, bits: int = 8) -> np.ndarray:
    return (values >> np.uint32(32 - bits)).astype(np.int64)


def test_known_values():
    """The stream is part of the format: a run must resume with the draws of an older version."""
    assert draw(2, 3, seed=1, step=2, site=3).tolist() == [
        [4183836416, 3668598850, 2785948876],
        [2839821071, 2116510154, 3098501125],
    ]


@pytest.mark.parametrize("shape", [(64,), (5, 7), (3, 2, 300), (2, 3, 20, 20)])
def test_onnxruntime_gives_the_same_bits_with_an_open_batch(shape):
    b = Builder()
    seed, step, first = (b.input(name, TensorType("i64")) for name in ("seed", "step", "first"))
    batch = b.input("batch", TensorType("f32", (symbol("n"),)))
    b.output("bits", b.random_bits(seed, step, first, shape=(symbol("n"), *shape[1:]), site=9))
    b.output("sum", b.sum(batch))
    feeds = {"seed": np.array(7), "step": np.array(11), "first": np.array(5), "batch": np.zeros(shape[0], np.float32)}
    found = run_onnx(b.graph(), feeds)["bits"]
    np.testing.assert_array_equal(found.view(np.uint32), draw(*shape, seed=7, step=11, first=5, site=9))


@pytest.mark.parametrize("shape", [(), (7,), (3, 40), (2, 300, 20), (5, 20, 20)])
def test_a_sample_draws_the_same_whatever_the_batch(shape):
    whole = draw(8, *shape)
    np.testing.assert_array_equal(whole[:3], draw(3, *shape))
    np.testing.assert_array_equal(whole[3:], draw(5, *shape, first=3))
    np.testing.assert_array_equal(draw(8)[:3], draw(3))


def test_every_bit_is_set_half_of_the_time():
    bits = draw(2048, 512)
    for position in range(32):
        ones = np.count_nonzero(bits >> np.uint32(position) & 1)
        assert abs(ones - bits.size / 2) / math.sqrt(bits.size / 4) < LIMIT


@pytest.mark.parametrize("shape", [(2048, 512), (1 << 20,), (1, 1 << 20), (1 << 17, 8)])
def test_moments_of_uniform_numbers(shape):
    uniform = (draw(*shape).view(np.int32) // 256) * 2.0**-24 + 0.5
    for power in (1, 2, 3, 4):
        mean, variance = 1 / (power + 1), 1 / (2 * power + 1) - 1 / (power + 1) ** 2
        assert abs(np.mean(uniform**power) - mean) / math.sqrt(variance / uniform.size) < LIMIT
    assert 0 <= uniform.min() < 1e-5
    assert 1 - 1e-5 < uniform.max() < 1


@pytest.mark.parametrize("shape", [(2048, 512), (1 << 20,), (1, 1 << 20), (1 << 17, 8)])
def test_bytes_are_uniform(shape):
    bits = draw(*shape)
    for shift in (0, 8, 16, 24):
        assert abs(excess((bits >> np.uint32(shift) & 255).astype(np.int64), 256)) < LIMIT


LAGS = [*range(1, 65), *(1 << k for k in range(7, 18)), 511, 513, 784, 1000, 3 * 512]


@pytest.mark.parametrize("shape", [(1024, 512), (1 << 19,), (1, 1 << 19), (1 << 16, 8)])
def test_neighbours_are_independent(shape):
    """At every lag: no correlation, and pairs, differences and exclusive ors are uniform."""
    bits = draw(*shape).ravel()
    centred = bits / 2.0**32 - 0.5
    for lag in LAGS:
        a, c = bits[:-lag], bits[lag:]
        correlation = np.mean(centred[:-lag] * centred[lag:]) * 12 * math.sqrt(a.size)
        assert abs(correlation) < LIMIT, lag
        assert abs(excess(top(a, 5) * 32 + top(c, 5), 1024)) < LIMIT, lag
        assert abs(excess(top(c - a), 256)) < LIMIT, lag
        assert abs(excess(top(c ^ a), 256)) < LIMIT, lag


@pytest.mark.parametrize("shape", [(2048, 512), (1 << 20,), (1, 1 << 20)])
def test_no_linear_relation_among_equidistant_numbers(shape):
    """Higher differences give away counters that were mixed by polynomials only."""
    bits = draw(*shape).ravel()
    for lag in (1, 2, 8, 64, 512, 4096, 1 << 16):
        for order in range(2, 7):
            size = bits.size - order * lag
            terms = (np.uint32(math.comb(order, j) * (-1) ** j % 2**32) * bits[j * lag : j * lag + size]
                     for j in range(order + 1))  # fmt: skip
            assert abs(excess(top(sum(terms, np.zeros(size, np.uint32))), 256)) < LIMIT, (lag, order)


def test_rows_and_columns_do_not_show():
    """Each number mixes one of its row and one of its column: rectangles must not tell."""
    bits = draw(2048, 512)
    for row in (1, 2, 8, 64):
        for column in (1, 2, 8, 64):
            a, c = bits[row:, column:], bits[:-row, column:]
            d, f = bits[row:, :-column], bits[:-row, :-column]
            assert abs(excess(top(a - c - d + f), 256)) < LIMIT, (row, column)
            assert abs(excess(top(a ^ c ^ d ^ f), 256)) < LIMIT, (row, column)


OTHER = [
    {"site": 1}, {"site": 2}, {"site": 2**31 - 1}, {"step": 1}, {"step": 2}, {"step": 2**40}, {"seed": 1},
    {"seed": 2}, {"seed": -1}, {"seed": 2**63 - 1}, {"seed": 1, "step": -1}, {"seed": -1, "step": 1},
]  # fmt: skip


@pytest.mark.parametrize("other", OTHER, ids=str)
def test_streams_are_independent(other):
    """Neighbouring seeds, steps and sites: as they stand, and one shifted against the other."""
    bits, others = draw(256, 1024), draw(256, 1024, **other)
    for shift in (0, 1, 2, 1024):
        a, c = bits.ravel()[shift:], others.ravel()[: others.size - shift]
        correlation = np.mean((a / 2.0**32 - 0.5) * (c / 2.0**32 - 0.5)) * 12 * math.sqrt(a.size)
        assert abs(correlation) < LIMIT
        assert abs(excess(top(a, 5) * 32 + top(c, 5), 1024)) < LIMIT
        assert abs(excess(top(c - a), 256)) < LIMIT
        assert abs(excess(top(c ^ a), 256)) < LIMIT


def test_one_place_through_the_steps():
    """What one element draws, step after step, site after site and seed after seed."""
    for name in ("step", "site", "seed"):
        bits = np.array([draw(1, 1, **{name: i})[0, 0] for i in range(1 << 13)])
        assert abs(excess(top(bits, 6), 64)) < LIMIT
        assert abs(excess(top(bits[1:] - bits[:-1], 6), 64)) < LIMIT
        assert abs(excess(top(bits[1:] ^ bits[:-1], 6), 64)) < LIMIT


def test_no_two_sites_and_steps_share_their_keys():
    mixed = [_mixed(0, step) for step in range(1024)]
    keys = {_keys(z, site) for z in mixed for site in range(1024)}
    assert len(keys) == 1 << 20


def test_the_numbers_that_repeat_are_as_many_as_chance_has_it():
    """The birthday paradox: of n random 32-bit numbers about n² / 2³³ are equal to an earlier one."""
    bits = draw(2048, 512)
    repeated = bits.size - np.unique(bits).size
    expected = bits.size**2 / 2**33
    assert abs(repeated - expected) < LIMIT * math.sqrt(expected)
