"""Why a run failed, with the line of the user's own file where that is to blame."""

from __future__ import annotations

from core.engine.user_file import UserFileError, line_of, raised_sentence
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec

_NO_DERIVATIVE = ("is not implemented", "double backward", "once_differentiable", "forward AD")
"""How torch says that something has no derivative of this order or mode."""

_FREED = "backward through the graph a second time"


def failure_sentence(spec: RunSpec, error: BaseException) -> str:
    """One sentence, without the stack and the addresses that torch adds.

    Args:
        spec: what was run.
        error: what ended it.
    """
    return _of_the_user(spec, error) or _first_sentence(error)


def _of_the_user(spec: RunSpec, error: BaseException) -> str | None:
    """What went wrong in the user's own file, None where it was something else."""
    model = spec.model
    if not isinstance(model, PythonModel) or isinstance(error, UserFileError):
        return None
    said = _first_sentence(error).rstrip(".")
    if isinstance(error, RuntimeError) and any(words in said for words in _NO_DERIVATIVE):
        order = spec.workload.derivative_order
        times = {1: "once", 2: "twice"}.get(order, f"{order} times")
        return (
            f"The model of {model.path.name} cannot be differentiated {times} in this way: {said}; "
            "use another operation, a lower order, or finite differences."
        )
    if line_of(model.path, error) is not None:
        return raised_sentence(model.path, "the file's code", error)
    if _FREED in said:
        return (
            f"Something in {model.path.name} has freed the graph of its loss, as .backward() does; "
            "loss(module, batch) returns the loss and leaves its derivatives to the measurement."
        )
    return None


def _first_sentence(error: BaseException) -> str:
    """What an operation said, without the stack and the addresses that follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
