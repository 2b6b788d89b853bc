"""Every workload kind, in the order in which menus list them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.spec.workloads.adversarial import Adversarial
from core.spec.workloads.base import WorkloadSpec
from core.spec.workloads.darts import Darts
from core.spec.workloads.hessian import Hessian
from core.spec.workloads.hutchinson_trace import HutchinsonTrace
from core.spec.workloads.hvp import Hvp
from core.spec.workloads.maml import Maml
from core.spec.workloads.nested_gradient import NestedGradient
from core.spec.workloads.newton import Newton

Workload = Annotated[
    NestedGradient | Hvp | Hessian | HutchinsonTrace | Maml | Newton | Adversarial | Darts,
    Field(discriminator="kind"),
]

_CLASSES: tuple[type[WorkloadSpec], ...] = Workload.__origin__.__args__  # type: ignore[attr-defined]
WORKLOAD_KINDS: dict[str, type[WorkloadSpec]] = {
    str(cls.model_fields["kind"].default): cls for cls in _CLASSES
}
