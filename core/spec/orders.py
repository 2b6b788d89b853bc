"""The same computation at each order that its workload has."""

from __future__ import annotations

from core.spec.declaration import declared_fields
from core.spec.run import RunSpec


def has_orders(spec: RunSpec) -> bool:
    """Whether the workload can be asked for another order of differentiation."""
    return any(field.name == "order" for field in declared_fields(type(spec.workload)))


def at_each_order(spec: RunSpec) -> tuple[RunSpec, ...]:
    """The spec at every order at which it can run, lowest first, each named after its order; none
    where the workload has no order."""
    found: list[RunSpec] = []
    for field in declared_fields(type(spec.workload)):
        if field.name == "order" and field.minimum is not None and field.maximum is not None:
            for order in range(int(field.minimum), int(field.maximum) + 1):
                name = f"{spec.name}, order {order}"
                found.append(spec.with_changes({"workload.order": order, "name": name}))
    return tuple(one for one in found if not one.problems())
