"""Newton's method: ``compute()`` takes every step."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.model import Network
from core.export.script.parts import are_parts, of_part, parts
from core.export.script.precision import coarsest_format
from core.export.script.workloads.loss_at import loss_at
from core.spec.run import RunSpec
from core.spec.workloads import Newton

_BY = {"exact": "the Hessian", "cg": "conjugate gradients"}


def about(spec: RunSpec) -> str:
    """What is computed."""
    workload = spec.workload
    assert isinstance(workload, Newton)
    return f"Newton's method by {_BY[workload.method]}"


def constants(spec: RunSpec) -> Iterator[str]:
    """Numbers of steps and what bounds them."""
    workload = spec.workload
    assert isinstance(workload, Newton)
    yield f"STEPS = {workload.steps}"
    yield f"DAMPING = {workload.damping}"
    if workload.method == "cg":
        yield f"CG_ITERATIONS = {workload.cg_iterations}"
        yield f"CG_TOLERANCE = {workload.cg_tolerance}"


def source(spec: RunSpec, network: Network) -> Iterator[str]:
    """The definitions that the steps need; the last is ``compute``."""
    workload = spec.workload
    assert isinstance(workload, Newton)
    by_parts = are_parts(spec)
    damped = workload.method == "cg" and workload.damping and not by_parts
    differentiated = _DIFFERENTIATED.replace("DAMPED", _DAMPED if damped else "product")
    coarsest = coarsest_format(spec)
    step = _STEP.replace("finfo(DTYPE)", f"finfo({coarsest})")
    if by_parts:
        yield parts(spec, network)
        yield of_part(loss_at(network), network)
        yield _FLAT
        yield of_part(differentiated.replace("(weights)", "(weights, graph)", 1), network).replace(
            "create_graph=True", "create_graph=graph"
        )
        yield from _PARTS_OF[workload.method]
        yield _LOSS_IN_PARTS
        yield step.replace("loss_at(moved).clone()", "whole_loss(moved)")
    else:
        yield loss_at(network)
        yield _FLAT
        yield differentiated
        yield from (_SOLVE_EXACTLY,) if workload.method == "exact" else (_SOLVE, _DIRECTION)
        yield step
    yield _COMPUTE


_FLAT = '''\
def flat(parts):
    """All entries in one vector without a graph; zeros for None."""
    parts = [torch.zeros_like(w) if g is None else g for g, w in zip(parts, parameters)]
    with torch.no_grad():
        return torch.cat([part.reshape(-1) for part in parts])


def split(vector):
    """The inverse: views of a vector in the shapes of the weights."""
    pieces = vector.split([w.numel() for w in parameters])
    return [piece.view(w.shape) for piece, w in zip(pieces, parameters)]'''

_DIFFERENTIATED = '''\
def differentiated(weights):
    """The loss, its negative gradient, and a function that multiplies with its Hessian."""
    total = loss_at(weights)
    gradients = torch.autograd.grad(total, weights, create_graph=True, allow_unused=True)
    value = total.item()
    del total
    downhill = flat(gradients).neg_()
    curved = [(i, g) for i, g in enumerate(gradients) if g is not None and g.requires_grad]

    def multiply(vector):
        found = [None] * len(weights)
        if curved:
            parts = split(vector)
            outputs, seeds = [g for _, g in curved], [parts[i] for i, _ in curved]
            found = torch.autograd.grad(
                outputs, weights, seeds, retain_graph=True, allow_unused=True
            )
        product = flat(found)
        return DAMPED

    return value, downhill, multiply'''

_DAMPED = "product.add_(vector, alpha=DAMPING)"

_SOLVE_EXACTLY = '''\
def direction_of(weights):
    """The loss, its negative gradient, and the step that the Hessian's eigenvalues give."""
    value, downhill, multiply = differentiated(weights)
    hessian = downhill.new_zeros(len(downhill), len(downhill))
    unit = torch.zeros_like(downhill)
    for row in range(len(downhill)):
        unit[row].fill_(1)
        hessian[row].copy_(multiply(unit))
        unit[row].fill_(0)
    del multiply, unit
    eigenvalues, eigenvectors = torch.linalg.eigh(hessian)
    definite = eigenvalues[0] + DAMPING > 0
    scales = torch.where(definite, eigenvalues, eigenvalues.abs()).add_(DAMPING)
    return value, downhill, eigenvectors @ ((eigenvectors.T @ downhill) / scales)'''

_SOLVE = '''\
def conjugate_gradient(multiply, right):
    """Solves for a vector, or ends where the curvature is negative."""
    vector, residual = torch.zeros_like(right), right.clone()
    direction, square = residual.clone(), torch.dot(residual, residual)
    first = square.item()
    for iteration in range(CG_ITERATIONS):
        product = multiply(direction)
        curvature = torch.dot(direction, product)
        if curvature.item() <= 0:
            return vector if iteration else right.clone()
        length = square / curvature
        del curvature
        vector.addcmul_(direction, length)
        residual.addcmul_(product, length, value=-1)
        del product, length  # not kept beside the next ones
        before, square = square, torch.dot(residual, residual)
        if math.sqrt(square.item() / first) <= CG_TOLERANCE:
            break
        direction.mul_(square / before).add_(residual)
        del before
    return vector'''

_DIRECTION = '''\
def direction_of(weights):
    """The loss, its negative gradient, and the step that conjugate gradients give."""
    value, downhill, multiply = differentiated(weights)
    return value, downhill, conjugate_gradient(multiply, downhill)'''

_STEP = '''\
def step(weights):
    """The weights after one step, which is halved until the loss falls enough, and the loss."""
    before, downhill, direction = direction_of(weights)
    slope = torch.dot(downhill, direction).item()
    parts, length = split(direction), 1.0
    for _ in range(20):
        moved = total = None  # not kept beside the next ones
        with torch.no_grad():
            pairs = zip(weights, parts)
            moved = [torch.add(w, p, alpha=length).requires_grad_() for w, p in pairs]
            total = loss_at(moved).clone()
        rounding = 10 * torch.finfo(DTYPE).eps * abs(before)
        if total.item() <= before - 1e-4 * length * slope + rounding:
            break
        length /= 2
    return moved, total'''

_COMPUTE = '''\
def compute():
    """The loss and the weights after the steps."""
    weights = parameters
    for _ in range(STEPS):
        weights, total = step(weights)
    return total, [w.detach() for w in weights]'''

_EIGENVALUES = _SOLVE_EXACTLY[_SOLVE_EXACTLY.index("    eigenvalues,") :]

_EXACTLY_IN_PARTS = f'''\
def direction_of(weights):
    """The loss, its negative gradient, and the step that the Hessian's eigenvalues give."""
    value, downhill, hessian = 0.0, None, None
    for part, _, share in parts():
        total, slope, multiply = differentiated(weights, True, *part)
        value += share * total
        downhill = added(downhill, slope, share)
        if hessian is None:
            hessian = slope.new_zeros(len(slope), len(slope))
        unit = torch.zeros_like(slope)
        for row in range(len(slope)):
            unit[row].fill_(1)
            product = multiply(unit)
            hessian[row].add_(product, alpha=share)
            del product
            unit[row].fill_(0)
        del slope, multiply, unit
{_EIGENVALUES}'''

_DIRECTION_IN_PARTS = '''\
def direction_of(weights):
    """The loss, its negative gradient, and the step that conjugate gradients give; each of their
    products makes the graph of one part after the other again."""
    value, downhill = 0.0, None
    for part, _, share in parts():
        total, slope, unused = differentiated(weights, False, *part)
        value += share * total
        downhill = added(downhill, slope, share)
        del slope, unused

    def multiply(vector):
        product = torch.mul(vector, DAMPING)
        for part, _, share in parts():
            *_, of_part = differentiated(weights, True, *part)
            product.add_(of_part(vector), alpha=share)
            del of_part
        return product

    return value, downhill, conjugate_gradient(multiply, downhill)'''

_LOSS_IN_PARTS = '''\
def whole_loss(weights):
    """The loss of the whole batch."""
    value = None
    for part, _, share in parts():
        value = added(value, loss_at(weights, *part), share)
    return value'''

_PARTS_OF = {"exact": (_EXACTLY_IN_PARTS,), "cg": (_SOLVE, _DIRECTION_IN_PARTS)}
