"""Meta-learning: ``compute()`` is the mean meta-gradient of the tasks."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.model import Network, rematerializes_steps
from core.export.script.source import call
from core.export.script.workloads import inner_loop
from core.export.script.workloads.meta_variants import (
    PROXIMAL_STEP,
    SOLVE,
    implicit_gradient,
    reptile,
)
from core.export.script.workloads.orders import GRADIENT, HIGHER
from core.spec.run import RunSpec
from core.spec.workloads import Maml

META_GRADIENT = 2


_NAMES = {"maml": "MAML", "anil": "ANIL", "reptile": "Reptile", "imaml": "iMAML"}


def about(spec: RunSpec) -> str:
    """What is computed."""
    workload = spec.workload
    assert isinstance(workload, Maml)
    kinds = {1: "first-order meta-gradient", 2: "meta-gradient"}
    kind = kinds.get(workload.order, f"gradient of order {workload.order}")
    return f"{_NAMES[workload.variant]}, {kind}"


def constants(spec: RunSpec) -> Iterator[str]:
    """Sizes of the tasks and what is done with them."""
    workload = spec.workload
    assert isinstance(workload, Maml)
    for name in ("TASKS", "SUPPORT", "QUERY", "INNER_STEPS"):
        yield f"{name} = {getattr(workload, name.lower())}"
    yield f"INNER_RATE = {workload.inner_lr}"
    if workload.variant == "imaml":
        yield f"REGULARISATION = {workload.regularisation}"
        yield f"CG_ITERATIONS = {workload.cg_iterations}"
    if workload.order > META_GRADIENT:
        yield f"ORDER = {workload.order}"
    yield from inner_loop.constants(spec)


def source(spec: RunSpec, network: Network) -> Iterator[str]:
    """The definitions that a meta-gradient needs; the last is ``compute``."""
    workload = spec.workload
    assert isinstance(workload, Maml)
    if workload.order > META_GRADIENT:
        yield GRADIENT
    if workload.variant == "imaml":
        yield PROXIMAL_STEP
    elif rematerializes_steps(spec):
        yield from inner_loop.definitions(spec, network)
    else:
        step = _STEP if workload.unrolls else _DETACHED_STEP
        yield step.replace("loss(", "head_loss(") if network.head else step
    yield (_task_loss if workload.unrolls else _adapt)(spec, network)
    if workload.variant == "imaml":
        yield SOLVE
        yield implicit_gradient(workload, network)
    else:
        yield reptile(workload) if workload.variant == "reptile" else _task_gradient(workload)
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


def _task_loss(spec: RunSpec, network: Network) -> str:
    head = [
        "def task_loss(support_x, support_y, query_x, query_y):",
        '    """The loss on the query set after some steps on the support set."""',
    ]
    if not network.head:
        lines = ["    weights = parameters", *inner_loop.loop(spec, "support_x", "support_y")]
        return "\n".join([*head, *lines, "    return loss(weights, query_x, query_y)"])
    lines = [
        *_body(spec, network),
        "    x = features(body, support_x)",
        *inner_loop.loop(spec, "x", "support_y"),
        "    del x",
        "    return loss([*body, *weights], query_x, query_y)",
    ]
    return "\n".join([*head, *lines])


def _adapt(spec: RunSpec, network: Network) -> str:
    head = ["def adapt(x, y):", '    """The weights after some steps on the support set."""']
    if not network.head:
        lines = ["    weights = parameters", *inner_loop.loop(spec, "x", "y"), "    return weights"]
        return "\n".join([*head, *lines])
    lines = [
        *_body(spec, network),
        "    with torch.no_grad():",
        "        x = features(body, x)",
        *inner_loop.loop(spec, "x", "y"),
        "    return [*body, *weights]",
    ]
    return "\n".join([*head, *lines])


def _body(spec: RunSpec, network: Network) -> list[str]:
    """The weights that stay, and those of the head."""
    rows = spec.model.trace()[: network.head]
    staying = sum(len(row.layer.parameter_shapes(row.input_shape or ())) for row in rows)
    return [f"    body, weights = parameters[:{staying}], parameters[{staying}:]"]


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
