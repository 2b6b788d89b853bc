"""The least memory that a spec can need, from shapes alone.

A lower bound, not a forecast: what is certainly too large is refused before anything is allocated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.spec.accumulation import part_sizes
from core.spec.layers import Embedding
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec
from core.spec.workloads import Maml

_ITEM_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "autocast": 4}
_ACTIVATION_BYTES = _ITEM_BYTES | {"autocast": 2}
_MIB = 2**20
_CLASS_BYTES = 8
"""Classes and indices are 64-bit whole numbers."""


@dataclass(frozen=True)
class LeastBytes:
    """Bytes that must exist at one moment whatever the mitigation.

    Attributes:
        parameters: the weights.
        data: inputs and targets.
        result: the gradient, as large as what it is taken by.
        activations: the largest tensor of a layer.
        instead: what needs less, a sentence or nothing.
    """

    parameters: int
    data: int
    result: int
    activations: int
    instead: str = ""

    @property
    def total(self) -> int:
        """Weights and data, and beside them the larger of what need not exist together."""
        return self.parameters + self.data + max(self.result, self.activations)

    def refusal(self, available: int, device: str) -> str:
        """Why a run is certainly too large for what is available, with the figures."""
        counts = {
            "parameters": self.parameters,
            "data": self.data,
            "result": self.result,
            "activations": self.activations,
        }
        parts = ", ".join(f"{name} {count // _MIB:,}" for name, count in counts.items())
        return (
            f"It needs at least {self.total // _MIB:,} MiB ({parts}) and {device} has "
            f"{available // _MIB:,} MiB free; it was not started, and can be forced. "
            + self.instead
        ).rstrip()


def least_bytes(spec: RunSpec) -> LeastBytes | None:
    """A lower bound of the baseline and the peak together, None where a layer is wrong or what the
    user's own module keeps is not known."""
    if isinstance(spec.model, PythonModel):
        return None
    spec = spec.as_computed()
    rows = spec.model.trace()
    output = spec.model.output_shape
    if output is None or any(row.output_shape is None for row in rows):
        return None
    precision = spec.mitigation.precision
    item = _ITEM_BYTES[precision]
    workload = spec.workload
    if isinstance(workload, Maml):
        batch = max(workload.support, workload.query)
        examples = workload.tasks * (workload.support + workload.query)
    else:
        batch = spec.data.batch_size
        examples = 2 * batch if workload.examples == "halves" else batch
    weights = sum(row.parameters or 0 for row in rows)
    at_once = part_sizes(batch, spec.mitigation.accumulation)[0]
    # A sparse gradient has the used rows alone.
    dense = weights - sum(
        row.parameters or 0 for row in rows if isinstance(row.layer, Embedding) and row.layer.sparse
    )
    inputs = math.prod(spec.model.input_shape)
    input_item = _CLASS_BYTES if spec.model.takes_whole_numbers else item
    targets = math.prod(output) * item
    if spec.loss == "cross_entropy":
        targets = math.prod(output[1:]) * _CLASS_BYTES
    order = workload.derivative_order
    outputs = [
        row.layer.held_numbers(row.input_shape or (), order) for _, row in spec.model.outline()
    ]
    return LeastBytes(
        parameters=weights * item,
        data=examples * (inputs * input_item + targets),
        result=(batch * inputs if workload.by_inputs else workload.result_numbers(dense)) * item,
        activations=at_once * max(outputs, default=0) * _ACTIVATION_BYTES[precision],
        instead=workload.instead,
    )
