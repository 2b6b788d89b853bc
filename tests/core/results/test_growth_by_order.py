"""The growth of memory and time with the order: fits against closed forms."""

import math

import pytest

from core.results.events import Finished
from core.results.growth_by_order import (
    fitted_growth,
    growth_by_order,
    growth_curves,
    growth_sentence,
)
from core.results.measurement import Measurement
from core.spec.orders import at_each_order, has_orders
from core.spec.presets import preset
from core.spec.workloads import HIGHEST_ORDER
from tests.fake_core import FakeCore

SPEC = preset("lecture-second-order").spec


def measured(order: int, peak: int | None, seconds: float | None) -> Measurement:
    *_, last = FakeCore().run(SPEC.with_changes({"workload.order": order}), run_id=f"run{order}")
    assert isinstance(last, Finished)
    run = last.result
    assert run.memory is not None
    assert run.time is not None
    memory = run.memory.model_copy(update={"peak_bytes": peak}) if peak is not None else None
    time = run.time.model_copy(update={"median_s": seconds}) if seconds is not None else None
    return run.model_copy(update={"memory": memory, "time": time})


def test_that_an_exact_power_is_found() -> None:
    fit = fitted_growth([1, 2, 3, 4], [3.0 * 2.5**order for order in (1, 2, 3, 4)])
    assert fit is not None
    assert fit.start == pytest.approx(3.0, rel=1e-12)
    assert fit.factor == pytest.approx(2.5, rel=1e-12)
    assert fit.r_squared == pytest.approx(1.0, rel=1e-12)
    assert fit.at(5) == pytest.approx(3.0 * 2.5**5, rel=1e-12)


def test_that_the_fit_is_that_of_least_squares_on_logarithms() -> None:
    """Orders -1, 0, 1 about their middle: the slope is half the outer difference, and what the line
    misses is the middle's distance from the mean of all three, twice a sixth and once two thirds.
    """
    logs = (0.0, 1.0, 1.4)
    fit = fitted_growth([1, 2, 3], [math.exp(one) for one in logs])
    assert fit is not None
    assert fit.factor == pytest.approx(math.exp(0.7), rel=1e-12)
    assert fit.start == pytest.approx(math.exp(0.8 - 2 * 0.7), rel=1e-12)
    bend = logs[0] - 2 * logs[1] + logs[2]
    spread = sum((one - 0.8) ** 2 for one in logs)
    assert fit.r_squared == pytest.approx(1 - bend**2 / 6 / spread, rel=1e-12)


def test_that_two_orders_have_a_factor_and_no_quality() -> None:
    fit = fitted_growth([2, 4], [1.0, 9.0])
    assert fit is not None
    assert (fit.start, fit.factor) == pytest.approx((1 / 9, 3.0), rel=1e-12)
    assert fit.r_squared is None


def test_that_what_does_not_grow_is_fitted_wholly() -> None:
    fit = fitted_growth([1, 2, 3], [7.0, 7.0, 7.0])
    assert fit is not None
    assert fit.factor == pytest.approx(1.0)
    assert fit.r_squared == 1.0


def test_that_zero_and_absent_figures_are_left_out() -> None:
    fit = fitted_growth([1, 2, 3, 4], [0, 2.0, None, 8.0])
    assert fit is not None
    assert fit.factor == pytest.approx(2.0)
    assert fitted_growth([1, 2], [0, 2.0]) is None
    assert fitted_growth([], []) is None


def test_that_runs_are_ordered_and_the_later_of_one_order_counts() -> None:
    runs = [measured(3, 400, 0.9), measured(1, 100, 0.1), measured(2, 1, 9.0)]
    growth = growth_by_order([*runs, measured(2, 200, 0.3)])
    assert [(cost.order, cost.peak_bytes, cost.median_s) for cost in growth.costs] == [
        (1, 100, 0.1),
        (2, 200, 0.3),
        (3, 400, 0.9),
    ]
    assert growth.memory is not None
    assert growth.memory.factor == pytest.approx(2.0)
    assert growth.time is not None
    assert growth.time.factor == pytest.approx(3.0)
    assert growth_sentence(growth) == (
        "With each order the peak grows by a factor of 2 (R² 1.000) and the time grows by a factor "
        "of 3 (R² 1.000)."
    )


def test_that_curves_are_relative_to_the_lowest_order_with_a_figure() -> None:
    growth = growth_by_order([measured(1, 100, None), measured(2, 300, 0.5), measured(3, 900, 1.0)])
    curves = {curve.name: curve for curve in growth_curves(growth)}
    assert list(curves) == ["peak", "peak, fitted", "time", "time, fitted"]
    assert (curves["peak"].x, curves["peak"].y) == ((1, 2, 3), (1, 3, 9))
    assert curves["peak, fitted"].y == pytest.approx((1, 3, 9))
    assert (curves["time"].x, curves["time"].y) == ((2, 3), (1, 2))


def test_that_one_order_has_a_point_and_no_fit() -> None:
    growth = growth_by_order([measured(1, 100, None)])
    assert (growth.memory, growth.time) == (None, None)
    assert [curve.name for curve in growth_curves(growth)] == ["peak"]
    assert growth_sentence(growth) == "Growth needs figures of at least two orders."


def test_that_there_is_a_spec_for_each_order_of_the_workload() -> None:
    orders = at_each_order(SPEC)
    assert [spec.workload.order for spec in orders] == list(range(1, HIGHEST_ORDER + 1))
    assert orders[2] == SPEC.with_changes({"workload.order": 3, "name": f"{SPEC.name}, order 3"})
    meta = at_each_order(preset("lecture-maml").spec)
    assert [spec.workload.order for spec in meta] == [1, 2, 3, 4]


def test_that_a_workload_without_orders_has_none() -> None:
    products = SPEC.with_changes({"workload.kind": "hvp"})
    assert not has_orders(products)
    assert at_each_order(products) == ()
    assert has_orders(SPEC)


def test_that_an_order_at_which_nothing_runs_is_left_out() -> None:
    assert at_each_order(SPEC.with_changes({"model.layers": []})) == ()
