"""One tab's page: what it draws of a run, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from PySide6.QtWidgets import QSpinBox

from core.results.comparison import compare
from core.results.events import Event, Finished, Started
from core.results.measurement import Measurement
from core.results.outcome import Outcome
from core.results.statistics import timing
from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.open_tab import OpenTab
from hogui.pages.compare_strip import Compared, CompareStrip, comparison, verdict_text
from hogui.pages.run_page import RunPage
from hogui.progress import Progress
from hogui.run_worker import Job
from hogui.tables.layer_columns import Column
from hogui.tables.layer_delegate import INSET
from hogui.tables.layer_table import LayerTable
from tests.fake_core import FakeCore


@pytest.fixture
def tab() -> OpenTab:
    return OpenTab(preset("lecture-maml").spec)


@pytest.fixture
def page(qtbot: object, tab: OpenTab) -> RunPage:
    page = RunPage(tab)
    qtbot.addWidget(page)
    page.resize(1000, 700)
    page.show()
    return page


def _run(tab: OpenTab, core: FakeCore, *, until: type[Event] = Finished) -> None:
    """Feeds a tab as the session does, up to the first event of a kind."""
    tab.queue(Job("run1", tab.spec))
    tab.begin()
    for event in core.run(tab.spec, run_id="run1"):
        tab.take([event])
        if isinstance(event, until):
            break
    if until is Finished:
        tab.end()


def test_that_the_live_picture_and_the_final_one_hold_the_same_run(
    page: RunPage, tab: OpenTab
) -> None:
    _run(tab, FakeCore(repetitions=9))
    figures, result = page.figures, tab.result
    headers, rows = figures.memory.rows()
    total = headers.index("total_bytes")
    assert max(row[total] for row in rows) == result.memory.total_bytes
    assert [row[0] for row in figures.phases.rows()[1]] == [phase.name for phase in result.phases]
    seconds = [row[1] for row in figures.time.rows()[1] if not row[2]]
    assert seconds == list(result.time.samples_s)
    (learning,) = figures.charts.shown
    assert learning.objectName() == "learningPlot"
    assert [row[2] for row in learning.rows()[1]] == list(result.curves[0].y)
    assert learning.isVisible()


def test_that_a_page_built_during_a_run_catches_up(qtbot: object, tab: OpenTab) -> None:
    tab.queue(Job("run1", tab.spec))
    tab.begin()
    events = list(FakeCore().run(tab.spec, run_id="run1"))
    half = len(events) // 2
    tab.take(events[:half])
    late = RunPage(tab)
    qtbot.addWidget(late)
    tab.take(events[half:])
    tab.end()
    timed = [row[1] for row in late.figures.time.rows()[1] if not row[2]]
    assert timed == list(tab.result.time.samples_s)
    assert late.figures.memory.peak()[1] == tab.result.memory.total_bytes


def test_that_a_page_built_after_a_run_shows_its_result(qtbot: object, tab: OpenTab) -> None:
    _run(tab, FakeCore())
    late = RunPage(tab)
    qtbot.addWidget(late)
    assert late.figures.memory.peak()[1] == tab.result.memory.total_bytes
    assert len(late.figures.time.rows()[1]) == len(tab.result.time.samples_s)
    (learning,) = late.figures.charts.shown
    assert [row[2] for row in learning.rows()[1]] == list(tab.result.curves[0].y)
    assert "run finished" in late.figures.outcome_label.full_text


def test_that_a_new_run_wipes_the_picture_of_the_last_one(page: RunPage, tab: OpenTab) -> None:
    _run(tab, FakeCore())
    _run(tab, FakeCore(), until=Started)
    assert page.figures.memory.peak() is None
    assert page.figures.time.rows()[1] == []
    assert page.figures.phases.rows()[1] == []
    assert page.figures.charts.shown == ()


def test_that_the_crash_of_a_run_stands_in_its_tab(page: RunPage, tab: OpenTab) -> None:
    _run(tab, FakeCore(outcome=Outcome.CRASHED))
    assert Outcome.CRASHED.sentence in page.figures.strip.text
    assert "SIGSEGV" in page.figures.strip.text
    assert not page.figures.strip.button.isVisible()
    assert page.figures.memory.peak() is not None


def test_that_a_refused_run_shows_its_figures_and_can_be_forced(
    page: RunPage, tab: OpenTab, qtbot: object
) -> None:
    _run(tab, FakeCore(outcome=Outcome.OUT_OF_MEMORY))
    assert "99 TiB" in page.figures.strip.text
    with qtbot.waitSignal(page.forceWanted):
        page.figures.strip.button.click()
    assert page.figures.strip.text == ""


def test_that_pausing_holds_the_picture_and_not_the_run(page: RunPage, tab: OpenTab) -> None:
    page.figures.pause_button.click()
    _run(tab, FakeCore())
    assert page.figures.pause_button.text() == "Resume view"
    assert tab.result is not None
    page.figures.pause_button.click()
    assert page.figures.memory.peak()[1] == tab.result.memory.total_bytes


def test_that_a_page_says_when_its_figures_are_of_other_settings(
    page: RunPage, tab: OpenTab
) -> None:
    _run(tab, FakeCore())
    assert "changed since" not in page.figures.outcome_label.full_text
    tab.edit(tab.spec.with_value("workload.inner_steps", "2"))
    assert "changed since" in page.figures.outcome_label.full_text


def test_that_every_plot_says_what_will_appear(page: RunPage) -> None:
    for plot in (page.figures.memory, page.figures.phases, page.figures.time):
        assert plot.empty_sentence()
    assert page.figures.outcome_label.full_text == "Not measured yet."


def test_that_a_preset_replaces_the_configuration_in_one_step(page: RunPage, tab: OpenTab) -> None:
    before = tab.spec
    page.panel.presetChosen.emit("conv-order-2")
    assert tab.spec == preset("conv-order-2").spec
    assert page.panel.spec == tab.spec
    tab.undo()
    assert page.panel.spec == before


def test_that_the_narrowest_column_names_a_pooling_layer_in_full(
    qtbot: object, tab: OpenTab
) -> None:
    tab.edit(preset("conv-order-2").spec)
    page = RunPage(tab)
    qtbot.addWidget(page)
    page.show()
    page.panel.resize(page.panel.minimumWidth(), 700)
    table = page.panel.findChild(LayerTable)
    title = table.model().index(2, Column.KIND).data()
    assert title == "Max pool 2d"
    room = table.columnWidth(Column.KIND) - 2 * INSET
    assert room >= table.fontMetrics().horizontalAdvance(title)


def test_that_undo_first_gives_up_a_refused_value(
    page: RunPage, tab: OpenTab, qtbot: object
) -> None:
    before = tab.spec
    tab.edit(before.with_value("measure.seed", "5"))
    edited = tab.spec
    spin = page.panel.findChild(QSpinBox, "orderSpin")
    order = spin.text()
    spin.selectAll()
    qtbot.keyClicks(spin, "7")
    assert tab.problems
    tab.undo()
    assert (spin.text(), tab.problems, tab.spec) == (order, (), edited)
    tab.undo()
    assert tab.spec == before


def test_that_a_refused_value_alone_can_be_undone(
    page: RunPage, tab: OpenTab, qtbot: object
) -> None:
    assert not tab.can_undo
    spin = page.panel.findChild(QSpinBox, "orderSpin")
    spin.selectAll()
    qtbot.keyClicks(spin, "7")
    assert tab.can_undo
    tab.undo()
    assert not tab.can_undo


def test_that_undo_first_gives_up_refused_settings_of_a_layer(qtbot: object, tab: OpenTab) -> None:
    tab.edit(preset("conv-order-2").spec)
    page = RunPage(tab)
    qtbot.addWidget(page)
    model = page.panel.findChild(LayerTable).model()
    settings = model.index(0, Column.SETTINGS)
    shown, edited = settings.data(), tab.spec
    model.setData(settings, "none such")
    assert tab.problems
    tab.undo()
    assert (settings.data(), tab.problems, tab.spec) == (shown, (), edited)


def test_that_the_progress_of_a_run_never_goes_back_and_reaches_the_end(tab: OpenTab) -> None:
    progress, shares, sentences = Progress(), [], []
    for event in FakeCore().run(tab.spec):
        progress = progress.after(event)
        shares.append(progress.share)
        sentences.append(progress.sentence)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any("repetition 5 of about 12" in sentence for sentence in sentences)
    assert any(sentence.startswith("Memory pass · query") for sentence in sentences)


def _finished(spec: RunSpec) -> Compared:
    *_, last = FakeCore().run(spec)
    assert isinstance(last, Finished)
    return Compared(spec.name, spec, last.result)


def test_that_a_comparison_lists_ratios_and_only_what_differs() -> None:
    spec = preset("lecture-second-order").spec
    deeper = spec.with_changes({"workload.order": 3, "name": "deeper"})
    peak, time, _check, *settings = comparison(
        [_finished(spec), _finished(deeper), Compared("new", deeper, None)]
    )
    first, second = (compared.result.memory for compared in (_finished(spec), _finished(deeper)))
    assert peak.texts[1].split()[-1] == f"{second.peak_bytes / first.peak_bytes:.2f}×"
    assert "×" not in peak.texts[0]
    assert peak.texts[2] == "–"
    assert time.texts[1].endswith("1.00×")
    assert [(row.title, row.texts, row.key) for row in settings] == [
        ("Order", ("2", "3", "3"), "workload.order")
    ]


def test_that_readings_stand_beside_each_other() -> None:
    first, second = (_finished(preset("lecture-second-order").spec) for _ in range(2))
    found = first.result.model_copy(update={"readings": {"trace": 40.123456789, "error": None}})
    rows = comparison([replace(first, result=found), second, Compared("new", second.spec, None)])
    texts = {row.title: row.texts for row in rows}
    assert texts["Trace"] == ("40.1235", "–", "–")
    assert texts["Error"] == ("not finite", "–", "–")


def test_that_compared_memory_is_in_mib_however_much_it_is() -> None:
    one = _finished(preset("lecture-second-order").spec)
    memory = one.result.memory
    for size, text in ((3 * 2**30, "3072.0"), (5 * 2**20 + 2**18, "5.250")):
        changed = memory.model_copy(update={"peak_bytes": size})
        result = one.result.model_copy(update={"memory": changed})
        peak, *_ = comparison([Compared("a", one.spec, result)])
        assert peak.title == "Peak above baseline, MiB"
        assert peak.texts == (text,)


def test_that_compared_settings_go_by_their_labels_and_tell_their_keys() -> None:
    spec = preset("lecture-second-order").spec
    layers = [{"kind": "linear", "out_features": 3}, {"kind": "tanh"}]
    other = spec.with_changes(
        {
            "model.layers": layers,
            "measure.time_budget_s": 1,
            "mitigation.checkpointing.kind": "torch",
        }
    )
    _, _, *settings = comparison([_pending(spec), _pending(other)])
    assert [(row.title, row.texts, row.key) for row in settings] == [
        ("Layers", ("1 layer: linear", "2 layers: linear, tanh"), "model.layers"),
        ("Checkpointing", ("none", "torch"), "mitigation.checkpointing.kind"),
        ("Time budget, s", ("5.0", "1.0"), "measure.time_budget_s"),
    ]


def test_that_the_tip_of_a_compared_setting_is_what_files_call_it(qtbot: object) -> None:
    spec = preset("lecture-second-order").spec
    strip = CompareStrip()
    qtbot.addWidget(strip)
    strip.compare([OpenTab(spec), OpenTab(spec.with_changes({"workload.order": 3}))])
    item = strip.table.item(2, 0)
    assert (item.text(), item.toolTip()) == ("Order", "workload.order")


def test_that_another_workload_lists_what_one_lacks_as_a_dash() -> None:
    spec = preset("lecture-second-order").spec
    maml = spec.with_value("workload.kind", '"maml"')
    rows = {row.key: row.texts for row in comparison([_pending(spec), _pending(maml)])}
    assert rows["workload.inner_steps"] == ("–", "5")
    assert rows["workload.wrt"] == ("parameters", "–")


def _pending(spec: RunSpec) -> Compared:
    return Compared(spec.name, spec, None)


def test_that_the_configuration_takes_its_place_at_once(page: RunPage, tab: OpenTab) -> None:
    """It comes in place of an empty widget, which must not leave it folded away."""
    assert page.panel.width() >= 300
    unseen = RunPage(tab)
    assert unseen.panel.spec == tab.spec
    unseen.resize(1000, 700)
    unseen.show()
    assert unseen.panel.width() >= 300
    unseen.close()


def _timed(result: Measurement, seconds: Sequence[float]) -> Measurement:
    return result.model_copy(update={"time": timing(seconds, None)})


@pytest.mark.parametrize(
    ("factor", "text"),
    [(2.0, "slower, 2.00×"), (0.5, "faster, 0.500×"), (1.0, "same, 1.00×")],
)
def test_that_each_run_gets_a_verdict_against_the_first(factor: float, text: str) -> None:
    result = _finished(preset("lecture-second-order").spec).result
    steady = [0.010 + 1e-6 * (index % 5) for index in range(50)]
    one = _timed(result, steady)
    other = _timed(result, [factor * seconds for seconds in steady])
    assert verdict_text(compare(one, other)).startswith(text)


def test_that_few_samples_give_no_interval_and_no_runs_a_dash() -> None:
    result = _finished(preset("lecture-second-order").spec).result
    assert verdict_text(compare(_timed(result, [1.0]), _timed(result, [1.0]))) == "cannot tell"
    assert verdict_text(None) == "–"


def _strip(qtbot: object, *results: Measurement | None) -> CompareStrip:
    strip = CompareStrip()
    qtbot.addWidget(strip)
    tabs = []
    for result in results:
        tab = OpenTab(preset("lecture-second-order").spec)
        tab.set_result(result, None)
        tabs.append(tab)
    strip.compare(tabs)
    return strip


def _texts(strip: CompareStrip, title: str) -> list[str]:
    table = strip.table
    row = next(row for row in range(table.rowCount()) if table.item(row, 0).text() == title)
    return [table.item(row, column).text() for column in range(1, table.columnCount())]


def test_that_runs_of_different_machines_are_compared_with_a_visible_warning(
    qtbot: object,
) -> None:
    result = _timed(
        _finished(preset("lecture-second-order").spec).result, [0.01 + 1e-6] * 20 + [0.01] * 20
    )
    elsewhere = result.environment.model_copy(update={"torch": "1.0", "cpu": "Another one"})
    strip = _strip(qtbot, result, result.model_copy(update={"environment": elsewhere}))
    assert not strip.warning_label.isHidden()
    assert "different processors" in strip.warning_label.text()
    assert "different versions of torch" in strip.warning_label.toolTip()
    alike = _strip(qtbot, result, result)
    assert alike.warning_label.isHidden()
    assert _texts(alike, "Verdict on time")[0] == "reference"


def test_that_the_strip_follows_results_and_shows_the_checks(qtbot: object) -> None:
    result = _finished(preset("lecture-second-order").spec).result
    failed = result.model_copy(update={"check": result.check.model_copy(update={"passed": False})})
    strip = _strip(qtbot, result, None)
    assert _texts(strip, "Check") == ["passed", "–"]
    strip.tabs[1].set_result(failed, None)
    assert _texts(strip, "Check") == ["passed", "failed"]
    assert _texts(strip, "Verdict on time")[1] != "–"
