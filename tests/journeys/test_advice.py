"""From a configuration that does not fit to one that does: the real window and the real core."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton, QWidget

from core.results.outcome import Outcome
from core.spec.presets import preset
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab
from hogui.tab_advice import AdviceState

PATIENCE_MS = 180_000
QUICK = {"measure.time_budget_s": 0.5, "measure.warmup": 2}


def test_that_a_budget_leads_to_a_configuration_that_a_run_confirms(
    qtbot: object, finish: Callable[[OpenTab], None]
) -> None:
    window = MainWindow()
    qtbot.addWidget(window)
    window.show()
    spec = preset("deep-mlp").spec
    layers = [layer.model_dump(mode="json") for layer in spec.model.layers[:12]]
    spec = spec.with_changes({"model.layers": layers, "data.batch_size": 256, **QUICK})
    asked = window.workbench.open_copy_of(spec)

    # One key, and the whole answer for the memory of this machine.
    window.commands["advise"].trigger()
    page = window.findChild(QWidget, "advicePage")
    advice = page.advice
    qtbot.waitUntil(lambda: advice.state is AdviceState.DONE, timeout=PATIENCE_MS)
    assert advice.answer.recommended.spec == spec, "nothing has to be mitigated"
    needed = [point.forecast.total_bytes for point in advice.points]
    assert len(needed) > 3

    # A budget between the least that is needed and what it needs as it is.
    exact = [each.forecast.total_bytes for each in advice.points if not each.approximates]
    budget = (min(exact) + needed[0]) // 2
    page.findChild(QLineEdit, "budgetField").setText(f"{budget / 1024:.0f} KiB")
    page.findChild(QPushButton, "adviseButton").click()
    assert advice.state is not AdviceState.DONE
    qtbot.waitUntil(lambda: advice.state is AdviceState.DONE, timeout=PATIENCE_MS)
    best = advice.answer.recommended
    assert best.spec != spec
    assert best.forecast.total_bytes <= budget < needed[0]
    assert page.findChild(QLabel, "recommendationLabel").text().endswith(best.label)

    # Measured on the spot, in a tab of its own: it needs what was foretold, and so it fits.
    page.findChild(QPushButton, "measureRecommendationButton").click()
    (measured,) = (tab for tab in window.session.tabs if tab.name.startswith(f"{asked.name}, "))
    finish(measured)
    assert measured.result.outcome is Outcome.FINISHED
    assert measured.result.check.passed
    total = measured.result.memory.total_bytes
    assert total <= budget
    if best.forecast.exact:
        assert total == best.forecast.total_bytes
        assert "as foretold" in page.findChild(QLabel, "adviceSentence1").text()
    assert window.session.current is asked
    window.close()
