"""The files that ship with the program."""

import numpy as np
import pytest

import resources


def test_that_the_digits_are_the_ten_kinds_of_small_images() -> None:
    with np.load(resources.path("data/digits.npz")) as digits:
        images, labels = digits["images"], digits["labels"]
    assert images.shape == (1797, 8, 8)
    assert (images.dtype, labels.dtype) == (np.uint8, np.uint8)
    assert (images.min(), images.max()) == (0, 16)
    # The published counts per digit of the test part of the UCI data set.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_that_the_source_and_the_licence_of_the_data_ship_with_it() -> None:
    page = resources.path("data/README.md").read_text(encoding="utf-8")
    assert "10.24432/C50P49" in page
    assert "CC BY 4.0" in page


def test_that_a_resource_that_does_not_exist_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"presets/missing\.json"):
        resources.path("presets/missing.json")
