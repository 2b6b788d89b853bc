"""The examples that a workload computes on."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.spec.declaration import Spec, declare

DIGIT_CLASSES = 10
DIGIT_SHAPE = (8, 8)
DIGITS = 1797
DIGITS_PER_CLASS = 174
"""Examples of the rarest digit, which bounds support and query (resources/data/README.md)."""


class _Data(Spec):
    kind: str
    batch_size: int = declare(
        64,
        label="Batch size",
        help="Examples in one computation; unused by MAML.",
        minimum=1,
        when={"workload.examples": ("batch", "halves")},
    )


class SyntheticData(_Data):
    """Normal random inputs and targets (whole numbers below an embedding, classes for
    cross-entropy)."""

    title: ClassVar[str] = "Synthetic"
    kind: Literal["synthetic"] = "synthetic"


class SinusoidData(_Data):
    """Sine curves with random amplitude and phase, one curve a task (Finn et al. 2017, 5.1)."""

    title: ClassVar[str] = "Sinusoid tasks"
    kind: Literal["sinusoid"] = "sinusoid"


class DigitsData(_Data):
    """Handwritten 8×8 digits; under MAML N-way K-shot tasks, K = support / N."""

    title: ClassVar[str] = "Handwritten digits"
    kind: Literal["digits"] = "digits"
    ways: int = declare(
        5,
        label="Ways",
        help="Classes in a task; support and query are multiples of it.",
        minimum=2,
        maximum=DIGIT_CLASSES,
        when={"workload.examples": ("tasks",)},
    )


class ArraysData(_Data):
    """The user's own arrays: an .npz with ``x`` and ``y``, or a .csv whose last columns are the
    targets."""

    title: ClassVar[str] = "Arrays from a file"
    kind: Literal["arrays"] = "arrays"
    file: str = declare(
        "", label="File", help="An .npz with arrays x and y, or a .csv with a header.", file=True
    )


Data = Annotated[
    SyntheticData | SinusoidData | DigitsData | ArraysData, Field(discriminator="kind")
]
DATA_KINDS: dict[str, type[SyntheticData | SinusoidData | DigitsData | ArraysData]] = {
    "synthetic": SyntheticData,
    "sinusoid": SinusoidData,
    "digits": DigitsData,
    "arrays": ArraysData,
}
