"""Every kind of model."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from core.spec.model import StackModel
from core.spec.python_model import PythonModel


def _kind(value: Any) -> str:
    """What does not say which kind it is, is taken for a stack."""
    kind = (
        value.get("kind", "stack") if isinstance(value, dict) else getattr(value, "kind", "stack")
    )
    return str(kind)


Model = Annotated[
    Annotated[StackModel, Tag("stack")] | Annotated[PythonModel, Tag("python")],
    Discriminator(_kind),
]
MODEL_KINDS: dict[str, type[StackModel | PythonModel]] = {
    "stack": StackModel,
    "python": PythonModel,
}
