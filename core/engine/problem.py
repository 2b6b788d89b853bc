"""A spec made ready to compute: weights, data and functions, the same for every repetition."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, ParamSpec

import torch
from torch import nn

from core.engine import layers, tangents
from core.engine.data import Batch, Halves, Tasks, draw_batch, draw_halves, draw_tasks
from core.engine.excerpt import WHOLE, Excerpt
from core.engine.losses import Loss, loss_of
from core.engine.own_tensors import own_tensors
from core.engine.recorder import SILENT, Recorder
from core.engine.stack import Stack
from core.engine.training import train
from core.engine.user_module import UserModule, user_module
from core.engine.user_trial import completed
from core.spec.accumulation import part_sizes
from core.spec.inner_segments import walked_twice
from core.spec.model import StackModel
from core.spec.placement import Runs, segments_of
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec
from core.spec.workloads import Examples, Maml

_EXAMPLES: dict[
    Examples, Callable[[RunSpec, torch.device, torch.dtype], Batch | Tasks | Halves]
] = {"batch": draw_batch, "tasks": draw_tasks, "halves": draw_halves}
DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "autocast": torch.float32,
}
"""Of weights, data and gradients."""


P = ParamSpec("P")
Shown = Callable[[torch.Tensor, torch.Tensor], None]
"""Is shown an output and its targets."""


def _showing(criterion: Loss, shown: Shown) -> Loss:
    def judge(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        shown(output, target)
        return criterion(output, target)

    return judge


@dataclass(frozen=True)
class Problem:
    """Everything that one repetition computes from.

    Attributes:
        spec: what was asked.
        device: where all tensors live.
        stack: the layers, or the user's module, as one function.
        parameters: leaf tensors by the names of the torch module, for example ``0.weight``; they
            require grad unless the workload differentiates by the inputs.
        buffers: running statistics by the same kind of names.
        data: what the workload computes on; for MAML the tasks of the first outer step.
        criterion: the loss of an output and its target.
        own: tensors of the workload's own that exist before it, such as the vectors of
            Hessian-vector products.
        excerpt: how much of it is computed; the rest is left out where a forecast is made from few.
        number: which part of a batch this is, which decides its random numbers.
    """

    spec: RunSpec
    device: torch.device
    stack: Stack | UserModule
    parameters: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    data: Batch | Tasks | Halves
    criterion: Loss
    own: dict[str, torch.Tensor]
    excerpt: Excerpt = WHOLE
    number: int = 0

    def units(self, count: int) -> range:
        """The like parts of the workload, or the first of them."""
        return range(count if self.excerpt.units is None else min(count, self.excerpt.units))

    def loss(
        self,
        parameters: Mapping[str, torch.Tensor],
        x: torch.Tensor,
        y: torch.Tensor,
        recorder: Recorder,
        *,
        update_statistics: bool = True,
        shown: Shown | None = None,
    ) -> torch.Tensor:
        """Loss of a batch under any parameters.

        Args:
            parameters: by name.
            x: inputs, the batch first.
            y: their targets.
            recorder: hears of the layers.
            update_statistics: false where the same pass is repeated for its derivative.
            shown: is shown the output and the targets, unless a loss of the user's own hides it.
        """
        loss = self.cast(self.stack.loss) if self.is_cast else self.stack.loss
        criterion = self.criterion if shown is None else _showing(self.criterion, shown)
        return loss(
            parameters, self.buffers, x, y, criterion, recorder, update_statistics=update_statistics
        )

    def loss_of(
        self,
        x: torch.Tensor | None,
        y: torch.Tensor,
        recorder: Recorder,
        *,
        names: Sequence[str] | None = None,
        update_statistics: bool = True,
        shown: Shown | None = None,
    ) -> Callable[[Sequence[torch.Tensor]], torch.Tensor]:
        """The same as a function of the weights alone.

        Args:
            x: inputs, the batch first; None where they are to stand behind the weights.
            y: their targets.
            recorder: hears of the layers.
            names: of the weights in the order of the function's argument, all of them; by default
                the problem's own order.
            update_statistics: as for ``loss``.
            shown: as for ``loss``.
        """
        criterion = self.criterion if shown is None else _showing(self.criterion, shown)
        order = tuple(self.parameters if names is None else names)
        stack, buffers = self.stack, self.buffers
        if isinstance(stack, Stack):
            return self.cast(
                stack.loss_of(
                    order, x, y, criterion, buffers, recorder, update_statistics=update_statistics
                )
            )

        def loss(weights: Sequence[torch.Tensor]) -> torch.Tensor:
            named = dict(zip(order, weights, strict=x is not None))
            given = weights[-1] if x is None else x
            return stack.loss(
                named, buffers, given, y, criterion, recorder, update_statistics=update_statistics
            )

        return self.cast(loss)

    @cached_property
    def is_cast(self) -> bool:
        """Whether forward passes are computed under autocast."""
        return self.spec.mitigation.precision == "autocast"

    def cast(self, function: Callable[P, torch.Tensor]) -> Callable[P, torch.Tensor]:
        """A function of the forward pass, under autocast where the spec asks for that.

        Backward passes, and the forward passes that they repeat, take the number formats that this
        one has chosen; as torch recommends, they stand outside of it.
        """
        if not self.is_cast:
            return function
        device = self.device.type

        def cast(*arguments: P.args, **keywords: P.kwargs) -> torch.Tensor:
            with torch.autocast(device, torch.bfloat16):
                return function(*arguments, **keywords)

        return cast

    @property
    def epsilon(self) -> float:
        """The relative distance of two numbers next to each other, in the coarsest format that the
        loss is computed in."""
        coarsest = torch.bfloat16 if self.is_cast else DTYPES[self.spec.mitigation.precision]
        return torch.finfo(coarsest).eps

    @cached_property
    def tasks(self) -> tuple[tuple[torch.Tensor, ...], ...]:
        """The examples of each task, in the order of ``Tasks``.

        Views made once: fresh ones in every repetition take 1.5 % of a small computation's time.
        """
        assert isinstance(self.data, Tasks)
        return tuple(zip(*(tensor.unbind() for tensor in self.data), strict=True))

    @cached_property
    def kept(self) -> dict[str, Any]:
        """What a workload makes once rather than in every repetition, by its own names.

        Nothing in it refers to the problem, which would outlive its last user.
        """
        return {}

    @cached_property
    def walked_twice(self) -> tuple[int, ...]:
        """The runs of inner steps that keep their first weights alone."""
        return walked_twice(self.spec, self.excerpt.runs)

    @cached_property
    def parts(self) -> dict[int, tuple[slice, Problem]]:
        """The parts of the batch by their numbers, with the rows of each; none of a whole batch.

        Their examples are views made once, and inputs that are differentiated by stay leaves.
        """
        count, data = self.spec.mitigation.accumulation, self.data
        examples = self.spec.data.batch_size
        if count == 1 or not isinstance(data, Batch) or self.spec.is_own_step:
            return {}
        if len(data.x) < examples:  # a part is not cut again
            return {}
        sizes = part_sizes(examples, count)
        cut, seen = dict[int, tuple[slice, Problem]](), Counter[int]()
        for number, (end, size) in enumerate(zip(accumulate(sizes), sizes, strict=True)):
            seen[size] += 1
            if self.excerpt.parts is None or seen[size] <= self.excerpt.parts:
                rows = slice(end - size, end)
                x = data.x.detach()[rows].requires_grad_(data.x.requires_grad)
                cut[number] = (rows, replace(self, data=Batch(x, data.y[rows]), number=number))
        return cut

    @property
    def examples(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of one loss; of tasks, the support set of the first."""
        x, y, *_ = self.data
        return (x[0], y[0]) if isinstance(self.data, Tasks) else (x, y)

    def reset(self) -> None:
        """Puts running statistics and torch's random numbers back to where they started.

        Only where they are used: seeding takes 100 µs of Python and leaves the processor's caches
        cold, which makes a small computation right after it 15 % slower.
        """
        self.stack.reset(self.buffers)
        self.same_random_numbers()

    @cached_property
    def is_random(self) -> bool:
        """Whether torch's random numbers are used."""
        return self.stack.random or self.spec.workload.seeded

    def same_random_numbers(self) -> None:
        """Starts torch's random numbers again, where they are used."""
        if self.is_random:
            torch.manual_seed(self.spec.measure.seed + self.number)


def prepare(
    spec: RunSpec,
    device: torch.device,
    excerpt: Excerpt = WHOLE,
    *,
    trained: bool = True,
) -> Problem:
    """Builds weights and data from the spec's seed.

    Args:
        spec: a run without problems.
        device: where to compute.
        excerpt: how much of it to compute.
        trained: whether the weights are trained where the workload asks for it; false where only
            their sizes matter.

    Raises:
        core.spec.arrays_file.UnreadableArrays: the user's arrays changed since they were checked.
        core.engine.user_file.UserFileError: the user's own model cannot be used.
        Exception: whatever a step of the user's own raises.
    """
    spec = completed(spec.as_computed())
    dtype = DTYPES[spec.mitigation.precision]
    if spec.mitigation.precision == "autocast":
        # Of rms_norm, whose weights stay in 32 bits: it is a slower kernel, and what was asked for.
        warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")
    network = _user_network if isinstance(spec.model, PythonModel) else _stack_network
    stack, parameters, buffers = network(spec, device, dtype, excerpt.segments)
    own_step = spec.is_own_step
    by_inputs = spec.workload.by_inputs and not own_step
    for parameter in parameters.values():
        parameter.requires_grad_(not by_inputs)
    data = _EXAMPLES["batch" if own_step else spec.workload.examples](spec, device, dtype)
    if isinstance(data, Batch):
        data.x.requires_grad_(by_inputs)
    way = spec.workload.derivation
    if way.tangents != "none":
        tangents.load()
    problem = Problem(
        spec=spec,
        device=device,
        stack=stack,
        parameters=parameters,
        buffers=buffers,
        data=data,
        criterion=loss_of(spec.loss, way),
        own={} if own_step else own_tensors(spec, parameters),
        excerpt=excerpt,
    )
    problem.reset()
    if isinstance(stack, UserModule):
        _settle(problem, stack)
    if trained and spec.workload.trained and not own_step:
        _train(problem)
        problem.reset()
    return problem


def _train(problem: Problem) -> None:
    """Trains the weights on the batch, as long as the workload says."""
    data = problem.data
    assert isinstance(data, Batch)
    x, y = data.x.detach(), data.y
    train(
        lambda weights: problem.loss(weights, x, y, SILENT, update_statistics=False),
        problem.parameters,
        problem.spec.workload.trained,
    )


def _settle(problem: Problem, stack: UserModule) -> None:
    """Computes once, so that what the user's code keeps for good is there before anything is
    measured: optimizers have their state and caches their tensors."""
    x, y = problem.examples
    if stack.has_step:
        stack.step((x, y), SILENT)
    else:
        problem.loss(problem.parameters, x, y, SILENT)
    problem.reset()


Network = tuple[Stack | UserModule, dict[str, torch.Tensor], dict[str, torch.Tensor]]
"""A function, its parameters and its buffers."""


def _stack_network(
    spec: RunSpec, device: torch.device, dtype: torch.dtype, segments: Runs | None
) -> Network:
    model = _right_model(spec)
    module = _module(model, spec.measure.seed)
    parameters = {
        name: parameter.detach().to(device, dtype) for name, parameter in module.named_parameters()
    }
    buffers = {
        name: buffer.to(device, dtype if buffer.is_floating_point() else buffer.dtype)
        for name, buffer in module.named_buffers()
    }
    checkpointing = spec.mitigation.checkpointing.kind
    runs = segments_of(spec) if segments is None else segments
    stack = Stack(model, spec.workload.derivation, checkpointing, runs)
    return stack, parameters, buffers


def _user_network(
    spec: RunSpec, device: torch.device, dtype: torch.dtype, segments: Runs | None
) -> Network:
    del segments  # there are none
    function = user_module(spec, device, dtype)
    return function, function.parameters, function.buffers


def _right_model(spec: RunSpec) -> StackModel:
    """The model in a form that torch differentiates right.

    WORKAROUND: in torch 2.13 the derivative of a sparse embedding gradient is right for constant
    cotangents alone. From order 3 on MAML has others, and is 1 % to 20 % off in silence, so that
    the embedding's gradient is then a dense one; so it is where conjugate gradients are to add it.
    """
    model, workload = spec.model, spec.workload
    assert isinstance(model, StackModel)
    if not isinstance(workload, Maml) or not workload.needs_dense_gradients:
        return model
    layers = tuple(
        layer.model_copy(update={"sparse": False}) if layer.kind == "embedding" else layer
        for layer in model.layers
    )
    return model.model_copy(update={"layers": layers})


def _module(model: StackModel, seed: int) -> nn.Sequential:
    """The torch module of the stack; it lends its names and initial weights.

    Built on the CPU in 32 bits, so that every device and precision starts from the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            *(layers.build(row.layer, row.input_shape or ()) for row in model.trace())
        )
