"""The computations whose cost is measured, a file for each kind."""

from core.spec.workloads.adversarial import Adversarial
from core.spec.workloads.base import Examples, WorkloadSpec
from core.spec.workloads.darts import Darts
from core.spec.workloads.hessian import Hessian
from core.spec.workloads.hutchinson_trace import HutchinsonTrace
from core.spec.workloads.hvp import Hvp
from core.spec.workloads.kinds import WORKLOAD_KINDS, Workload
from core.spec.workloads.maml import Maml, head_of
from core.spec.workloads.nested_gradient import HIGHEST_ORDER, NestedGradient
from core.spec.workloads.newton import Newton

__all__ = [
    "HIGHEST_ORDER",
    "WORKLOAD_KINDS",
    "Adversarial",
    "Darts",
    "Examples",
    "Hessian",
    "HutchinsonTrace",
    "Hvp",
    "Maml",
    "NestedGradient",
    "Newton",
    "Workload",
    "WorkloadSpec",
    "head_of",
]
