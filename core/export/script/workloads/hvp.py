"""Hessian-vector products: ``compute()`` multiplies every vector."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.export.script.model import Network
from core.export.script.parts import are_parts, of_part, parts
from core.export.script.precision import coarsest_format
from core.export.script.workloads.loss_at import loss_at
from core.spec.run import RunSpec
from core.spec.workloads import Hvp

VECTORS = 1
"""Tells the random numbers of vectors from those of examples."""


def about(spec: RunSpec) -> str:
    """What is computed."""
    workload = spec.workload
    assert isinstance(workload, Hvp)
    return f"Hessian-vector product, {workload.mode.replace('_', ' ')}"


def constants(spec: RunSpec) -> Iterator[str]:
    """How many vectors."""
    workload = spec.workload
    assert isinstance(workload, Hvp)
    yield f"VECTORS = {workload.vectors}"


def source(spec: RunSpec, network: Network) -> Iterator[str]:
    """The definitions that products need; the last is ``compute``."""
    workload = spec.workload
    assert isinstance(workload, Hvp)
    seed = np.random.SeedSequence((spec.measure.seed, VECTORS)).generate_state(1)[0]
    yield _VECTORS.replace("NUMBER", str(seed))
    if are_parts(spec):
        yield parts(spec, network)
        for block in _products(spec, workload, network):
            yield of_part(block, network)
        yield _ALL_IN_PARTS if workload.batched else _IN_PARTS
        return
    yield from _products(spec, workload, network)
    if not workload.batched:
        yield _ONE if workload.vectors == 1 else _MANY


def _products(spec: RunSpec, workload: Hvp, network: Network) -> Iterator[str]:
    if workload.batched:
        yield _ALL_AT_ONCE.replace("LOSS", network.loss)
    elif workload.mode == "reverse_over_reverse":
        yield _REVERSE_OVER_REVERSE.replace("LOSS", network.loss)
    else:
        yield loss_at(network)
        for block in _PRODUCTS[workload.mode]:
            yield block.replace("finfo(DTYPE)", f"finfo({coarsest_format(spec)})")


_VECTORS = """\
generator = torch.Generator().manual_seed(NUMBER)
vectors = [
    torch.randn(VECTORS, *w.shape, generator=generator).to(DEVICE, DTYPE) for w in parameters
]"""

_REVERSE_OVER_REVERSE = '''\
def products():
    """The Hessian times each vector: the gradient of gradient times vector, and the loss."""
    total = LOSS
    gradients = torch.autograd.grad(total, parameters, create_graph=True)
    value = total.detach().clone()  # a copy, which does not keep what the total lies in
    del total
    for i in range(VECTORS):
        pairs = [(g, v[i]) for g, v in zip(gradients, vectors) if g.requires_grad]
        outputs, parts = zip(*pairs)
        keep = i < VECTORS - 1
        yield value, torch.autograd.grad(
            outputs, parameters, parts, retain_graph=keep, allow_unused=True
        )'''

_ALL_AT_ONCE = '''\
def compute():
    """The loss, and the Hessian times all vectors in one batched backward pass."""
    total = LOSS
    gradients = torch.autograd.grad(total, parameters, create_graph=True)
    value = total.detach().clone()  # a copy, which does not keep what the total lies in
    del total
    pairs = [(g, v) for g, v in zip(gradients, vectors) if g.requires_grad]
    outputs, parts = zip(*pairs)
    found = torch.autograd.grad(
        outputs, parameters, parts, allow_unused=True, is_grads_batched=True
    )
    return value, [torch.zeros_like(v) if h is None else h for h, v in zip(found, vectors)]'''


_FORWARD_OVER_REVERSE = '''\
def product(vector):
    """The loss, and the Hessian times a vector: the gradient's tangent along it."""
    with forward_ad.dual_level():
        moving = [forward_ad.make_dual(w, v) for w, v in zip(parameters, vector)]
        total = loss_at(moving)
        gradients = torch.autograd.grad(total, moving)
        found = [forward_ad.unpack_dual(g).tangent for g in gradients]
        return total.detach().clone(), found'''

_REVERSE_OVER_FORWARD = '''\
def product(vector):
    """The loss, and the Hessian times a vector: the gradient of the loss's tangent along it."""
    with forward_ad.dual_level():
        moving = [forward_ad.make_dual(w, v) for w, v in zip(parameters, vector)]
        total = loss_at(moving)
        slope, value = forward_ad.unpack_dual(total).tangent, total.detach().clone()
    del moving, total
    return value, torch.autograd.grad(slope, parameters, allow_unused=True)'''

_FINITE_DIFFERENCE = '''\
def length(tensors):
    """Euclidean length of all entries together."""
    lengths = torch.stack([torch.linalg.vector_norm(t) for t in tensors])
    return torch.linalg.vector_norm(lengths)


class Moved:
    """The weights a step along a vector away, made whenever they are used and kept by nobody:
    autograd keeps what it takes to make them again. Gradients by them are those by the weights."""

    def __init__(self, vector, step):
        self.vector, self.step, self.made = vector, step, {}

    def make(self, i):
        return torch.addcmul(parameters[i], self.vector[i], self.step)

    def __getitem__(self, place):
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(parameters)))]
        moved = self.make(place)
        self.made[moved.untyped_storage()._cdata] = weakref.ref(moved), place
        return moved

    def pack(self, tensor):
        moved, i = self.made.get(tensor.untyped_storage()._cdata, (None, 0))
        if moved is None or moved() is None:
            return tensor.detach()  # an output that its own node kept would never be freed
        return i, tensor.size(), tensor.stride(), tensor.storage_offset()

    def unpack(self, kept):
        if isinstance(kept, torch.Tensor):
            return kept
        i, *part = kept
        with torch.no_grad():
            return self.make(i).as_strided(*part)


def gradient_beside(vector, step):
    """The gradient and the loss a step along the vector away."""
    moved = Moved(vector, step)
    with saved_tensors_hooks(moved.pack, moved.unpack):
        total = loss_at(moved)
    return torch.autograd.grad(total, parameters), total.detach().clone()


def product(vector, reach):
    """The loss, and the Hessian times a vector: the central difference of two gradients."""
    with torch.no_grad():
        step = reach / length(vector)
    ahead, one = gradient_beside(vector, step)
    behind, other = gradient_beside(vector, -step)
    twice = 2 * step
    for first, second in zip(ahead, behind):
        first.sub_(second).div_(twice)
    return (one + other) / 2, ahead'''

_ONE_BY_ONE = '''\
def products():
    """The loss and the product, for each vector."""
    for i in range(VECTORS):
        yield product([v[i] for v in vectors])'''

_DIFFERENCES_ONE_BY_ONE = '''\
def products():
    """The loss and the product, for each vector; a difference reaches further for long weights."""
    with torch.no_grad():
        reach = (1 + length(parameters)) * torch.finfo(DTYPE).eps ** (1 / 3)
    for i in range(VECTORS):
        yield product([v[i] for v in vectors], reach)'''

_PRODUCTS = {
    "forward_over_reverse": (_FORWARD_OVER_REVERSE, _ONE_BY_ONE),
    "reverse_over_forward": (_REVERSE_OVER_FORWARD, _ONE_BY_ONE),
    "finite_difference": (_FINITE_DIFFERENCE, _DIFFERENCES_ONE_BY_ONE),
}

_ONE = '''\
def compute():
    """The loss and the product, with an axis of vectors in front."""
    ((value, found),) = products()
    pairs = zip(found, vectors)
    return value, [torch.zeros_like(v) if h is None else h.unsqueeze(0) for h, v in pairs]'''

_MANY = '''\
def put(found, i, product):
    """Writes a product into its place."""
    for room, part in zip(found, product):
        if part is not None:
            room[i].add_(part)


def compute():
    """The loss and the products, with the axis of vectors in front."""
    multiplied = products()
    value, product = next(multiplied)
    found = [torch.zeros_like(v) for v in vectors]
    put(found, 0, product)
    del product
    for i in range(1, VECTORS):
        put(found, i, next(multiplied)[1])
    return value, found'''

_IN_PARTS = '''\
def compute():
    """The loss and the products, part after part, added up by their shares of the examples."""
    found, value = [torch.zeros_like(v) for v in vectors], None
    for part, _, share in parts():
        i = 0
        for total, product in products(*part):
            for room, h in zip(found, product):
                if h is not None:
                    room[i].add_(h, alpha=share)
            if i == 0:
                value = added(value, total, share)
            del total, product, h  # not kept beside the next one
            i += 1
    return value, found'''

_ALL_IN_PARTS = '''\
def compute():
    """The loss and the products, part after part, added up by their shares of the examples."""
    found, value = [torch.zeros_like(v) for v in vectors], None
    for part, _, share in parts():
        total, products = compute_part(*part)
        for room, h in zip(found, products):
            room.add_(h, alpha=share)
        value = added(value, total, share)
        del total, products, h  # not kept beside the next part's
    return value, found'''
