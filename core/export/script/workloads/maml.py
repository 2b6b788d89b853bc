"""Meta-learning: ``compute()`` is the mean meta-gradient of the tasks."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.model import Network
from core.export.script.source import call
from core.export.script.workloads.orders import GRADIENT, HIGHER
from core.spec.run import RunSpec
from core.spec.workloads import Maml

META_GRADIENT = 2


def about(spec: RunSpec) -> str:
    """What is computed."""
    order = spec.workload.derivative_order
    kinds = {1: "first-order meta-gradient", 2: "meta-gradient"}
    return f"MAML, {kinds.get(order, f'gradient of order {order}')}"


def constants(spec: RunSpec) -> Iterator[str]:
    """Sizes of the tasks and what is done with them."""
    workload = spec.workload
    assert isinstance(workload, Maml)
    for name in ("TASKS", "SUPPORT", "QUERY", "INNER_STEPS"):
        yield f"{name} = {getattr(workload, name.lower())}"
    yield f"INNER_RATE = {workload.inner_lr}"
    if workload.order > META_GRADIENT:
        yield f"ORDER = {workload.order}"


def source(spec: RunSpec, network: Network) -> Iterator[str]:
    """The definitions that a meta-gradient needs; the last is ``compute``."""
    workload = spec.workload
    assert isinstance(workload, Maml)
    if workload.order > META_GRADIENT:
        yield GRADIENT
    is_exact = workload.order >= META_GRADIENT
    is_rematerialized = is_exact and spec.mitigation.inner_loop == "checkpoint"
    if is_rematerialized:
        yield _rematerialized_step(network)
    else:
        yield _STEP if is_exact else _DETACHED_STEP
    yield _TASK_LOSS if is_exact else _ADAPT
    yield _task_gradient(workload)
    yield _ONE_TASK if workload.tasks == 1 else _mean(workload)


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
    replayed = network.replay if network.random else "again"
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
    lines.append(HIGHER.replace("FIRST", "3").replace("WRT", "parameters"))
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
