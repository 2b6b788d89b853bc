"""The step curve of a log of changes."""

import numpy as np
import pytest

from core.measure.memory.curve import Curve, LedgerLog
from core.results.categories import CATEGORIES
from core.results.events import MemorySamples, PhaseStarted


def test_that_the_curve_adds_up_changes_by_category() -> None:
    curve = Curve.of(
        [(0.0, 0, 100, "parameters"), (1.0, 1, 40, "activations"), (2.0, 1, -40, "activations")]
    )
    assert curve.totals.tolist() == [100, 140, 100]
    assert curve.columns() == {"parameters": (100, 100, 100), "activations": (0, 40, 0)}
    assert curve.t_s == (0.0, 1.0, 2.0)


def test_that_given_categories_replace_those_of_birth() -> None:
    entries = [(0.0, 0, 8, "activations"), (1.0, 1, 2, "activations")]
    assert Curve.of(entries, ["gradients", "temporaries"]).columns() == {
        "gradients": (8, 8),
        "temporaries": (0, 2),
    }


def test_that_thinning_keeps_a_spike_of_a_single_change() -> None:
    generator = np.random.default_rng(0)
    entries = []
    for index in range(50_000):
        entries.append((index * 1e-6, index, int(generator.integers(1, 9)), "activations"))
        entries.append((index * 1e-6 + 5e-7, index, -entries[-1][2], "activations"))
    entries.insert(77_777, (0.0388881, 99_999, 10**9, "graph_1"))
    entries.insert(77_778, (0.0388882, 99_999, -(10**9), "graph_1"))
    curve = Curve.of(entries)
    thinned = curve.thinned(300)
    assert len(thinned.t_s) <= 300
    assert thinned.totals.max() == curve.totals.max() >= 10**9
    assert thinned.totals[-1] == curve.totals[-1] == 0
    assert (np.diff(thinned.seconds) >= 0).all()


def test_that_the_peak_is_the_first_highest_moment() -> None:
    entries = [(0.0, 0, 5, "data"), (1.0, 1, 5, "data"), (2.0, 1, -5, "data"), (3.0, 2, 5, "data")]
    curve = Curve.of(entries)
    assert curve.entry_at(curve.peak_position()) == 1


def test_that_draining_twice_continues_the_totals() -> None:
    log = LedgerLog()
    log.phase("forward", 0.0)
    log.change(0.1, 0, 100, "parameters")
    assert list(log.drain()) == [
        PhaseStarted(name="forward", t_s=0.0),
        MemorySamples(t_s=(0.1,), columns={"parameters": (100,)}),
    ]
    log.change(0.2, 1, 50, "activations")
    assert list(log.drain()) == [
        MemorySamples(t_s=(0.2,), columns={"parameters": (100,), "activations": (50,)})
    ]
    assert list(log.drain()) == []


def test_that_a_closed_log_ignores_later_releases() -> None:
    log = LedgerLog()
    log.change(0.1, 0, 100, "parameters")
    log.close()
    log.change(0.2, 0, -100, "parameters")
    assert len(log.entries()) == 1


@pytest.mark.parametrize("category", CATEGORIES)
def test_that_every_category_has_a_column(category: str) -> None:
    assert Curve.of([(0.0, 0, 7, category)]).columns() == {category: (7,)}
