from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.oracle.fixed_point import (
    Multiplier,
    doubling_high_mul,
    rounding_divide_by_pot,
    wrapped,
)

INT32 = st.integers(-(2**31), 2**31 - 1)


def ties_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


@given(INT32, INT32)
def test_the_high_half_of_a_product_is_rounded_with_ties_up(a: int, b: int) -> None:
    found = int(doubling_high_mul(np.int64(a), b))
    assert found == min(ties_up(Fraction(a * b, 2**31)), 2**31 - 1)


@given(INT32, st.integers(0, 31))
def test_division_by_a_power_of_two_rounds_ties_away_from_zero(value: int, exponent: int) -> None:
    sign = -1 if value < 0 else 1
    expected = sign * ties_up(Fraction(abs(value), 2**exponent))
    assert int(rounding_divide_by_pot(np.int64(value), exponent)) == expected


@given(st.floats(1e-9, 1.0), st.integers(-(2**24), 2**24))
def test_a_product_is_within_one_of_the_real_one(real: float, value: int) -> None:
    found = int(Multiplier.of(real).apply(np.asarray([value]))[0])
    assert abs(found - real * value) <= 1.0 + abs(real * value) * 2.0**-30


@given(st.floats(1e-9, 1.0), st.integers(-(2**24), 2**24))
def test_one_rounding_is_that_of_the_product(real: float, value: int) -> None:
    multiplier = Multiplier.of(real)
    exact = Fraction(value * multiplier.mantissa[0]) * Fraction(2) ** (multiplier.shift[0] - 31)
    assert int(multiplier.apply_once(np.asarray([value]))[0]) == ties_up(exact)


@given(st.lists(st.floats(1e-9, 2.0**20), min_size=1, max_size=5))
def test_mantissas_have_31_bits(reals: list[float]) -> None:
    multiplier = Multiplier.of(np.asarray(reals))
    assert all(2**30 <= m < 2**31 for m in multiplier.mantissa)
    exact = [
        m * 2.0 ** (s - 31) for m, s in zip(multiplier.mantissa, multiplier.shift, strict=True)
    ]
    assert exact == pytest.approx(reals, rel=2.0**-30)


def test_what_no_shift_can_reach_is_zero() -> None:
    assert Multiplier.of(0.0) == Multiplier((0,), (0,))
    assert Multiplier.of(2.0**-40) == Multiplier((0,), (0,))
    assert Multiplier.of(1.0 - 2.0**-40) == Multiplier((2**30,), (1,))


def test_channels_are_the_last_axis() -> None:
    values = np.asarray([[100, 100], [200, 200]])
    found = Multiplier.of(np.asarray([0.5, 0.25])).apply(values)
    assert found.tolist() == [[50, 25], [100, 50]]


def test_sums_wrap_as_int32_does() -> None:
    assert wrapped(np.asarray([2**31, -(2**31) - 1])).tolist() == [-(2**31), 2**31 - 1]
