"""Functions in elementary operations, where torch's own do not stand the way of differentiating."""

from __future__ import annotations

from collections.abc import Iterable


def definitions(kinds: Iterable[str], *, running: bool) -> list[str]:
    """The sources of what stands in for kinds of layers and losses.

    Args:
        kinds: those that are written out; of what is not here, the layer itself is.
        running: whether some norm has running statistics.
    """
    sources = dict.fromkeys(_SOURCES[kind] for kind in kinds if kind in _SOURCES)
    return [_WITH_STATISTICS if running and text is _PLAIN else text for text in sources]


_PLAIN = '''\
def normalize(x, axes, weight=None, bias=None, eps=1e-5):
    """Layer, batch or instance norm in elementary operations: torch differentiates its own wrongly
    from the third order on, and inside of tangents (pytorch/pytorch#198017)."""
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    variance = torch.linalg.vecdot(centred, centred, dim=axes[-1]).unsqueeze(axes[-1])
    variance = variance.mean(axes, keepdim=True)
    variance = torch.ops.aten.div.Scalar(variance, x.shape[axes[-1]])  # "/" would keep a tensor
    normal = centred * (variance + eps).rsqrt()
    if weight is not None:
        normal = normal * weight
    if bias is not None:
        normal = normal + bias
    return normal'''

_SIGNATURE = "weight=None, bias=None, eps=1e-5"
_UPDATE = """\
    if running:
        with torch.no_grad():
            count = x.numel() // mean.numel()
            unbiased = count / (count - 1)
            running[0].lerp_(mean.mean(0).flatten(), momentum)
            running[1].lerp_((variance * unbiased).mean(0).flatten(), momentum)
    normal ="""
_WITH_STATISTICS = _PLAIN.replace(_SIGNATURE, f"{_SIGNATURE}, running=(), momentum=0.1").replace(
    "    normal =", _UPDATE, 1
)

_GROUP_NORM = '''\
def group_normalize(x, groups, weight=None, bias=None, eps=1e-5):
    """Group norm in elementary operations: the gradient of torch's own carries no tangents."""
    grouped = x.reshape(len(x), groups, -1)
    centred = grouped - grouped.mean((2,), keepdim=True)
    variance = torch.linalg.vecdot(centred, centred, dim=2).unsqueeze(2)
    variance = variance.mean((2,), keepdim=True)
    variance = torch.ops.aten.div.Scalar(variance, grouped.shape[2])  # "/" would keep a tensor
    normal = (centred * (variance + eps).rsqrt()).view_as(x)
    channels = [-1] + [1] * (x.ndim - 2)
    if weight is not None:
        normal = normal * weight.view(channels)
    return normal if bias is None else normal + bias.view(channels)'''

_SILU = '''\
def silu(x):
    """Written out, since the gradient of torch's own carries no tangents."""
    return x * torch.sigmoid(x)'''

_SOFTMAX = '''\
def softmax(x, dim):
    """Written out, since torch's own does not stand tangents well."""
    shares = torch.exp(x - x.detach().amax(dim, keepdim=True))
    return shares / shares.sum(dim, keepdim=True)'''

_MSE = '''\
def mse(output, target):
    """Written out, since the gradient of torch's own carries no tangents."""
    return (output - target).square().mean()'''

_CROSS_ENTROPY = '''\
def cross_entropy(scores, target):
    """Written out, since torch's own does not stand tangents well."""
    below = scores - scores.detach().amax(1, keepdim=True)
    total = torch.exp(below).sum(1).log()
    return (total - below.gather(1, target.unsqueeze(1)).squeeze(1)).mean()'''

_SOURCES = {
    "layer_norm": _PLAIN,
    "batch_norm": _PLAIN,
    "instance_norm": _PLAIN,
    "group_norm": _GROUP_NORM,
    "silu": _SILU,
    "softmax": _SOFTMAX,
    "mse": _MSE,
    "cross_entropy": _CROSS_ENTROPY,
}
