"""Figures as users read them."""

from math import inf, nan

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hogui import units
from hogui.units import BYTES, MIB, SECONDS, Scale

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (208 * MIB, "208 MiB"),
        (int(20.5 * MIB), "20.5 MiB"),
        (1023 * MIB, "1023 MiB"),
        (23 * 1024 * MIB, "23.0 GiB"),
        (-3 * MIB, "−3.00 MiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_that_bytes_are_binary_and_have_three_digits(value, text):
    assert units.format_bytes(value).replace(NBSP, " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (3.04e-3, "3.04 ms"),
        (12.34e-6, "12.3 µs"),
        (5e-9, "5.00 ns"),
        (0.99951, "1.00 s"),
        (9.99e-4, "999 µs"),
        (1.1, "1.10 s"),
        (59.9, "59.9 s"),
        (60, "1 min 00 s"),
        (3 * 3600 + 125, "3 h 02 min"),
        (-2e-3, "−2.00 ms"),
        (nan, "NaN"),
        (inf, "∞"),
        (-inf, "−∞"),
    ],
)
def test_that_seconds_choose_their_unit(value, text):
    assert units.format_seconds(value).replace(NBSP, " ") == text


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ((798e-6, 773e-6, 828e-6), "798 µs [773, 828]"),
        ((1.2e-3, 0.98e-3, 2e-3), "1.20 ms [0.98, 2.00]"),
        ((70, 65, 80), "70.0 s [65.0, 80.0]"),
        ((0, 0, 0), "0 s [0, 0]"),
    ],
)
def test_that_an_interval_shares_the_unit_of_its_median(figures, text):
    assert units.format_interval(*figures).replace(NBSP, " ") == text


@pytest.mark.parametrize(
    ("largest", "decimals"), [(3072, 1), (100, 1), (99.9, 2), (5.25, 3), (0.5, 4), (0.01, 5)]
)
def test_that_a_column_keeps_four_digits_of_its_largest(largest, decimals):
    assert units.column_decimals(largest) == decimals


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (1.0, "1.00×"), (0.4, "0.40×"), (12.34, "12.3×"), (250.4, "250×"), (inf, "∞")],
)
def test_that_ratios_carry_their_sign(value, text):
    assert units.format_ratio(value) == text


@pytest.mark.parametrize(("value", "first"), [(None, 1.0), (1.0, None), (1.0, 0), (None, None)])
def test_that_there_is_no_ratio_to_nothing(value, first):
    assert units.ratio(value, first) is None


def test_that_a_ratio_is_how_many_times_the_first():
    assert units.ratio(3.0, 2.0) == 1.5


def test_that_a_column_in_mib_has_the_same_decimals_in_every_row():
    mib = Scale(MIB, "MiB")
    texts = [mib.number(value, 2) for value in (0, MIB // 2, 208 * MIB, 12_345 * MIB)]
    assert texts == ["0.00", "0.50", "208.00", "12345.00"]


def test_that_a_value_that_rounds_to_zero_has_no_sign():
    assert Scale(MIB, "MiB").number(-1, 2) == "0.00"
    assert Scale(1e-3, "ms").number(-1e-9, 3) == "0.000"


def test_that_counts_are_grouped_without_breaking_the_line():
    assert units.format_count(1_048_576) == f"1{NBSP}048{NBSP}576"


@given(st.integers(0, 2**62))
def test_that_a_formatted_byte_count_means_what_it_was_to_half_a_digit(value):
    number, unit = units.format_bytes(value).split(NBSP)
    scale = next(scale for scale in BYTES if scale.unit == unit)
    assert float(number) * scale.factor == pytest.approx(value, rel=0.006)


@given(st.floats(1e-9, 59))
def test_that_a_formatted_duration_means_what_it_was_to_half_a_digit(value):
    number, unit = units.format_seconds(value).split(NBSP)
    scale = next(scale for scale in SECONDS if scale.unit == unit)
    assert float(number) * scale.factor == pytest.approx(value, rel=0.006)


@given(
    low=st.floats(-1e12, 1e12),
    width=st.floats(1e-6, 1e12),
    at_most=st.integers(1, 12),
    scale=st.sampled_from([*BYTES, *SECONDS, Scale(1, "")]),
)
def test_that_ticks_are_round_inside_and_few(low, width, at_most, scale):
    high = low + width
    assume(width > 1e-9 * max(abs(low), abs(high)))
    ticks = units.ticks(low, high, at_most, scale)
    step = units.tick_step(low, high, at_most, scale)
    assert len(ticks) <= at_most + 1
    assert all(low - step * 1e-6 <= tick <= high + step * 1e-6 for tick in ticks)
    digits = f"{step / scale.factor:.6e}".replace(".", "")
    assert digits[0] in "125"
    assert set(digits[1:7]) == {"0"}


def test_that_ticks_of_memory_are_round_in_mib_not_in_bytes():
    assert units.ticks(0, 210 * MIB, 5, BYTES[2]) == [0, 50 * MIB, 100 * MIB, 150 * MIB, 200 * MIB]


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (nan, 1), (0, inf)])
def test_that_an_empty_range_has_no_ticks(low, high):
    assert units.ticks(low, high, 5, BYTES[0]) == []


@pytest.mark.parametrize(("step", "decimals"), [(0.2, 1), (0.05, 2), (1, 0), (50, 0)])
def test_that_tick_labels_have_as_many_decimals_as_the_step_needs(step, decimals):
    assert units.tick_decimals(step, Scale(1, "")) == decimals
