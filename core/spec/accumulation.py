"""The batch in parts that are computed one after the other: how it is cut, and where it cannot be.

A mean loss is the sum of the parts' mean losses by their shares of the examples, and so is every
derivative of it, of whatever order. Each part's graph is gone before the next one's is made.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.spec.data import Data
from core.spec.declaration import Path, Problem
from core.spec.mitigations import Mitigation
from core.spec.models import Model
from core.spec.python_model import PythonModel
from core.spec.workloads import Workload

_KEY: Path = ("mitigation", "accumulation")


def part_sizes(examples: int, parts: int) -> tuple[int, ...]:
    """How many examples each part has: as equal as they can be, the larger ones first.

    Args:
        examples: of the whole batch, at least as many as there are parts.
        parts: how many.
    """
    size, larger = divmod(examples, parts)
    return (size + 1,) * larger + (size,) * (parts - larger)


def accumulation_misfits(
    model: Model, data: Data, workload: Workload, mitigation: Mitigation
) -> Iterator[Problem]:
    """Why the batch cannot be computed in that many parts, one sentence each."""
    given = f"mitigation.accumulation: {mitigation.accumulation} was given; "
    if mitigation.accumulation == 1:
        return
    if workload.undivided:
        yield Problem(_KEY, f"{given}{workload.undivided}; allowed: 1.")
        return
    if mitigation.accumulation > data.batch_size:
        yield Problem(
            _KEY,
            f"{given}each part needs an example; allowed: at most data.batch_size, "
            f"{data.batch_size}.",
        )
    for place, row in model.outline():
        if _mixes_examples(model, row.layer.kind):
            yield Problem(
                _KEY,
                f"{given}{row.layer.kind} (layer {place[0] + 1}) takes its statistics over the "
                "whole batch, which parts do not have; allowed: 1, or a norm of each example by "
                "itself, such as group_norm.",
            )


def _mixes_examples(model: Model, kind: str) -> bool:
    if isinstance(model, PythonModel):
        return kind.startswith(("BatchNorm", "SyncBatchNorm"))
    return kind == "batch_norm"
