"""Budgets as they are typed, and as they are offered."""

import pytest

from hogui.budget_text import budget_from_text, text_of_budget


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512 MiB", 512 * 2**20),
        ("512MB", 512 * 2**20),
        (" 2 g ", 2 * 2**30),
        ("1.5 GiB", 1536 * 2**20),
        (".5 TiB", 2**39),
        ("64 kib", 64 * 2**10),
    ],
)
def test_that_a_number_with_its_unit_is_read(text: str, expected: int) -> None:
    assert budget_from_text(text) == expected


@pytest.mark.parametrize(
    "text", ["", "512", "MiB", "-1 MiB", "0 MiB", "1,5 GiB", "2 PiB", "nan GiB"]
)
def test_that_anything_else_is_refused_with_what_was_given_and_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="for example 512 MiB") as refused:
        budget_from_text(text)
    assert str(refused.value).startswith(text or "Nothing")


@pytest.mark.parametrize("budget", [1, 1000, 2**20, 7 * 2**27 + 12345, 24 * 2**30, 2**44 - 1])
def test_that_an_offered_budget_is_never_more_than_there_is(budget: int) -> None:
    text = text_of_budget(budget)
    if budget >= 1024:
        assert 0.99 * budget <= budget_from_text(text) <= budget


def test_that_round_budgets_are_offered_as_they_are() -> None:
    assert text_of_budget(24 * 2**30) == "24 GiB"
    assert text_of_budget(512 * 2**20) == "512 MiB"
