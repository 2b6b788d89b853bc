"""The files that ship with the program."""

import re

import numpy as np
import pytest
import torch

import resources
from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from tests.own_models import own_spec


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


@pytest.mark.parametrize("name", [None, "loss", "step"])
def test_that_the_example_is_a_model_whose_comments_are_a_loss_and_a_step(
    name: str | None, tmp_path
) -> None:
    text = resources.path("examples/own_model.py").read_text(encoding="utf-8")
    if name is not None:
        commented = re.search(rf"^# def {name}\(.*(\n# .*)*", text, re.MULTILINE)[0]
        text += re.sub("^# ", "", commented, flags=re.MULTILINE)
    file = tmp_path / "own_model.py"
    file.write_text(text)
    problem = prepare(own_spec(file), torch.device("cpu"))
    known = problem.spec.model.known
    assert (known.has_loss, known.has_step) == (name == "loss", name == "step")
    result = compute(problem, SILENT).result
    assert "0.share" in result
    assert all(tensor.isfinite().all() and tensor.any() for tensor in result.values())
