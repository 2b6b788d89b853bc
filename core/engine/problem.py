"""A spec made ready to compute: weights, data and functions, the same for every repetition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from core.engine import layers, tangents
from core.engine.data import Batch, Halves, Tasks, draw_batch, draw_halves, draw_tasks
from core.engine.losses import Loss, loss_of
from core.engine.own_tensors import own_tensors
from core.engine.recorder import Recorder, Silent
from core.engine.stack import Stack
from core.engine.training import train
from core.spec.model import StackModel
from core.spec.run import RunSpec
from core.spec.workloads import Examples, Maml

_EXAMPLES: dict[
    Examples, Callable[[RunSpec, torch.device, torch.dtype], Batch | Tasks | Halves]
] = {"batch": draw_batch, "tasks": draw_tasks, "halves": draw_halves}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Problem:
    """Everything that one repetition computes from.

    Attributes:
        spec: what was asked.
        device: where all tensors live.
        stack: the layers as one function.
        parameters: leaf tensors by the names of the torch module, for example ``0.weight``; they
            require grad unless the workload differentiates by the inputs.
        buffers: running statistics by the same kind of names.
        data: what the workload computes on; for MAML the tasks of the first outer step.
        criterion: the loss of an output and its target.
        own: tensors of the workload's own that exist before it, such as the vectors of
            Hessian-vector products.
        most_units: how many like parts of the workload are computed at most; the rest is left out
            where a forecast is made from few.
    """

    spec: RunSpec
    device: torch.device
    stack: Stack
    parameters: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    data: Batch | Tasks | Halves
    criterion: Loss
    own: dict[str, torch.Tensor]
    most_units: int | None = None

    def units(self, count: int) -> range:
        """The like parts of the workload, or the first of them."""
        return range(count if self.most_units is None else min(count, self.most_units))

    def loss(
        self,
        parameters: Mapping[str, torch.Tensor],
        x: torch.Tensor,
        y: torch.Tensor,
        recorder: Recorder,
        *,
        update_statistics: bool = True,
    ) -> torch.Tensor:
        """Loss of a batch under any parameters."""
        output = self.stack.forward(
            parameters, self.buffers, x, recorder, update_statistics=update_statistics
        )
        return self.criterion(output, y)

    def reset(self) -> None:
        """Puts running statistics and torch's random numbers back to where they started.

        Only where they are used: seeding takes 100 µs of Python and leaves the processor's caches
        cold, which makes a small computation right after it 15 % slower.
        """
        reset_statistics(self.buffers)
        self.same_random_numbers()

    def same_random_numbers(self) -> None:
        """Starts torch's random numbers again, where they are used."""
        if self.stack.random or self.spec.workload.seeded:
            torch.manual_seed(self.spec.measure.seed)


def reset_statistics(buffers: Mapping[str, torch.Tensor]) -> None:
    """The running statistics of a network that has seen no batch."""
    for name, buffer in buffers.items():
        buffer.fill_(1 if name.endswith("running_var") else 0)


def prepare(
    spec: RunSpec,
    device: torch.device,
    most_units: int | None = None,
    *,
    trained: bool = True,
) -> Problem:
    """Builds weights and data from the spec's seed.

    Args:
        spec: a run without problems.
        device: where to compute.
        most_units: how many like parts of the workload to compute at most.
        trained: whether the weights are trained where the workload asks for it; false where only
            their sizes matter.

    Raises:
        core.spec.arrays_file.UnreadableArrays: the user's file changed since it was checked.
    """
    spec = spec.as_computed()
    dtype = DTYPES[spec.mitigation.precision]
    module = _module(spec.model, spec.measure.seed)
    by_inputs = spec.workload.by_inputs
    parameters = {
        name: parameter.detach().to(device, dtype).requires_grad_(not by_inputs)
        for name, parameter in module.named_parameters()
    }
    buffers = {
        name: buffer.to(device, dtype if buffer.is_floating_point() else buffer.dtype)
        for name, buffer in module.named_buffers()
    }
    data = _EXAMPLES[spec.workload.examples](spec, device, dtype)
    if isinstance(data, Batch):
        data.x.requires_grad_(by_inputs)
    way = spec.workload.derivation
    if way.tangents != "none":
        tangents.load()
    problem = Problem(
        spec=spec,
        device=device,
        stack=Stack(_right_model(spec), way, spec.mitigation.checkpointing),
        parameters=parameters,
        buffers=buffers,
        data=data,
        criterion=loss_of(spec.loss, way),
        own=own_tensors(spec, parameters),
        most_units=most_units,
    )
    problem.reset()
    if trained and spec.workload.trained:
        _train(problem)
        problem.reset()
    return problem


def _train(problem: Problem) -> None:
    """Trains the weights on the batch, as long as the workload says."""
    data = problem.data
    assert isinstance(data, Batch)
    x, y = data.x.detach(), data.y
    train(
        lambda weights: problem.loss(weights, x, y, Silent(), update_statistics=False),
        problem.parameters,
        problem.spec.workload.trained,
    )


def _right_model(spec: RunSpec) -> StackModel:
    """The model in a form that torch differentiates right.

    WORKAROUND: in torch 2.13 the derivative of a sparse embedding gradient is right for constant
    cotangents alone. From order 3 on MAML has others, and is 1 % to 20 % off in silence, so that
    the embedding's gradient is then a dense one; so it is where conjugate gradients are to add it.
    """
    workload = spec.workload
    if not isinstance(workload, Maml) or not workload.needs_dense_gradients:
        return spec.model
    layers = tuple(
        layer.model_copy(update={"sparse": False}) if layer.kind == "embedding" else layer
        for layer in spec.model.layers
    )
    return spec.model.model_copy(update={"layers": layers})


def _module(model: StackModel, seed: int) -> nn.Sequential:
    """The torch module of the stack; it lends its names and initial weights.

    Built on the CPU in 32 bits, so that every device and precision starts from the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            *(layers.build(row.layer, row.input_shape or ()) for row in model.trace())
        )
