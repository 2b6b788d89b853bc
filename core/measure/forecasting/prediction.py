"""One workload watched without being computed: tensors that have a shape and no numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)

from core.engine import tangents
from core.engine.excerpt import WHOLE, Excerpt
from core.engine.problem import prepare
from core.engine.repeats import repeating
from core.engine.user_file import UserFileError
from core.engine.workloads import compute
from core.measure.forecasting.numberless import Predicted
from core.measure.forecasting.quick_fake import QuickFake
from core.measure.forecasting.repeats import NotRepeated, QuicklyPredicted
from core.measure.memory.blocks import Books
from core.spec.layers import Embedding
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec

_DATA_DEPENDENT = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)


class Unpredictable(ValueError):
    """A workload whose memory depends on its numbers; the message says why, in one sentence."""


def predict(
    spec: RunSpec,
    device: torch.device,
    block_bytes: int = 1,
    excerpt: Excerpt = WHOLE,
) -> Books:
    """What the ledger would write down, did the workload run; times are numbers of operations.

    Args:
        spec: a run without problems.
        device: where its tensors would live.
        block_bytes: the allocator rounds every storage up to a multiple of these.
        excerpt: how much of it is followed.

    Raises:
        Unpredictable: an operation's memory depends on the numbers that it works on.
    """
    if spec.workload.derivation.tangents != "none":
        tangents.load()
    if _suits_quick(spec, device):
        try:
            ledger = QuicklyPredicted(device, block_bytes)
            # Several vectors at once are tensors whose storages nobody may ask for.
            with nullcontext() if spec.workload.derivation.batched else repeating(ledger):
                return _predicted(spec, device, ledger, QuickFake(), excerpt)
        except NotRepeated:
            return _predicted(
                spec, device, QuicklyPredicted(device, block_bytes), QuickFake(), excerpt
            )
    plain = Predicted(device, block_bytes)
    return _predicted(spec, device, plain, _without_numbers(spec), excerpt)


def _predicted(
    spec: RunSpec,
    device: torch.device,
    ledger: Predicted,
    without_numbers: AbstractContextManager[object],
    excerpt: Excerpt,
) -> Books:
    state = torch.get_rng_state()
    try:
        with without_numbers:
            problem = prepare(spec, device, excerpt, trained=False)
            ledger.register_problem(problem)
            with ledger:
                computed = compute(problem, ledger)
            books = ledger.books()
            del computed
    except _DATA_DEPENDENT as error:
        raise Unpredictable(_sentence(error)) from error
    except UserFileError as error:
        raise Unpredictable(str(error)) from error
    except NotRepeated:
        raise
    except Exception as error:
        # What code of the user's own makes of tensors without numbers is anybody's guess.
        if not isinstance(error, RuntimeError) and not isinstance(spec.model, PythonModel):
            raise
        if _has_sparse(spec) and "parse" in str(error):
            higher = spec.workload.derivative_order > 1
            raise Unpredictable(_SPARSE_AGAIN if higher else _SPARSE) from error
        raise Unpredictable(
            f"It cannot be followed without numbers: {_first_line(error)}"
        ) from error
    finally:
        torch.set_rng_state(state)
    return books


def _suits_quick(spec: RunSpec, device: torch.device) -> bool:
    """Whether ``QuickFake`` knows all its tensors: a file of the user's may hold some of any
    kind."""
    own = isinstance(spec.model, PythonModel)
    return device.type == "cpu" and not (own or _has_sparse(spec))


def _without_numbers(spec: RunSpec) -> FakeTensorMode:
    """Tensors without numbers; a file of the user's may hold some that have them."""
    return FakeTensorMode(allow_non_fake_inputs=isinstance(spec.model, PythonModel))


_SPARSE = (
    "How much a sparse gradient holds depends on the numbers: which rows of the embedding are used."
)


_SPARSE_AGAIN = (
    "Tensors without numbers have no second derivative of a sparse gradient, so that it is known "
    "once the run has measured it."
)


def _sentence(error: Exception) -> str:
    operation = getattr(error, "func", None)
    named = f" ({operation})" if operation is not None else ""
    return f"An operation's memory depends on the numbers that it works on{named}."


def _first_line(error: Exception) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return (line or type(error).__name__).rstrip(".") + "."


def _has_sparse(spec: RunSpec) -> bool:
    return any(isinstance(layer, Embedding) and layer.sparse for layer in spec.model.layers)
