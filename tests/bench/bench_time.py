"""Whether a comparison of times can be believed, with real computations on this machine.

Two small computations take turns, as ``hogui compare A B --interleaved`` has them do. They differ
in nothing, or one repeats its gradient 21 times where the other does 20 times.
"""

import time
from collections import Counter

import pytest
import torch

from core.engine.recorder import Recorder
from core.measure.timing.clock import Clock
from core.measure.timing.interleaved import take_turns
from core.results.interleaved import Compared
from tests.bench.page import Page

TRIALS = 200
MOST_S = 60.0
PARTS = 20
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def repeating(times: int) -> Clock:
    """A layer and its gradient, so many times in one repetition."""
    weight = torch.randn(16, 16, requires_grad=True)
    x = torch.randn(16, 16)

    def work(_: Recorder) -> None:
        for _ in range(times):
            torch.autograd.grad(torch.tanh(x @ weight).sum(), [weight])

    return Clock(CPU, lambda: None, work)


def trials(a: Clock, b: Clock) -> tuple[list[Compared], list[float]]:
    found, seconds = [], []
    for _ in range(TRIALS):
        began = time.perf_counter()
        *_, last = take_turns(a, b, MOST_S)
        seconds.append(time.perf_counter() - began)
        assert isinstance(last, Compared)
        found.append(last)
    return found, seconds


def report(page: Page, title: str, found: list[Compared], seconds: list[float]) -> Counter[str]:
    times = [last.time for last in found if last.time is not None]
    verdicts = Counter(one.verdict for one in times)
    ratios = sorted(one.ratio for one in times)
    others = [last.conditions.other_cores for last in found if last.conditions is not None]
    busy = sorted(cores for cores in others if cores is not None)
    rows = [
        *((verdict.replace("_", " "), verdicts[verdict]) for verdict in sorted(verdicts)),
        ("ratio, lowest", f"{ratios[0]:.4f}"),
        ("ratio, median", f"{ratios[len(ratios) // 2]:.4f}"),
        ("ratio, highest", f"{ratios[-1]:.4f}"),
        ("pairs, median", sorted(len(last.a_samples_s) for last in found)[len(found) // 2]),
        ("seconds, median", f"{sorted(seconds)[len(seconds) // 2]:.2f}"),
        ("seconds, most", f"{max(seconds):.2f}"),
        ("cores used by others, median", f"{busy[len(busy) // 2]:.2f}" if busy else "not told"),
    ]
    page.table(title, ["", f"{len(found)} comparisons"], rows)
    page.claim(
        f"{title}, longest of {len(found)}",
        f"≤ {MOST_S:.0f} s",
        f"{max(seconds):.1f} s",
        met=max(seconds) <= MOST_S + 1,
    )
    return verdicts


def test_that_a_computation_is_not_told_apart_from_itself(page: Page) -> None:
    found, seconds = trials(repeating(PARTS), repeating(PARTS))
    verdicts = report(page, "The same computation twice", found, seconds)
    false = (verdicts["faster"] + verdicts["slower"]) / TRIALS
    page.claim(
        "False verdicts, a computation against itself", "≤ 5 %", f"{false:.1%}", met=false <= 0.05
    )


def test_that_five_percent_of_added_work_is_found(page: Page) -> None:
    found, seconds = trials(repeating(PARTS), repeating(PARTS + 1))
    verdicts = report(page, f"{PARTS + 1} parts of work against {PARTS}", found, seconds)
    share = verdicts["slower"] / TRIALS
    page.claim("Added work of 5 % found", "≥ 95 %", f"{share:.1%}", met=share >= 0.95)
