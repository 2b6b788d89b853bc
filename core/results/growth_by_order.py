"""By which factor memory and time grow with each further order of differentiation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import linear_regression
from typing import Final

from pydantic import BaseModel, ConfigDict

from core.results.charts import ChartForm, Curve
from core.results.measurement import Measurement

GROWTH_FORM: Final = ChartForm(
    "Growth by order",
    "order",
    "× the lowest order",
    "Peak and time relative to the lowest order appear here.",
    log_y=True,
)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OrderCost(_Value):
    """What one order costs; None where there is no figure."""

    order: int
    run_id: str
    peak_bytes: int | None
    median_s: float | None


class Growth(_Value):
    """``start · factor ** order``, fitted by least squares to the logarithms.

    Attributes:
        r_squared: share of the logarithms' variance that the fit explains; None of two orders,
            through which every such curve can go.
    """

    start: float
    factor: float
    r_squared: float | None

    def at(self, order: int) -> float:
        """The fitted value at an order."""
        return self.start * self.factor**order


class GrowthByOrder(_Value):
    """Several runs that differ by the order alone.

    Attributes:
        costs: lowest order first.
        memory: how the peak above the baseline grows; None of fewer than two orders.
        time: how the median grows.
    """

    costs: tuple[OrderCost, ...]
    memory: Growth | None
    time: Growth | None


def growth_by_order(runs: Iterable[Measurement]) -> GrowthByOrder:
    """Fits what runs of different orders cost; of two of the same order the later counts."""
    costs = {cost.order: cost for cost in _costs(runs)}
    ordered = tuple(costs[order] for order in sorted(costs))
    orders = [cost.order for cost in ordered]
    return GrowthByOrder(
        costs=ordered,
        memory=fitted_growth(orders, [cost.peak_bytes for cost in ordered]),
        time=fitted_growth(orders, [cost.median_s for cost in ordered]),
    )


def fitted_growth(orders: Sequence[int], values: Sequence[float | None]) -> Growth | None:
    """Fits ``start · factor ** order`` to the values that are above zero.

    Args:
        orders: all different.
        values: one for each order.

    Returns:
        None where fewer than two values can be used.
    """
    usable = [
        (order, math.log(value))
        for order, value in zip(orders, values, strict=True)
        if value is not None and value > 0
    ]
    if len(usable) < 2:
        return None
    x, y = zip(*usable, strict=True)
    slope, intercept = linear_regression(x, y)
    middle = sum(y) / len(y)
    spread = sum((value - middle) ** 2 for value in y)
    missed = sum((value - intercept - slope * order) ** 2 for order, value in usable)
    explained = 1 - missed / spread if spread else 1.0
    return Growth(
        start=math.exp(intercept),
        factor=math.exp(slope),
        r_squared=explained if len(usable) > 2 else None,
    )


def growth_curves(growth: GrowthByOrder) -> tuple[Curve, ...]:
    """Peak and time relative to the lowest order that has one, and the fits."""
    return (
        *_curves("peak", [(c.order, c.peak_bytes) for c in growth.costs], growth.memory),
        *_curves("time", [(c.order, c.median_s) for c in growth.costs], growth.time),
    )


def growth_sentence(growth: GrowthByOrder) -> str:
    """The fitted factors in words."""
    parts = (("peak", growth.memory), ("time", growth.time))
    told = [f"the {name} grows by {_factor(fit)}" for name, fit in parts if fit is not None]
    if not told:
        return "Growth needs figures of at least two orders."
    return f"With each order {' and '.join(told)}."


_FITS: Final = 0.95
"""Below this the costs do not lie on the line of one factor."""


def _factor(fit: Growth) -> str:
    text = f"a factor of {fit.factor:.3g}"
    if fit.r_squared is None:
        return text
    if fit.r_squared < _FITS:
        return f"no single factor (about {fit.factor:.3g}, R² {fit.r_squared:.3f})"
    return f"{text} (R² {fit.r_squared:.3f})"


def _costs(runs: Iterable[Measurement]) -> Iterator[OrderCost]:
    for run in runs:
        yield OrderCost(
            order=int(run.spec.flatten()["workload.order"]),
            run_id=run.run_id,
            peak_bytes=run.memory.peak_bytes if run.memory is not None else None,
            median_s=run.time.median_s if run.time is not None else None,
        )


def _curves(
    name: str, points: Sequence[tuple[int, float | None]], fit: Growth | None
) -> Iterator[Curve]:
    known = [(order, value) for order, value in points if value]
    if not known:
        return
    first = known[0][1]
    orders = tuple(float(order) for order, _ in known)
    yield Curve(chart="growth", name=name, x=orders, y=tuple(value / first for _, value in known))
    if fit is not None:
        fitted = tuple(fit.at(order) / first for order, _ in known)
        yield Curve(chart="growth", name=f"{name}, fitted", x=orders, y=fitted)
