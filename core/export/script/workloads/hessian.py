"""Hessians: ``compute()`` fills the matrix."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.model import Network
from core.export.script.parts import are_parts, parts
from core.spec.run import RunSpec
from core.spec.workloads import Hessian


def about(spec: RunSpec) -> str:
    """What is computed."""
    workload = spec.workload
    assert isinstance(workload, Hessian)
    return "Hessian, " + {"rows": "row by row", "vmap": "several rows at once"}[workload.method]


def constants(spec: RunSpec) -> Iterator[str]:
    """How many rows are computed at once."""
    workload = spec.workload
    assert isinstance(workload, Hessian)
    if workload.method == "vmap":
        yield f"CHUNK_SIZE = {workload.chunk_size}"


def source(spec: RunSpec, network: Network) -> Iterator[str]:
    """The definitions that a Hessian needs; the last is ``compute``."""
    workload = spec.workload
    assert isinstance(workload, Hessian)
    at_once = workload.method == "vmap"
    fill = _SEVERAL if at_once else _ONE
    steps = _COMPUTE.replace("LOSS", network.loss).replace("STEP", "CHUNK_SIZE" if at_once else "1")
    if not are_parts(spec):
        yield fill
        yield steps
        return
    yield parts(spec, network)
    fill = fill.replace(", keep):", ", keep, share):")
    yield fill.replace("(part)", "(part, alpha=share)").replace(".copy_(", ".add_(")
    for whole, of_a_part in _CHANGES:
        assert whole in steps
        steps = steps.replace(whole, of_a_part)
    yield steps.replace("EXAMPLES", "x, y, seed" if network.random else "x, y")
    yield _IN_PARTS


_ONE = '''\
def fill(columns, start, weight, output, first, keep):
    """Writes the row of one entry of a gradient."""
    unit = torch.zeros_like(weight)
    unit.view(-1)[first].fill_(1)
    found = torch.autograd.grad(output, parameters, unit, retain_graph=keep, allow_unused=True)
    del unit
    with torch.no_grad():
        for room, part in zip(columns, found):
            if part is not None:
                room[start + first].add_(part)'''

_SEVERAL = '''\
def fill(columns, start, weight, output, first, keep):
    """Writes the rows of several entries of a gradient, in one batched backward pass."""
    count = min(CHUNK_SIZE, weight.numel() - first)
    units = weight.new_zeros((count, weight.numel()))
    units.diagonal(first).fill_(1)
    found = torch.autograd.grad(
        output,
        parameters,
        units.view(-1, *weight.shape),
        retain_graph=keep,
        allow_unused=True,
        is_grads_batched=True,
    )
    del units
    with torch.no_grad():
        for room, part in zip(columns, found):
            if part is not None:
                room[start + first : start + first + count].copy_(part)'''

_COMPUTE = '''\
def compute():
    """The loss and the Hessian, rows and columns in the order of the parameters."""
    total = LOSS
    gradients = torch.autograd.grad(total, parameters, create_graph=True)
    value = total.detach().clone()  # a copy, which does not keep what the total lies in
    del total
    sizes = [w.numel() for w in parameters]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    hessian = parameters[0].new_zeros((sum(sizes), sum(sizes)))
    columns = [
        hessian[:, start : start + size].view(-1, *w.shape)
        for w, start, size in zip(parameters, starts, sizes)
    ]
    parts = [
        (start, weight, gradient, first)
        for start, weight, gradient in zip(starts, parameters, gradients)
        if gradient.requires_grad
        for first in range(0, weight.numel(), STEP)
    ]
    for i, part in enumerate(parts):
        fill(columns, *part, keep=i < len(parts) - 1)
    return value, [hessian]'''

_CHANGES = (
    ("def compute():", "def add_part(value, hessian, share, EXAMPLES):"),
    (
        "    value = total.detach().clone()  # a copy, which does not keep what the total lies in",
        "    value = added(value, total.detach().clone(), share)",
    ),
    (
        "The loss and the Hessian, rows and columns in the order of the parameters.",
        "Adds the Hessian of a part's loss times the part's share; both.",
    ),
    (
        "    hessian = parameters[0].new_zeros((sum(sizes), sum(sizes)))",
        "    if hessian is None:\n"
        "        hessian = parameters[0].new_zeros((sum(sizes), sum(sizes)))",
    ),
    ("    parts = [\n", "    together = [\n"),
    (
        "    for i, part in enumerate(parts):\n"
        "        fill(columns, *part, keep=i < len(parts) - 1)\n",
        "    for i, rows in enumerate(together):\n"
        "        fill(columns, *rows, keep=i < len(together) - 1, share=share)\n",
    ),
    ("return value, [hessian]", "return value, hessian"),
)

_IN_PARTS = '''\
def compute():
    """The loss and the Hessian in the order of the parameters, part after part."""
    value = hessian = None
    for part, _, share in parts():
        value, hessian = add_part(value, hessian, share, *part)
    return value, [hessian]'''
