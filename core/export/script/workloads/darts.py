"""Architecture search: ``compute()`` is the gradient by the weights of candidates."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.model import Network
from core.spec.run import RunSpec
from core.spec.workloads import Darts


def about(spec: RunSpec) -> str:
    """What is computed."""
    workload = spec.workload
    assert isinstance(workload, Darts)
    if workload.order == 1:
        return "DARTS, first-order architecture gradient"
    return f"DARTS, architecture gradient, {workload.method.replace('_', ' ')}"


def constants(spec: RunSpec) -> Iterator[str]:
    """The rate of the training step."""
    workload = spec.workload
    assert isinstance(workload, Darts)
    if workload.order > 1:
        yield f"WEIGHT_RATE = {workload.weight_lr}"


def source(spec: RunSpec, network: Network) -> Iterator[str]:
    """The definitions that an architecture gradient needs; the last is ``compute``."""
    workload = spec.workload
    assert isinstance(workload, Darts)
    yield _PARTS
    if workload.order == 1:
        yield _FIRST_ORDER
        return
    update = ", update=False" if network.updates else ""
    if workload.is_exact:
        yield _EXACT.replace("UPDATE", update)
        return
    again = "    torch.manual_seed(SEED)\n" if network.random else ""
    yield _FINITE_DIFFERENCE.replace("UPDATE", update).replace("AGAIN", again)


_PARTS = '''\
chosen = [name.endswith("alpha") for name, _ in network.named_parameters()]
weights = [p for p, is_alpha in zip(parameters, chosen) if not is_alpha]
alphas = [p for p, is_alpha in zip(parameters, chosen) if is_alpha]


def joined(others, alphas=alphas):
    """All parameters in the network's order, with other weights."""
    weight, alpha = iter(others), iter(alphas)
    return [next(alpha if is_alpha else weight) for is_alpha in chosen]


def or_zeros(gradients):
    """Zeros by what nothing depends on."""
    return [torch.zeros_like(a) if g is None else g for a, g in zip(alphas, gradients)]'''

_FIRST_ORDER = '''\
def compute():
    """The validation loss and its gradient by the alphas, at the weights as they are."""
    total = loss(joined([w.detach() for w in weights]), validation_x, validation_y)
    value = total.detach().clone()  # a copy, which does not keep what the total lies in
    return value, or_zeros(torch.autograd.grad(total, alphas, allow_unused=True))'''

_EXACT = '''\
def stepped():
    """The weights after a training step, with its graph."""
    total = loss(parameters, train_x, train_y)
    before = total.detach().clone()
    gradients = torch.autograd.grad(total, weights, create_graph=True, allow_unused=True)
    del total
    return before, [
        w if g is None else torch.add(w, g, alpha=-WEIGHT_RATE) for w, g in zip(weights, gradients)
    ]


def compute():
    """The validation loss after a training step, and its gradient by the alphas."""
    before, others = stepped()
    total = loss(joined(others), validation_x, validation_yUPDATE)
    del others
    value = total.detach().clone()  # a copy, which does not keep what the total lies in
    return value, or_zeros(torch.autograd.grad(total, alphas, allow_unused=True))'''

_FINITE_DIFFERENCE = '''\
def length(tensors):
    """Euclidean length of all entries together, above 0."""
    lengths = [torch.linalg.vector_norm(t) for t in tensors if t is not None]
    total = torch.linalg.vector_norm(torch.stack(lengths))
    return total.clamp_min(torch.finfo(total.dtype).tiny)


def stepped():
    """The training loss, and the weights after a training step."""
    total = loss(joined(weights, [a.detach() for a in alphas]), train_x, train_y)
    before = total.detach().clone()
    gradients = torch.autograd.grad(total, weights, allow_unused=True)
    del total
    with torch.no_grad():
        moved = [
            w if g is None else torch.add(w, g, alpha=-WEIGHT_RATE)
            for w, g in zip(weights, gradients)
        ]
    return before, [w.detach().requires_grad_() for w in moved]


def gradient_beside(direction, step):
    """The training loss's gradient by the alphas, a step along the direction away."""
    with torch.no_grad():
        moved = [
            w if d is None else torch.addcmul(w, d, step) for w, d in zip(weights, direction)
        ]
AGAIN    total = loss(joined(moved), train_x, train_yUPDATE)
    return torch.autograd.grad(total, alphas, allow_unused=True)


def compute():
    """The validation loss after a training step, and its gradient by the alphas: the part that is
    due to the step by the difference of two gradients."""
    before, others = stepped()
    total = loss(joined(others), validation_x, validation_yUPDATE)
    gradients = torch.autograd.grad(total, [*alphas, *others], allow_unused=True)
    direct, direction = gradients[: len(alphas)], gradients[len(alphas) :]
    del gradients, others
    value = total.detach().clone()  # a copy, which does not keep what the total lies in
    del total
    with torch.no_grad():
        step = 0.01 / length(direction)
    ahead, behind = gradient_beside(direction, step), gradient_beside(direction, -step)
    factor = WEIGHT_RATE / (2 * step)
    result = []
    for d, a, b in zip(direct, ahead, behind):
        if a is not None and b is not None:
            through = (a - b) * factor
            d = -through if d is None else d - through
        result.append(d)
    return value, or_zeros(result)'''
