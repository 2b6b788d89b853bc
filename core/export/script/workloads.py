"""The derivative: ``compute()`` of each workload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from core.export.script.model import Network
from core.export.script.source import call
from core.spec.declaration import Spec
from core.spec.run import RunSpec
from core.spec.workloads import Maml, NestedGradient

META_GRADIENT = 2


def workload(spec: RunSpec, network: Network) -> tuple[str, ...]:
    """The source, one text for each definition; the last is ``compute``, of loss and result."""
    return tuple(_WORKLOADS[type(spec.workload)](spec, network))


def _nested_gradient(spec: RunSpec, network: Network) -> Iterator[str]:
    wrt = "parameters" if spec.workload.wrt == "parameters" else "[x]"  # type: ignore[union-attr]
    if spec.workload.order == 1:
        yield _FIRST_GRADIENT.replace("WRT", wrt).replace("LOSS", network.loss)
    else:
        yield _GRADIENT
        yield _NESTED.replace("WRT", wrt).replace("LOSS", network.loss)


def _maml(spec: RunSpec, network: Network) -> Iterator[str]:
    workload = spec.workload
    assert isinstance(workload, Maml)
    if workload.order > META_GRADIENT:
        yield _GRADIENT
    is_exact = workload.order >= META_GRADIENT
    is_rematerialized = is_exact and spec.mitigation.inner_loop == "checkpoint"
    if is_rematerialized:
        yield _rematerialized_step(network)
    else:
        yield _STEP if is_exact else _DETACHED_STEP
    yield _TASK_LOSS if is_exact else _ADAPT
    yield _task_gradient(workload)
    yield _ONE_TASK if workload.tasks == 1 else _mean(workload)


_WORKLOADS: dict[type[Spec], Callable[[Any, Network], Iterator[str]]] = {
    NestedGradient: _nested_gradient,
    Maml: _maml,
}


_GRADIENT = '''\
def gradient(totals, wrt, create_graph):
    """Gradient of a sum of scalars; None by what nothing depends on."""
    if not totals:
        return [None] * len(wrt)
    return torch.autograd.grad(totals, wrt, create_graph=create_graph, allow_unused=True)'''

_FIRST_GRADIENT = '''\
def compute():
    """The loss and its gradient."""
    total = LOSS
    value = total.detach().clone()  # a copy, which does not keep what the total lies in
    return value, torch.autograd.grad(total, WRT)'''

_HIGHER = """\
    for order in range(FIRST, ORDER + 1):
        totals = [g.sum() for g in gradients if g is not None and g.requires_grad]
        gradients = None  # what is still needed, the totals hold
        gradients = gradient(totals, WRT, create_graph=order < ORDER)"""

_NESTED = f'''\
def compute():
    """The loss, and its gradient's sum's gradient's sum's ... gradient."""
    totals = [LOSS]
    value = totals[0].detach().clone()  # a copy, which does not keep what the total lies in
    gradients = torch.autograd.grad(totals, WRT, create_graph=True)
{_HIGHER.replace("FIRST", "2")}
    return value, [torch.zeros_like(w) if g is None else g for w, g in zip(WRT, gradients)]'''

_STEP = '''\
def step(weights, x, y):
    """The weights after one step of gradient descent, with its graph."""
    gradients = torch.autograd.grad(loss(weights, x, y), weights, create_graph=True)
    return [torch.add(w, g, alpha=-INNER_RATE) for w, g in zip(weights, gradients)]'''

_DETACHED_STEP = '''\
def step(weights, x, y):
    """The weights after one step of gradient descent, without a graph."""
    gradients = torch.autograd.grad(loss(weights, x, y), weights)
    with torch.no_grad():
        stepped = [torch.add(w, g, alpha=-INNER_RATE) for w, g in zip(weights, gradients)]
    return [w.requires_grad_() for w in stepped]'''


def _rematerialized_step(network: Network) -> str:
    """A step that keeps its weights alone; with ``step`` it makes two definitions."""
    update, first, again = "", "", ""
    if network.updates:
        update, first, again = ", update", ", update=True", ", update=False"
    replayed = "replayed(again)" if network.random else "again"
    return f'''\
def descend(weights, x, y, create_graph{update}):
    """The weights after one step of gradient descent."""
    total = [loss(weights, x, y{update})]
    gradients = torch.autograd.grad(total, weights, create_graph=create_graph)
    del total
    return [torch.add(w, g, alpha=-INNER_RATE) for w, g in zip(weights, gradients)]


def step(weights, x, y):
    """The same, of which gradients of every order keep the weights alone."""

    def first(*weights):
        return descend(weights, x, y, create_graph=False{first})

    def again(*weights):
        return descend(weights, x, y, create_graph=True{again})

    return rematerialize(first, *weights, again={replayed})'''


_TASK_LOSS = '''\
def task_loss(support_x, support_y, query_x, query_y):
    """The loss on the query set after some steps on the support set."""
    weights = parameters
    for _ in range(INNER_STEPS):
        weights = step(weights, support_x, support_y)
    return loss(weights, query_x, query_y)'''

_ADAPT = '''\
def adapt(x, y):
    """The weights after some steps on the support set."""
    weights = parameters
    for _ in range(INNER_STEPS):
        weights = step(weights, x, y)
    return weights'''


def _task_gradient(workload: Maml) -> str:
    # The mean over the tasks.
    seeds = [] if workload.tasks == 1 else ["[torch.full_like(value, 1 / TASKS)]"]
    lines = ["def task_gradient(*task):", '    """The loss of a task and the meta-gradient."""']
    if workload.order < META_GRADIENT:
        lines = [
            "def task_gradient(support_x, support_y, query_x, query_y):",
            '    """The loss of a task and the first-order approximation of the meta-gradient."""',
            "    weights = adapt(support_x, support_y)",
            "    totals = [loss(weights, query_x, query_y)]",
        ]
    else:
        lines.append("    totals = [task_loss(*task)]")
    lines.append("    value = totals[0].detach().clone()")
    wrt = "weights" if workload.order < META_GRADIENT else "parameters"
    if workload.order <= META_GRADIENT:
        lines += call("return value, ", "torch.autograd.grad", ["totals", wrt, *seeds], 1)
        return "\n".join(lines)
    arguments = ["totals", "parameters", *seeds, "create_graph=True"]
    lines += call("gradients = ", "torch.autograd.grad", arguments, 1)
    lines.append(_HIGHER.replace("FIRST", "3").replace("WRT", "parameters"))
    lines.append("    return value, gradients")
    return "\n".join(lines)


_ONE_TASK = '''\
def compute():
    """The loss and the meta-gradient."""
    (task,) = zip(*data)
    value, gradients = task_gradient(*task)
    zeros = torch.zeros_like
    return value, [zeros(w) if g is None else g for w, g in zip(parameters, gradients)]'''


def _mean(workload: Maml) -> str:
    add = "            mean.add_(gradient)"
    if workload.order > META_GRADIENT:
        add = "            if gradient is not None:\n                mean.add_(gradient)"
    return f'''\
def compute():
    """The mean loss of the tasks and the meta-gradient, one task after the other."""
    means = [torch.zeros_like(w) for w in parameters]
    values = []
    for task in zip(*data):
        value, gradients = task_gradient(*task)
        for mean, gradient in zip(means, gradients):
{add}
        values.append(value)
        del gradients, gradient  # not kept beside the next task's
    return torch.stack(values).mean(), means'''
