"""The user's own model: a callable of a Python file, which only the measuring process loads."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PrivateAttr
from typing_extensions import override

from core.spec.declaration import Problem, Spec, declare, shown
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


@dataclass(frozen=True)
class Known:
    """What loading a model has shown.

    Attributes:
        rows: the modules that compute something themselves, in the order in which they began first.
        names: their names within the whole module, for example ``encoder.0``; as many.
        output_shape: of one example.
        changing: names of the buffers that a forward pass changes.
        weights: how many numbers each trainable weight has.
        random: whether torch's random numbers are drawn, as far as can be seen.
        has_loss: whether the file defines a loss of its own.
        has_step: whether it defines a computation of its own.
    """

    rows: tuple[LayerRow, ...]
    names: tuple[str, ...]
    output_shape: Shape
    changing: frozenset[str]
    weights: tuple[int, ...]
    random: bool
    has_loss: bool
    has_step: bool


class PythonModel(Spec):
    """An ``nn.Module`` that a file makes.

    What is known of it once it was loaded is kept beside the fields: it is no part of the spec's
    JSON, and of what makes two of them equal.
    """

    title: ClassVar[str] = "Python file"
    kind: Literal["python"] = "python"
    file: str = declare(
        "", label="File", help="A .py file; nothing runs it but Inspect and a run.", file=True
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
    leaves: ClassVar[tuple[LayerSpec, ...]] = ()
    functions: ClassVar[frozenset[str]] = frozenset()

    _known: Known | None = PrivateAttr(default=None)

    def with_known(self, known: Known) -> PythonModel:
        """The same model with what loading it has shown."""
        model = self.model_copy()
        model._known = known
        return model

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, PythonModel) and self._values() == other._values()

    @override
    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[object, ...]:
        return self.file, self.callable, self.input_shape, self.vocabulary

    @property
    def known(self) -> Known | None:
        """What loading it has shown, None before."""
        return self._known

    @property
    def path(self) -> Path:
        """Where the file lies.

        Raises:
            RuntimeError: there is no such user behind a tilde.
        """
        return Path(self.file).expanduser().resolve()

    @property
    def state(self) -> tuple[int, int] | None:
        """What is another after the file was changed; None where there is none."""
        try:
            stat = self.path.stat()
        except (OSError, RuntimeError, ValueError):
            return None
        return stat.st_mtime_ns, stat.st_size

    def trace(self) -> tuple[LayerRow, ...]:
        """Its modules, none before it was loaded."""
        return () if self._known is None else self._known.rows

    def outline(self) -> tuple[tuple[tuple[int, ...], LayerRow], ...]:
        """The same with their positions, as a stack has them."""
        return tuple(((row.index,), row) for row in self.trace())

    @property
    def output_shape(self) -> Shape | None:
        """Shape of one output, None before it was loaded."""
        return None if self._known is None else self._known.output_shape

    @property
    def takes_whole_numbers(self) -> bool:
        """Whether the inputs are whole numbers."""
        return self.vocabulary is not None

    @property
    def is_random(self) -> bool:
        """Whether it draws random numbers; it may, before it was loaded."""
        return self._known is None or self._known.random

    def row_of(self, name: str) -> int:
        """The row that a weight or buffer belongs to: of the closest module around it that has
        one, -1 where none has."""
        names = () if self._known is None else self._known.names
        module = name
        while module:
            module = module.rpartition(".")[0]
            if module in names:
                return names.index(module)
        return -1

    def problems(self) -> Iterator[Problem]:
        """Why the file cannot be loaded, as far as can be told without running it."""
        if Path(self.file).suffix != ".py":
            yield Problem(
                ("model", "file"),
                f"model.file: {shown(self.file)} was given; allowed: the path of a .py file.",
            )
        elif not self._is_file():
            yield Problem(
                ("model", "file"),
                f"model.file: {shown(self.file)} was given; there is no such file.",
            )
        if not self.callable.isidentifier() or keyword.iskeyword(self.callable):
            yield Problem(
                ("model", "callable"),
                f"model.callable: {shown(self.callable)} was given; allowed: the name of a class "
                "or function of the file.",
            )

    def _is_file(self) -> bool:
        """What is no possible path is none."""
        try:
            return self.path.is_file()
        except (OSError, RuntimeError, ValueError):
            return False
