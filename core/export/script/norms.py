"""A norm in elementary operations, where torch's own are differentiated wrongly."""

from __future__ import annotations


def normalize(*, running: bool) -> str:
    """The source of ``normalize``, with running statistics where a layer has them."""
    return _WITH_STATISTICS if running else _PLAIN


_PLAIN = '''\
def normalize(x, axes, weight=None, bias=None, eps=1e-5):
    """Layer, batch or instance norm in elementary operations: the derivatives of torch's own are
    wrong from the third order on (pytorch/pytorch#198017)."""
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
