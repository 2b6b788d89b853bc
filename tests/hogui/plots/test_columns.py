"""The reduction to pixel columns against slow, obvious oracles."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogui.plots.columns import GrowingArray, PeakIndex, SampledLine, StepStack


def stack_of(times: list[float], **columns: list[int]) -> StepStack:
    stack = StepStack()
    stack.append(times, columns)
    return stack


@given(
    chunks=st.lists(st.lists(st.integers(-9, 9), max_size=90), min_size=1, max_size=8),
    data=st.data(),
)
def test_that_the_highest_of_any_range_is_found_whatever_the_chunks(chunks, data):
    values = GrowingArray(np.int64)
    index = PeakIndex(values)
    for chunk in chunks:
        values.extend(chunk)
        index.update()
    flat = [value for chunk in chunks for value in chunk]
    if not flat:
        return
    start = data.draw(st.integers(0, len(flat) - 1))
    stop = data.draw(st.integers(start + 1, len(flat)))
    (found,) = index.argmax(np.array([start]), np.array([stop]))
    assert found == start + int(np.argmax(flat[start:stop]))


def test_that_a_spike_of_one_sample_among_a_million_survives_every_width_and_zoom():
    length, at = 1_000_000, 654_321
    bytes_ = np.full(length, 1000)
    bytes_[at] = 77_000
    stack = StepStack()
    for start in range(0, length, 33_333):
        stop = start + 33_333
        times = np.arange(start, min(stop, length)) * 1e-6
        stack.append(times, {"activations": bytes_[start:stop]})
    for width in (1, 7, 800, 1999):
        columns = stack.reduce(0.0, 1.0, width, length)
        (hit,) = np.flatnonzero(columns.index == at)
        assert columns.left[hit] <= at * 1e-6 < columns.right[hit]
    for low, high in ((0.6, 0.7), (0.654_3, 0.654_4), (0.654_320_5, 0.9)):
        assert at in stack.reduce(low, high, 500, length).index


@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), min_size=1, max_size=60),
    width=st.integers(1, 40),
    low=st.integers(-5, 60),
    span=st.integers(1, 100),
)
def test_that_a_column_shows_the_highest_total_that_holds_anywhere_in_it(steps, width, low, span):
    times = np.cumsum([step for step, _ in steps]).astype(float)
    totals = [value for _, value in steps]
    stack = stack_of(list(times), other=totals)
    columns = stack.reduce(low, low + span, width, len(totals))
    edges = np.linspace(low, low + span, width + 1)
    for left, right in pairwise(edges):
        # A sample holds on [its time, the next sample's time); the last holds at its own instant.
        ends = np.append(times[1:], np.nextafter(times[-1], np.inf))
        alive = [
            total
            for start, end, total in zip(times, ends, totals, strict=True)
            if start < right and end > left
        ]
        middle = (left + right) / 2
        shown = np.flatnonzero((columns.left <= middle) & (middle < columns.right))
        assert [totals[columns.index[i]] for i in shown] == ([max(alive)] if alive else [])


def test_that_what_is_stacked_in_a_column_was_alive_together():
    stack = stack_of([0.0, 0.1, 0.2, 0.3], activations=[9, 0, 5, 0], gradients=[0, 9, 5, 0])
    columns = stack.reduce(0.0, 1.0, 1, 4)
    (index,) = columns.index
    assert (stack.category("activations")[index], stack.category("gradients")[index]) == (5, 5)


def test_that_a_category_that_appears_late_was_zero_before_and_one_that_stops_is_zero_after():
    stack = stack_of([0.0, 1.0], activations=[1, 2])
    stack.append([2.0], {"graph_1": [7]})
    stack.append([3.0], {"activations": [4]})
    assert stack.category("graph_1").tolist() == [0, 0, 7, 0]
    assert stack.category("activations").tolist() == [1, 2, 0, 4]
    assert stack.totals.tolist() == [1, 2, 7, 4]


def test_that_samples_beyond_the_asked_length_are_not_seen():
    stack = stack_of([0.0, 1.0, 2.0], other=[1, 2, 99])
    assert stack.peak(2) == 1
    assert stack.highest(0, 9, 2) == 2
    assert 2 not in stack.reduce(0, 3, 10, 2).index
    assert stack.at(2.0, 2) is None


def test_that_a_sample_holds_until_the_next_one():
    stack = stack_of([1.0, 2.0, 4.0], other=[1, 2, 3])
    held = [stack.at(time, 3) for time in (0.5, 1.0, 1.9, 3.9, 4.0, 4.1)]
    assert held == [None, 0, 0, 1, 2, None]


def test_that_a_range_between_two_samples_is_as_high_as_the_one_that_holds():
    stack = stack_of([0.0, 1.0, 2.0], other=[5, 8, 3])
    assert stack.highest(1.2, 1.4, 3) == 8


@pytest.mark.parametrize(
    ("times", "columns", "said"),
    [([0.0, 1.0], {"other": [1]}, "other has 1"), ([1.0, 0.5], {"other": [1, 2]}, "must not fall")],
)
def test_that_malformed_samples_are_refused_and_change_nothing(times, columns, said):
    stack = stack_of([0.0], other=[1])
    with pytest.raises(ValueError, match=said):
        stack.append(times, columns)
    assert len(stack) == 1


def test_that_an_array_handed_out_keeps_its_values_while_more_is_appended():
    array = GrowingArray(np.int64)
    array.extend([1, 2, 3])
    early = array.values
    for _ in range(100):
        array.extend([9] * 50)
    assert early.tolist() == [1, 2, 3]
    assert len(array) == 5003


def test_that_a_long_sampled_line_keeps_its_lowest_and_highest_value():
    line = SampledLine()
    for i in range(20_000):
        line.append(i / 1000, 500 + (400 if i == 12_345 else -300 if i == 7_777 else i % 3))
    times, values = line.reduce(0.0, 20.0, 300, len(line))
    assert len(times) <= 600
    assert (values.max(), values.min()) == (900, 200)
    assert np.all(np.diff(times) >= 0)
