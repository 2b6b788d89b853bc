"""The least memory that a spec can need, from shapes alone.

A lower bound, not a forecast: what is certainly too large is refused before anything is allocated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.spec.run import RunSpec
from core.spec.workloads import Maml

_ITEM_BYTES = {"float32": 4, "float64": 8}


@dataclass(frozen=True)
class LeastBytes:
    """Bytes that exist at one moment whatever the mitigation.

    Attributes:
        parameters: weights and running statistics.
        data: inputs and targets.
        result: the gradient, as large as what it is taken by.
        activations: the largest layer's input and output.
    """

    parameters: int
    data: int
    result: int
    activations: int

    @property
    def total(self) -> int:
        """The sum."""
        return self.parameters + self.data + self.result + self.activations


def least_bytes(spec: RunSpec) -> LeastBytes | None:
    """A lower bound of the peak, None where a layer is wrong."""
    rows = spec.model.trace()
    output = spec.model.output_shape
    if output is None or any(row.output_shape is None for row in rows):
        return None
    item = _ITEM_BYTES[spec.mitigation.precision]
    workload = spec.workload
    batch = workload.query if isinstance(workload, Maml) else spec.data.batch_size
    examples = (
        workload.tasks * (workload.support + workload.query)
        if isinstance(workload, Maml)
        else spec.data.batch_size
    )
    weights = sum(row.parameters or 0 for row in rows)
    inputs = math.prod(spec.model.input_shape)
    targets = math.prod(output) if spec.loss == "mse" else math.prod(output[1:]) * 8 // item
    by_inputs = not isinstance(workload, Maml) and workload.wrt == "inputs"
    largest = (
        max(math.prod(row.input_shape or ()) + math.prod(row.output_shape or ()) for row in rows)
        if rows
        else 0
    )
    return LeastBytes(
        parameters=weights * item,
        data=examples * (inputs + targets) * item,
        result=(batch * inputs if by_inputs else weights) * item,
        activations=batch * largest * item,
    )
