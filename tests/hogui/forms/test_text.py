"""What typed text means, field kind by field kind."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogui.forms.names import choice_text
from hogui.forms.text import read_text, write_text

COUNTS = st.integers(min_value=0, max_value=2**63)


@pytest.mark.parametrize("text", ["3×32×32", "3x32x32", "3, 32, 32", "[3, 32, 32]", "3 X 32 * 32"])
def test_that_a_shape_may_be_written_in_every_usual_way(text):
    assert read_text("shape", text) == [3, 32, 32]


@pytest.mark.parametrize("text", ["", "3×", "3×a", "2.5×3"])
def test_that_text_which_is_no_shape_comes_back_as_it_was_typed(text):
    assert read_text("shape", text) == text


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("3×5", [3, 5]), ("none", None), ("3×", "3×"), ("x", "x")]
)
def test_that_a_pair_is_one_number_or_two_or_none(text, value):
    assert read_text("int_or_pair", text) == value


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0,01", "ten", ""])
def test_that_what_json_cannot_hold_stays_text_for_the_spec_to_refuse(text):
    value = read_text("float", text)
    assert value == text
    json.dumps(value, allow_nan=False)


def test_that_a_whole_number_is_not_rounded_from_a_fraction():
    assert read_text("int", "2.5") == 2.5


@given(st.lists(COUNTS))
def test_that_a_written_shape_is_read_back(shape):
    assert read_text("shape", write_text(tuple(shape))) == shape


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_that_a_written_number_is_read_back_to_the_last_digit(number):
    assert read_text("float", write_text(number)) == number


@given(COUNTS)
def test_that_the_largest_seed_is_read_back_exactly(number):
    assert read_text("int", write_text(number)) == number


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("reverse_over_reverse", "reverse over reverse"),
        ("i_fgsm", "I-FGSM"),
        ("float32", "float32"),
        ("none", "none"),
    ],
)
def test_that_choices_are_words_and_not_keys(word: str, text: str) -> None:
    assert choice_text(word) == text
