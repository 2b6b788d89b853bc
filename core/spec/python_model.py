"""The user's own model: a callable of a Python file, which only the measuring process loads."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PrivateAttr
from typing_extensions import override

from core.spec.declaration import Problem, Spec, declare
from core.spec.layers import LayerSpec, Shape
from core.spec.model import LayerRow


class UserLayer(LayerSpec):
    """A module of the user's that holds no others; its kind is the name of its class."""

    title: ClassVar[str] = "Module"
    group: ClassVar[str] = "Own"
    kind: str

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        raise NotImplementedError("Only the module itself knows.")


class PythonModel(Spec):
    """An ``nn.Module`` that a file makes. What is known of it once it was loaded is kept beside the
    fields and is no part of the spec's JSON."""

    title: ClassVar[str] = "From a Python file"
    kind: Literal["python"] = "python"
    file: str = declare(
        "", label="File", help="A .py file; only the measuring process runs it.", file=True
    )
    callable: str = declare(
        "model",
        label="Callable",
        help="A class or function of the file that, called without arguments, gives the module.",
    )
    input_shape: tuple[int, ...] = declare(
        label="Input shape", help="Sizes of one example, without the batch.", minimum=1
    )
    vocabulary: int | None = declare(
        None,
        label="Vocabulary",
        help="Where the inputs are whole numbers: how many there are.",
        minimum=1,
        advanced=True,
    )
    layers: ClassVar[tuple[LayerSpec, ...]] = ()

    _rows: tuple[LayerRow, ...] | None = PrivateAttr(default=None)
    _output_shape: Shape | None = PrivateAttr(default=None)

    def seen(self, rows: tuple[LayerRow, ...], output_shape: Shape) -> PythonModel:
        """The same model with what loading it has shown.

        Args:
            rows: its modules that hold no others, in the order in which they ran first.
            output_shape: of one example.
        """
        known = self.model_copy()
        known._rows, known._output_shape = rows, output_shape
        return known

    @property
    def is_seen(self) -> bool:
        """Whether it was loaded."""
        return self._rows is not None

    def trace(self) -> tuple[LayerRow, ...]:
        """Its modules, none before it was loaded."""
        return self._rows or ()

    @property
    def output_shape(self) -> Shape | None:
        """Shape of one output, None before it was loaded."""
        return self._output_shape

    @property
    def takes_whole_numbers(self) -> bool:
        """Whether the inputs are whole numbers."""
        return self.vocabulary is not None

    def problems(self) -> Iterator[Problem]:
        """Why the file cannot be loaded, as far as can be told without running it."""
        path = Path(self.file)
        if not self.file or path.suffix != ".py":
            yield Problem(
                ("model", "file"),
                f'model.file: "{self.file}" was given; allowed: the path of a .py file.',
            )
        elif not path.is_file():
            yield Problem(
                ("model", "file"), f'model.file: "{self.file}" was given; there is no such file.'
            )
        if not self.callable.isidentifier() or keyword.iskeyword(self.callable):
            yield Problem(
                ("model", "callable"),
                f'model.callable: "{self.callable}" was given; allowed: the name of a class or '
                "function of the file.",
            )
