"""How memory and time of a nested gradient grow from order to order. Bytes repeat exactly."""

import itertools

from core.results.growth_by_order import growth_by_order
from tests.bench.bench_memory import MIB, measure, mlp
from tests.bench.page import Page

ORDERS = range(1, 7)
GROWTH, SLACK = (2.0, 2.4), 0.03
"""Peak of an order ÷ that of the order below, of a smooth network: each derivative makes about two
tensors for every one that it differentiates."""


def test_that_each_order_needs_little_more_than_twice_the_memory(page: Page) -> None:
    """Four linear layers of width 64 with tanh between, batch 512."""
    model = mlp(4, 64)
    model["layers"].pop()
    results = [
        measure(
            model,
            data={"kind": "synthetic", "batch_size": 512},
            workload={"kind": "nested_gradient", "order": order},
        )
        for order in ORDERS
    ]
    peaks = [result.memory.peak_bytes for result in results if result.memory is not None]
    medians = [result.time.median_s for result in results if result.time is not None]
    low, high = GROWTH
    ratios = [above / below for below, above in itertools.pairwise(peaks)]
    page.claim(
        "Peak of order k + 1 ÷ peak of order k, k = 1 to 5",
        f"{low} to {high} ± {SLACK:.0%}",
        ", ".join(f"{ratio:.2f}" for ratio in ratios),
        met=all(low * (1 - SLACK) <= ratio <= high * (1 + SLACK) for ratio in ratios),
    )
    growth = growth_by_order(results)
    assert growth.memory is not None
    assert growth.time is not None
    rows = [
        (order, f"{peak / MIB:.2f}", f"{peak / below:.2f}", f"{median * 1e3:.2f}")
        for order, peak, below, median in zip(
            ORDERS, peaks, [peaks[0], *peaks], medians, strict=False
        )
    ]
    page.table(
        f"MLP of 4 layers, width 64, batch 512: peak grows by {growth.memory.factor:.2f} an order, "
        f"time by {growth.time.factor:.2f} (fits of a^k, R² {growth.memory.r_squared:.3f} and "
        f"{growth.time.r_squared:.3f})",
        ["order", "peak MiB", "÷ order below", "median ms"],
        rows,
    )
