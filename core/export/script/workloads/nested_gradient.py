"""Nested gradients: ``compute()`` differentiates as often as asked."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.model import Network
from core.export.script.parts import in_parts
from core.export.script.workloads.orders import GRADIENT, HIGHER
from core.spec.run import RunSpec
from core.spec.workloads import NestedGradient


def about(spec: RunSpec) -> str:
    """What is computed."""
    workload = spec.workload
    assert isinstance(workload, NestedGradient)
    return f"gradient of order {workload.order} by the {workload.wrt}"


def constants(spec: RunSpec) -> Iterator[str]:
    """The order."""
    if spec.workload.derivative_order > 1:
        yield f"ORDER = {spec.workload.derivative_order}"


def source(spec: RunSpec, network: Network) -> Iterator[str]:
    """The definitions that a nested gradient needs; the last is ``compute``."""
    workload = spec.workload
    assert isinstance(workload, NestedGradient)
    wrt = "[x]" if workload.by_inputs else "parameters"
    if workload.order > 1:
        yield GRADIENT
    text = _FIRST_GRADIENT if workload.order == 1 else _NESTED
    text = text.replace("WRT", wrt).replace("LOSS", network.loss)
    yield from in_parts(spec, network, iter((text,)))


_FIRST_GRADIENT = '''\
def compute():
    """The loss and its gradient."""
    total = LOSS
    value = total.detach().clone()  # a copy, which does not keep what the total lies in
    return value, torch.autograd.grad(total, WRT)'''

_NESTED = f'''\
def compute():
    """The loss, and its gradient's sum's gradient's sum's ... gradient."""
    totals = [LOSS]
    value = totals[0].detach().clone()  # a copy, which does not keep what the total lies in
    gradients = torch.autograd.grad(totals, WRT, create_graph=True)
{HIGHER.replace("FIRST", "2")}
    return value, [torch.zeros_like(w) if g is None else g for w, g in zip(WRT, gradients)]'''
