"""Adversarial examples: ``compute()`` changes the inputs."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.model import Network
from core.export.script.parts import in_parts
from core.spec.run import RunSpec
from core.spec.workloads import Adversarial

_BY = {"i_fgsm": "signed gradients", "second_order": "the highest point of a second-order model"}


def about(spec: RunSpec) -> str:
    """What is computed."""
    workload = spec.workload
    assert isinstance(workload, Adversarial)
    return f"adversarial examples by {_BY[workload.method]}"


def constants(spec: RunSpec) -> Iterator[str]:
    """The size of the attack, and of the training before it."""
    workload = spec.workload
    assert isinstance(workload, Adversarial)
    yield f"EPSILON = {workload.epsilon}"
    yield f"STEPS = {workload.steps}"
    if workload.training_steps:
        yield f"TRAINING_STEPS = {workload.training_steps}"


def source(spec: RunSpec, network: Network) -> Iterator[str]:
    """The definitions that an attack needs; the last is ``compute``."""
    workload = spec.workload
    assert isinstance(workload, Adversarial)
    update = ", update=False" if network.updates else ""
    if workload.training_steps:
        yield _TRAIN.replace("UPDATE", update).replace("SEED\n", _seed(network))
        yield "train()"
    yield from in_parts(spec, network, _attack(workload, network, update), share=False)


def _attack(workload: Adversarial, network: Network, update: str) -> Iterator[str]:
    yield _LOSS_AT.replace("UPDATE", update).replace("SEED\n", _seed(network))
    if workload.method == "i_fgsm":
        yield _SIGNED
        return
    yield _UNIT
    yield _KRYLOV
    yield _HIGHEST
    yield _CURVED


def _seed(network: Network) -> str:
    return "    torch.manual_seed(SEED)\n" if network.random else ""


_TRAIN = '''\
def train():
    """Trains the weights before anything is measured."""
SEED
    weights = [p.clone().requires_grad_() for p in parameters]
    optimizer = torch.optim.Adam(weights, lr=0.01)
    for _ in range(TRAINING_STEPS):
        total = loss(weights, x.detach(), yUPDATE)
        for w, g in zip(weights, torch.autograd.grad(total, weights, allow_unused=True)):
            w.grad = g
        optimizer.step()
    with torch.no_grad():
        for p, w in zip(parameters, weights):
            p.copy_(w)'''

_LOSS_AT = '''\
def loss_at(inputs):
    """The loss of the network for other inputs."""
SEED
    return loss(parameters, inputs, yUPDATE)


def judged(inputs):
    """The loss without its graph."""
    with torch.no_grad():
        return loss_at(inputs).clone()'''

_SIGNED = '''\
def step(inputs):
    """The inputs after one signed step, within the box."""
    (gradient,) = torch.autograd.grad(loss_at(inputs), inputs)
    with torch.no_grad():
        change = torch.sub(inputs, x)
        change.add_(gradient.sign_(), alpha=EPSILON / STEPS)
        return change.clamp_(-EPSILON, EPSILON).add_(x)


def compute():
    """The loss after the attack, and the changed inputs."""
    inputs = x
    for _ in range(STEPS):
        inputs = step(inputs).requires_grad_()
    found = inputs.detach()
    return judged(found), [found]'''

_UNIT = '''\
def over(numerators, denominators):
    """Quotients; 0 where a denominator is."""
    there = denominators > 0
    return torch.where(there, numerators / torch.where(there, denominators, 1), 0)


def lengths_of(rows):
    """Euclidean lengths, a row for each."""
    return torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def unit(vectors, least):
    """The vectors at length 1, zeros where they are no longer than the least; their lengths."""
    lengths = lengths_of(vectors)
    exists = lengths > least
    units = torch.where(exists, vectors / torch.where(exists, lengths, 1), 0)
    return units, torch.where(exists, lengths, 0)'''

_KRYLOV = '''\
def krylov_space(multiply, start):
    """An orthonormal basis of start, A start, A A start, ..., and A within it."""
    basis = start.new_zeros(len(start), STEPS, start.shape[1])
    matrix = start.new_zeros(len(start), STEPS, STEPS)
    least = 100 * torch.finfo(DTYPE).eps
    fresh, rest = unit(start, torch.zeros_like(start[:, :1]))
    largest = torch.zeros_like(rest)
    for i in range(STEPS):
        basis[:, i].copy_(fresh)
        missing = fresh.square().sum(1) == 0
        image = multiply(fresh)
        largest = torch.maximum(largest, lengths_of(image))
        shares = torch.bmm(basis, image.unsqueeze(2))
        matrix[:, :, i].copy_(shares.squeeze(2))
        first = matrix[:, 0, 0]  # where there is no such direction, below all others
        below = torch.where(missing, first - first.abs() - 1, matrix[:, i, i])
        matrix[:, i, i].copy_(below)
        for _ in range(2):
            image.sub_(torch.bmm(shares.mT, basis).squeeze(1))
            shares = torch.bmm(basis, image.unsqueeze(2))
        fresh, rest = unit(image, least * largest)
        del image, shares, below, missing, first  # not kept beside the next product
    return basis, matrix, rest.squeeze(1)'''

_HIGHEST = '''\
def highest_in_ball(matrix, slope):
    """Where slope x + x A x / 2 is highest over all x no longer than EPSILON."""
    values, vectors = torch.linalg.eigh(matrix, UPLO="U")
    shares = torch.bmm(vectors.mT, slope.unsqueeze(2)).squeeze(2)
    base = values[:, -1:].clamp(min=0)
    gaps = base - values
    low = torch.zeros_like(base)
    high = lengths_of(slope) / EPSILON
    for _ in range(60):
        middle = (low + high) / 2
        outside = lengths_of(over(shares, gaps + middle)) > EPSILON
        low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
    inner = over(shares, gaps + high)
    length = lengths_of(inner)
    on_border = inner * (EPSILON / torch.where(length > 0, length, 1))
    others = inner[:, :-1].square().sum(1, keepdim=True)
    filling = (EPSILON**2 - others).clamp(min=0).sqrt()
    filled = torch.cat([inner[:, :-1], torch.where(inner[:, -1:] < 0, -filling, filling)], 1)
    points = torch.where(low > 0, on_border, torch.where(values[:, -1:] > 0, filled, inner))
    return torch.bmm(vectors, points.unsqueeze(2)).squeeze(2)'''

_CURVED = '''\
def differentiated():
    """The slopes, a row for each example, and a function that multiplies with their Hessians."""
    (gradient,) = torch.autograd.grad(loss_at(x), x, create_graph=True)
    with torch.no_grad():
        slope = gradient.clone().reshape(len(x), -1)

    def multiply(rows):
        if not gradient.requires_grad:
            return torch.zeros_like(rows)
        (product,) = torch.autograd.grad(
            gradient, x, rows.view(x.shape), retain_graph=True, allow_unused=True
        )
        return torch.zeros_like(rows) if product is None else product.reshape(rows.shape)

    return slope, multiply


def compute():
    """The loss after the attack, and the changed inputs."""
    slope, multiply = differentiated()
    basis, matrix, rest = krylov_space(multiply, slope)
    del multiply
    with torch.no_grad():
        within = torch.bmm(basis, slope.unsqueeze(2)).squeeze(2)
        points = highest_in_ball(matrix, within)
        change = torch.bmm(points.unsqueeze(1), basis).squeeze(1)
        inputs = change.view(x.shape).add_(x)
        left = (rest * points[:, -1]).abs()
        sizes = torch.linalg.vector_norm(slope, dim=1)
        largest = torch.where(sizes > 0, left / sizes, 0).amax()  # what the space leaves out
    del slope, basis, matrix, rest, within, points, change, left, sizes
    return judged(inputs), [inputs]'''
