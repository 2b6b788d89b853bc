"""Small computations of torch, differentiated in every mode and judged by central differences."""

import copy
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.engine import norms
from core.measure.correctness.known_faults import Mode

Scalar = Callable[[Tensor], Tensor]
"""A tensor without axes as a function of one tensor."""

MODES: tuple[Mode, ...] = ("reverse_over_reverse", "forward_over_reverse", "reverse_over_forward")
_STEP = 2e-3
_TOLERANCES = {torch.float64: 1e-3, torch.float32: 0.05}

# WORKAROUND: torch's first dual tensor scripts formulas with what torch itself calls deprecated,
# and index_reduce calls itself a beta, once.
with warnings.catch_warnings(), forward_ad.dual_level():
    warnings.simplefilter("ignore")
    forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
    torch.zeros(1).index_reduce(0, torch.tensor([0]), torch.ones(1), "prod")


def nested(function: Scalar, x: Tensor, directions: Sequence[Tensor]) -> Tensor:
    """The derivative along all directions, one after the other, in reverse; the last builds no
    graph, which makes torch choose other operations."""
    value = function(x)
    for left, direction in zip(range(len(directions), 0, -1), directions, strict=True):
        gradient = torch.autograd.grad(value, x, create_graph=left > 1, materialize_grads=True)[0]
        value = (gradient * direction).sum()
    return value


def derivative(function: Scalar, x: Tensor, directions: Sequence[Tensor], mode: Mode) -> Tensor:
    """The derivative along all directions; a forward mode takes the last or the first forward."""
    x = x.detach().requires_grad_()
    if mode == "reverse_over_reverse":
        return nested(function, x, directions)
    if mode == "forward_over_reverse":
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x, directions[-1])
            return _tangent(nested(function, dual, directions[:-1]))
    with forward_ad.dual_level():
        tangent = _tangent(function(forward_ad.make_dual(x, directions[0])))
    return nested(lambda _: tangent, x, directions[1:])


def _tangent(value: Tensor) -> Tensor:
    tangent = forward_ad.unpack_dual(value).tangent
    return torch.zeros_like(value) if tangent is None else tangent.clone()


def by_differences(function: Scalar, x: Tensor, directions: Sequence[Tensor]) -> float:
    """The same by central differences of first gradients, the only ones that are trusted."""
    first, *others = directions
    total = 0.0
    for signs in itertools.product((1, -1), repeat=len(others)):
        moved = x.detach().clone()
        for sign, direction in zip(signs, others, strict=True):
            moved += sign * _STEP * direction
        total += math.prod(signs) * nested(function, moved.requires_grad_(), [first]).item()
    return total / (2 * _STEP) ** len(others)


def outcome(function: Scalar, x: Tensor, order: int, mode: Mode) -> str:
    """``right``, ``wrong`` or ``raises``."""
    generator = torch.Generator().manual_seed(2)
    directions = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(order)]
    right = by_differences(function, x, directions)
    try:
        found = derivative(function, x, directions, mode).item()
    except (RuntimeError, NotImplementedError, TypeError):
        return "raises"
    close = math.isclose(found, right, rel_tol=_TOLERANCES[x.dtype], abs_tol=1e-6)
    return "right" if close else "wrong"


@dataclass(frozen=True)
class Example:
    """A computation at a point.

    Attributes:
        output: what the operation makes of the point.
        shape: of the point, which is random.
        remedied: the same values in the way that the remedy asks for.
    """

    output: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]
    remedied: Callable[[Tensor], Tensor] | None = None
    dtype: torch.dtype = torch.float64

    def point(self) -> Tensor:
        """Where it is differentiated."""
        generator = torch.Generator().manual_seed(1)
        return torch.randn(self.shape, generator=generator, dtype=self.dtype)

    def scalar(self, x: Tensor) -> Tensor:
        """A smooth scalar of the output, with derivatives of every order."""
        return _mixed(self.output(x))

    def remedied_scalar(self, x: Tensor) -> Tensor:
        """The same in the way that the remedy asks for."""
        assert self.remedied is not None
        return _mixed(self.remedied(x))


def _mixed(output: Tensor) -> Tensor:
    weights = torch.linspace(0.2, 1.1, output.numel(), dtype=output.dtype)
    return (output * weights.view_as(output)).sin().sum()


def _fixed(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


_OTHER, _SQUARE, _SIGNS = _fixed(4, 3), _fixed(3, 3), _fixed(4, 3).sign()
_FAR = 4 * torch.eye(3).double()
_CLASSES = torch.tensor([0, 2, 1, 0])
_SEVERAL_CLASSES = torch.tensor([[0, 2, -1], [1, -1, -1], [2, 0, 1], [0, -1, -1]])
_ROWS, _BAGS = torch.tensor([0, 2, 1, 3, 4, 4]), torch.tensor([0, 3])
_GRID = _fixed(1, 3, 3, 2).tanh() * 0.8
_ONES = torch.ones(4, 1, dtype=torch.float64)
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(5)
    _LSTM = torch.nn.LSTM(3, 4, batch_first=True)
    _ATTENTION = torch.nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
_STATISTICS = torch.zeros(3).double(), torch.ones(3).double()
_PAIRS = torch.triu_indices(5, 5, 1)


def _several(x: Tensor) -> Tensor:
    """A multilabel margin loss: right scores stand out from wrong ones."""
    total = x.new_zeros(())
    for scores, labels in zip(x, _SEVERAL_CLASSES, strict=True):
        right = labels[: int((labels < 0).int().argmax()) if (labels < 0).any() else None]
        wrong = [k for k in range(x.shape[1]) if k not in right.tolist()]
        total = total + (1 - scores[right][:, None] + scores[wrong]).relu().sum() / x.shape[1]
    return total / len(x)


def _margins(x: Tensor) -> Tensor:
    rows = torch.arange(len(x))
    margins = (1 - x.gather(1, _CLASSES[:, None]) + x).relu()
    kept = torch.ones_like(margins)
    kept[rows, _CLASSES] = 0
    return (margins * kept).sum(1).mean() / x.shape[1]


def _with_math_attention(x: Tensor) -> Tensor:
    with sdpa_kernel(SDPBackend.MATH):
        return functional.scaled_dot_product_attention(x, 2 * x, 3 * x)


def _in_double(x: Tensor) -> Tensor:
    return copy.deepcopy(_LSTM).double()(x.double())[0].to(x.dtype)


FAULTY = {
    "cdist": Example(
        lambda x: torch.cdist(x, _OTHER),
        (5, 3),
        lambda x: (x.unsqueeze(-2) - _OTHER.unsqueeze(-3)).norm(dim=-1),
    ),
    "pdist": Example(
        functional.pdist, (5, 3), lambda x: (x[_PAIRS[0]] - x[_PAIRS[1]]).norm(dim=-1)
    ),
    "embedding bag": Example(
        lambda x: functional.embedding_bag(_ROWS, x, _BAGS, mode="sum"),
        (6, 3),
        lambda x: functional.embedding(_ROWS, x).view(2, 3, 3).sum(1),
    ),
    "hardsigmoid": Example(functional.hardsigmoid, (4, 3), lambda x: (x / 6 + 0.5).clamp(0, 1)),
    "multi margin loss": Example(
        lambda x: functional.multi_margin_loss(x, _CLASSES), (4, 3), _margins
    ),
    "multilabel margin loss": Example(
        lambda x: functional.multilabel_margin_loss(x, _SEVERAL_CLASSES), (4, 3), _several
    ),
    "ctc loss": Example(
        lambda x: functional.ctc_loss(
            x, torch.tensor([[1, 2], [2, 1]]), torch.tensor([6, 6]), torch.tensor([2, 2])
        ),
        (6, 2, 3),
    ),
    "attention": Example(
        lambda x: functional.scaled_dot_product_attention(x, 2 * x, 3 * x),
        (1, 2, 5, 4),
        _with_math_attention,
    ),
    "attention by the math kernel": Example(_with_math_attention, (1, 2, 5, 4)),
    "multi-head attention": Example(
        lambda x: _ATTENTION(x, x, x, need_weights=False)[0], (2, 5, 4)
    ),
    "layer norm": Example(
        lambda x: functional.layer_norm(x, [5]),
        (4, 5),
        lambda x: norms.layer_norm(x, [5]),
    ),
    "batch norm": Example(
        lambda x: functional.batch_norm(x, None, None, training=True),
        (5, 3),
        lambda x: norms.batch_norm(x, None, None, training=True),
    ),
    "instance norm": Example(functional.instance_norm, (2, 3, 4), norms.instance_norm),
    "weight norm": Example(
        lambda v: torch._weight_norm(v, _ONES),
        (4, 3),
        lambda v: _ONES * v / v.norm(dim=1, keepdim=True),
    ),
    "determinant": Example(lambda x: torch.linalg.det(x + _FAR), (3, 3)),
    "logarithm of a determinant": Example(lambda x: torch.linalg.slogdet(x + _FAR)[1], (3, 3)),
    "solution of equations": Example(lambda x: torch.linalg.solve(x + _FAR, _SQUARE), (3, 3)),
    "scattered products": Example(
        lambda x: torch.scatter_reduce(x, 0, torch.tensor([[0, 1, 2]]), _OTHER[:1], "prod"),
        (4, 3),
    ),
    "mean squared error": Example(
        lambda x: functional.mse_loss(x, _OTHER), (4, 3), lambda x: (x - _OTHER).square().mean()
    ),
    "huber loss": Example(
        lambda x: functional.huber_loss(x, _OTHER, delta=0.7),
        (4, 3),
        lambda x: 0.7 * functional.smooth_l1_loss(x, _OTHER, beta=0.7),
    ),
    "soft margin loss": Example(
        lambda x: functional.soft_margin_loss(x, _SIGNS),
        (4, 3),
        lambda x: functional.softplus(-_SIGNS * x).mean(),
    ),
    "group norm": Example(lambda x: functional.group_norm(x, 3), (2, 6, 4)),
    "softmax": Example(lambda x: functional.softmax(x, -1), (4, 3)),
    "cross-entropy": Example(lambda x: functional.cross_entropy(x, _CLASSES), (4, 3)),
    "silu": Example(functional.silu, (4, 3), lambda x: x * torch.sigmoid(x)),
    "grid sample": Example(
        lambda x: functional.grid_sample(x, _GRID, align_corners=False), (1, 2, 4, 4)
    ),
    "indexed products": Example(
        lambda x: torch.index_reduce(x, 0, torch.tensor([0, 1, 0]), _SQUARE, "prod"), (4, 3)
    ),
    "LSTM": Example(lambda x: _LSTM(x)[0], (2, 5, 3), _in_double, torch.float32),
    "sparse embedding": Example(
        lambda x: functional.embedding(_ROWS, x, sparse=True),
        (6, 3),
        lambda x: functional.embedding(_ROWS, x),
    ),
}
"""Each has at least one mode and order in which torch fails."""

SOUND = {
    "linear": Example(lambda x: functional.linear(x, _OTHER), (5, 3)),
    "convolution": Example(lambda x: functional.conv2d(x, _fixed(2, 2, 3, 3)), (1, 2, 4, 4)),
    "convolution of signals": Example(lambda x: functional.conv1d(x, _fixed(2, 2, 3)), (1, 2, 6)),
    "maximum pool": Example(lambda x: functional.max_pool2d(x, 2), (1, 2, 4, 4)),
    "average pool": Example(lambda x: functional.avg_pool2d(x, 2), (1, 2, 4, 4)),
    "adaptive pool": Example(lambda x: functional.adaptive_avg_pool2d(x, 2), (1, 2, 4, 4)),
    "relu": Example(functional.relu, (4, 3)),
    "leaky relu": Example(functional.leaky_relu, (4, 3)),
    "gelu": Example(functional.gelu, (4, 3)),
    "tanh": Example(torch.tanh, (4, 3)),
    "sigmoid": Example(torch.sigmoid, (4, 3)),
    "softplus": Example(functional.softplus, (4, 3)),
    "hardswish": Example(functional.hardswish, (4, 3)),
    "RMS norm": Example(lambda x: functional.rms_norm(x, [5]), (4, 5)),
    "batch norm by running statistics": Example(
        lambda x: functional.batch_norm(x, *_STATISTICS), (5, 3)
    ),
    "embedding": Example(lambda x: functional.embedding(_ROWS, x), (6, 3)),
    "summed squared error": Example(
        lambda x: functional.mse_loss(x, _OTHER, reduction="sum"), (4, 3)
    ),
    "smooth absolute error": Example(lambda x: functional.smooth_l1_loss(x, _OTHER), (4, 3)),
    "inverse": Example(lambda x: torch.linalg.inv(x + _FAR), (3, 3)),
    "Cholesky factor": Example(
        lambda x: torch.linalg.cholesky(x @ x.T + torch.eye(3).double()), (3, 3)
    ),
}
"""torch is right in every mode at the orders that are looked at."""
