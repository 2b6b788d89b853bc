"""The parts of Reptile and of iMAML that MAML has not."""

from __future__ import annotations

from core.export.script.model import Network
from core.export.script.source import call
from core.spec.workloads import Maml

PROXIMAL_STEP = '''\
def step(weights, x, y):
    """The weights after one step of gradient descent, held near the initial ones."""
    gradients = torch.autograd.grad(loss(weights, x, y), weights)
    with torch.no_grad():
        stepped = [torch.add(w, g, alpha=-INNER_RATE) for w, g in zip(weights, gradients)]
        for new, weight, start in zip(stepped, weights, parameters):
            new.add_(weight - start, alpha=-INNER_RATE * REGULARISATION)
    return [w.requires_grad_() for w in stepped]'''

SOLVE = '''\
def dot(one, other):
    """Sum of the products of all entries."""
    return torch.stack([(a * b).sum() for a, b in zip(one, other)]).sum()


def times_matrix(gradients, weights, vector):
    """The vector, and beside it the Hessian times the vector divided by the regularisation."""
    pairs = [(g, v) for g, v in zip(gradients, vector) if g.requires_grad]
    outputs, parts = zip(*pairs)
    curved = torch.autograd.grad(outputs, weights, parts, retain_graph=True, allow_unused=True)
    return [
        v.clone() if c is None else torch.add(v, c, alpha=1 / REGULARISATION)
        for v, c in zip(vector, curved)
    ]


@torch.no_grad()
def solve(gradients, weights, right):
    """The vector that the matrix takes to `right`, by conjugate gradients."""
    rest = [part.clone(memory_format=torch.contiguous_format) for part in right]
    right.clear()
    along = [part.clone() for part in rest]
    found = [torch.zeros_like(part) for part in rest]
    square = first = dot(rest, rest)
    least = first * torch.finfo(DTYPE).eps ** 2
    nothing = torch.zeros_like(first)
    going = first > 0
    for number in range(1, CG_ITERATIONS + 1):
        product = times_matrix(gradients, weights, along)
        curvature = dot(along, product)
        going = going & (curvature > 0) & (square > least)  # else nothing changes any more
        length = torch.where(going, square / curvature, nothing)
        for x, v, r, p in zip(found, along, rest, product):
            x.addcmul_(v, length)
            r.addcmul_(p, -length)
        del product, p
        before, square = square, dot(rest, rest)
        if number < CG_ITERATIONS:
            turn = torch.where(going, square / before, nothing)
            for v, r in zip(along, rest):
                v.mul_(turn).add_(r)
    return found'''


def reptile(workload: Maml) -> str:
    """The gradient of one task under Reptile."""
    factor = "1 / INNER_RATE" if workload.tasks == 1 else "1 / TASKS / INNER_RATE"
    return f'''\
def task_gradient(support_x, support_y, query_x, query_y):
    """The loss of a task, and the way from the adapted weights back to the initial ones."""
    weights = adapt(support_x, support_y)
    with torch.no_grad():
        value = loss(weights, query_x, query_y).clone()
        pairs = zip(parameters, weights)
        return value, [torch.sub(p, w).mul_({factor}) for p, w in pairs]'''


def implicit_gradient(workload: Maml, network: Network) -> str:
    """The gradient of one task under iMAML."""
    # The mean over the tasks.
    seeds = [] if workload.tasks == 1 else ["[torch.full_like(value, 1 / TASKS)]"]
    again = ", update=False" if network.updates else ""
    support = f"loss(weights, support_x, support_y{again})"
    lines = [
        "def task_gradient(support_x, support_y, query_x, query_y):",
        '    """The loss of a task and the implicit meta-gradient."""',
        "    weights = adapt(support_x, support_y)",
        "    totals = [loss(weights, query_x, query_y)]",
        "    value = totals[0].detach().clone()",
        *call("right = ", "torch.autograd.grad", ["totals", "weights", *seeds], 1),
        "    del totals",
        "    right = list(right)",
        f"    gradients = torch.autograd.grad({support}, weights, create_graph=True)",
        "    return value, solve(gradients, weights, right)",
    ]
    return "\n".join(lines)
