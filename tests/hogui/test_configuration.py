"""The column in which a run is configured: from an edit to a new spec, and back."""

import json

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLabel, QLineEdit, QSpinBox, QToolButton, QWidget

from core.spec.declaration import declared_fields
from core.spec.mitigations import IN_SEGMENTS, INNER_LOOPS
from core.spec.presets import preset, presets
from core.spec.run import RunSpec
from core.spec.workloads import WORKLOAD_KINDS
from hogui.forms.note import Note
from hogui.pages.configuration import ConfigurationPanel
from hogui.tables.layer_editor import LayerEditor
from hogui.tables.layer_table import LayerTable
from hogui.theme import Preference, theme

SPEC = RunSpec.from_json(
    json.dumps(
        {
            "name": "Test",
            "model": {
                "input_shape": [10],
                "layers": [
                    {"kind": "linear", "out_features": 50},
                    {"kind": "relu"},
                    {"kind": "linear", "out_features": 1},
                ],
            },
        }
    )
)


@pytest.fixture
def panel(qtbot, qapp):
    theme().set_preference(Preference.LIGHT)
    theme().apply(qapp)
    panel = ConfigurationPanel(SPEC)
    qtbot.addWidget(panel)
    panel.resize(360, 900)
    with qtbot.waitActive(panel):
        panel.show()
    yield panel
    theme().set_preference(Preference.SYSTEM)


@pytest.fixture
def specs(panel):
    seen = []
    panel.specChanged.connect(seen.append)
    return seen


def choose(panel, name, value):
    combo = panel.findChild(QComboBox, name)
    combo.setCurrentIndex(combo.findData(value))


def type_into(qtbot, widget, text):
    widget.setFocus()
    widget.selectAll()
    qtbot.keyClicks(widget, text)


def sentence(panel, key):
    label = panel.findChild(QLabel, f"{key}.sentence")
    return label.text() if label is not None and label.isVisible() else None


def notes(panel):
    return [note.text for note in panel.findChildren(Note) if note.isVisible()]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("data.batch_size", "100", 100),
        ("model.input_shape", "5", [5]),
        ("measure.seed", str(2**63 - 1), 2**63 - 1),
        ("measure.time_budget_s", "2.5", 2.5),
        ("measure.repetitions", "12", 12),
    ],
)
def test_that_a_typed_value_gives_the_spec_with_that_change(panel, specs, qtbot, key, text, value):
    panel._groups["measure"].expanded = True
    type_into(qtbot, panel.findChild(QLineEdit, key), text)
    assert specs[-1] == SPEC.with_changes({key: value}) == panel.spec
    assert panel.problems() == ()


def test_that_the_spec_that_was_given_is_never_changed(panel, specs, qtbot):
    before = SPEC.to_json()
    panel.findChild(QSpinBox, "orderSpin").setValue(3)
    assert specs == [SPEC.with_changes({"workload.order": 3})]
    assert SPEC.to_json() == before


def test_that_showing_a_spec_emits_nothing(panel, specs):
    for candidate in presets():
        panel.set_spec(candidate.spec)
        assert panel.spec == candidate.spec
        assert panel.problems() == candidate.spec.problems() == ()
    assert specs == []


def test_that_maml_shows_its_fields_and_hides_those_without_effect(panel, specs):
    steps = panel.findChild(QSpinBox, "innerStepsSpin")
    batch = panel.findChild(QLineEdit, "data.batch_size")
    inner_loop = panel.findChild(QComboBox, "mitigation.inner_loop")
    assert (steps.isVisible(), batch.isVisible(), inner_loop.isVisible()) == (False, True, False)
    choose(panel, "workloadCombo", "maml")
    assert (steps.isVisible(), batch.isVisible(), inner_loop.isVisible()) == (True, False, True)
    assert specs == [SPEC.with_changes({"workload.kind": "maml"})]
    steps.setValue(9)
    assert panel.spec.workload.inner_steps == 9


@pytest.mark.parametrize("kind", list(WORKLOAD_KINDS))
def test_that_each_workload_shows_the_fields_that_it_has(panel, kind):
    choose(panel, "workloadCombo", kind)
    workload = WORKLOAD_KINDS[kind]
    names = {field.name for field in declared_fields(workload)}
    expected = {
        "orderSpin": "order" in names,
        "innerStepsSpin": "inner_steps" in names,
        "data.batch_size": workload.examples != "tasks",
        "mitigation.inner_loop": workload.adapts,
        "mitigation.accumulation": kind not in ("maml", "darts"),
        "mitigation.precision": True,
        "workload.vectors": "vectors" in names,
        "workload.tasks": "tasks" in names,
    }
    shown = {name: panel.findChild(QWidget, name).isVisible() for name in expected}
    assert shown == expected


def test_that_parts_and_formats_are_chosen_in_the_form(panel, specs, qtbot):
    parts = panel.findChild(QLineEdit, "mitigation.accumulation")
    type_into(qtbot, parts, "4")
    assert specs[-1].mitigation.accumulation == 4
    choose(panel, "mitigation.precision", "autocast")
    assert specs[-1].mitigation.precision == "autocast"
    type_into(qtbot, parts, str(specs[-1].data.batch_size + 1))
    text = sentence(panel, "mitigation.accumulation")
    assert text is not None
    assert "each part needs an example" in text


def test_that_ways_are_asked_for_where_there_are_tasks(panel):
    ways, batch = (panel.findChild(QWidget, name) for name in ("data.ways", "data.batch_size"))
    choose(panel, "data.kind", "digits")
    assert (ways.isVisible(), batch.isVisible()) == (False, True)
    choose(panel, "workloadCombo", "maml")
    assert (ways.isVisible(), batch.isVisible()) == (True, False)


def test_that_the_outer_rate_is_asked_for_where_there_are_outer_steps(panel, qtbot):
    choose(panel, "workloadCombo", "maml")
    rate = panel.findChild(QLineEdit, "workload.outer_lr")
    assert not rate.isVisible()
    type_into(qtbot, panel.findChild(QLineEdit, "workload.outer_steps"), "5")
    assert rate.isVisible()


def test_that_every_way_of_keeping_the_inner_loop_can_be_chosen(panel, specs):
    choose(panel, "workloadCombo", "maml")
    inner_loop = panel.findChild(QComboBox, "mitigation.inner_loop")
    offered = [inner_loop.itemData(row) for row in range(inner_loop.count())]
    assert offered == list(INNER_LOOPS)
    segments = panel.findChild(QWidget, "mitigation.inner_segments")
    for way in INNER_LOOPS:
        choose(panel, "mitigation.inner_loop", way)
        assert panel.spec.mitigation.inner_loop == way
        assert segments.isVisible() == (way in IN_SEGMENTS)


def test_that_a_setting_without_effect_stays_while_a_notice_is_about_it(panel):
    inner_loop = panel.findChild(QComboBox, "mitigation.inner_loop")
    panel.set_spec(SPEC.with_changes({"mitigation.inner_loop": "checkpoint"}))
    assert inner_loop.isVisible()
    choose(panel, "mitigation.inner_loop", "standard")
    assert not inner_loop.isVisible()


def test_that_what_a_change_of_workload_leaves_without_effect_is_told(panel, qtbot):
    type_into(qtbot, panel.findChild(QLineEdit, "data.batch_size"), "9")
    notes = panel.findChildren(Note)
    assert not any("no effect" in note.text for note in notes)
    choose(panel, "workloadCombo", "maml")
    (told,) = [note.text for note in notes if "no effect" in note.text]
    assert told.startswith("data.batch_size has no effect here: MAML computes on workload.support")
    assert panel.findChild(QWidget, "data.batch_size").isVisible(), "so that it can be taken back"


def test_that_each_variant_of_maml_shows_the_fields_that_it_heeds(panel):
    choose(panel, "workloadCombo", "maml")
    order = panel.findChild(QSpinBox, "orderSpin")
    iterations = panel.findChild(QSpinBox, "workload.cg_iterations")
    assert (order.isVisible(), iterations.isVisible()) == (True, False)
    choose(panel, "workload.variant", "imaml")
    assert (order.isVisible(), iterations.isVisible()) == (False, True)
    choose(panel, "workload.variant", "reptile")
    assert (order.isVisible(), iterations.isVisible()) == (False, False)
    assert panel.problems() == ()


def test_that_order_and_batch_size_survive_a_change_of_workload_and_data(panel, qtbot):
    panel.findChild(QSpinBox, "orderSpin").setValue(4)
    type_into(qtbot, panel.findChild(QLineEdit, "data.batch_size"), "9")
    choose(panel, "workloadCombo", "maml")
    choose(panel, "data.kind", "arrays")
    assert panel.spec.workload.order == 4
    assert panel.spec.data.batch_size == 9


def test_that_an_order_which_maml_lacks_stays_visible_beside_the_reason(panel):
    order = panel.findChild(QSpinBox, "orderSpin")
    order.setValue(6)
    choose(panel, "workloadCombo", "maml")
    assert order.value() == 6
    assert sentence(panel, "workload.order") == "6 was given; allowed: a whole number from 1 to 4."
    assert [problem.key for problem in panel.problems()] == ["workload.order"]
    order.setValue(3)
    assert panel.problems() == ()
    assert panel.spec.workload.order == 3


def test_that_order_seven_is_a_problem_and_not_a_spec(panel, specs, qtbot):
    order = panel.findChild(QSpinBox, "orderSpin")
    with qtbot.waitSignal(panel.problemsChanged):
        type_into(qtbot, order, "7")
    assert specs == []
    assert sentence(panel, "workload.order") == "7 was given; allowed: a whole number from 1 to 6."
    (problem,) = panel.problems()
    expected = "workload.order: 7 was given; allowed: a whole number from 1 to 6."
    assert problem.sentence == expected


def test_that_zero_features_are_a_problem_in_their_row_and_not_a_spec(panel, specs):
    panel.findChild(LayerEditor).model.set_settings(0, "0")
    assert specs == []
    (problem,) = panel.problems()
    assert problem.path == ("model", "layers", 0)
    assert "out_features: 0 was given" in problem.sentence


def test_that_an_edited_stack_is_the_spec_with_those_layers(panel, specs):
    panel.findChild(LayerEditor).model.move([0], 3)
    layers = SPEC.flatten()["model.layers"]
    assert specs == [SPEC.with_changes({"model.layers": [layers[1], layers[2], layers[0]]})]


def test_that_what_does_not_fit_is_said_at_the_field_whose_path_it_carries(panel):
    choose(panel, "loss", "cross_entropy")
    (problem,) = panel.spec.problems()
    assert panel.problems() == (problem,)
    assert problem.sentence == f"loss: {sentence(panel, 'loss')}"
    choose(panel, "loss", "mse")
    assert sentence(panel, "loss") is None


def test_that_a_missing_file_is_said_at_its_field(panel, qtbot, tmp_path):
    choose(panel, "data.kind", "arrays")
    assert sentence(panel, "data.file").startswith("No file was given")
    type_into(qtbot, panel.findChild(QLineEdit, "data.file"), str(tmp_path / "none.npz"))
    assert "none.npz is not a file" in sentence(panel, "data.file")


def test_that_a_stack_without_parameters_is_said_below_the_table(panel):
    panel.findChild(LayerEditor).model.remove([0, 2])
    assert notes(panel) == [
        "No layer has parameters to differentiate by; add one, for example linear."
    ]


def test_that_a_notice_stands_in_the_group_that_it_is_about(panel):
    choose(panel, "checkpointingCombo", "torch")
    texts = {name: panel._lines[name][1].text for name in panel._lines}
    assert texts["mitigation"].startswith("torch's checkpointing frees activations")
    assert texts["model"] == texts["workload"] == texts["measure"] == ""
    assert panel.problems() == ()


def test_that_segments_are_asked_for_when_there_is_something_to_cut(panel):
    segments = panel.findChild(QLineEdit, "mitigation.checkpointing.segments")
    assert not segments.isVisible()
    choose(panel, "checkpointingCombo", "rematerialize")
    assert segments.isVisible()


def test_that_focus_cursor_and_selection_survive_another_spec(panel, qtbot):
    line = panel.findChild(QLineEdit, "data.batch_size")
    type_into(qtbot, line, "128")
    line.setCursorPosition(1)
    table = panel.findChild(LayerTable)
    table.select_rows([2])
    line.setFocus()
    panel.set_spec(panel.spec.with_changes({"workload.order": 5}))
    assert (line.hasFocus(), line.cursorPosition(), line.text()) == (True, 1, "128")
    assert table.selected_rows() == [2]


def test_that_a_refused_value_is_not_lost_when_another_field_changes(panel, qtbot):
    line = panel.findChild(QLineEdit, "data.batch_size")
    type_into(qtbot, line, "-5")
    panel.findChild(QSpinBox, "orderSpin").setValue(3)
    assert line.text() == "-5"
    assert [problem.key for problem in panel.problems()] == ["data.batch_size"]
    assert panel.spec.data.batch_size == SPEC.data.batch_size


def test_that_discarding_shows_the_spec_again(panel, qtbot):
    line = panel.findChild(QLineEdit, "data.batch_size")
    type_into(qtbot, line, "-5")
    panel.findChild(LayerEditor).model.set_settings(0, "0")
    panel.discard_drafts()
    assert line.text() == "64"
    assert panel.problems() == ()


def test_that_a_preset_is_asked_for_by_name(panel, qtbot):
    type_into(qtbot, panel.findChild(QLineEdit, "data.batch_size"), "-5")
    menu = panel.findChild(QToolButton, "presetsButton").menu()
    menu.aboutToShow.emit()
    assert [action.text() for action in menu.actions()] == [one.title for one in presets()]
    with qtbot.waitSignal(panel.presetChosen) as signal:
        menu.actions()[1].trigger()
    assert preset(signal.args[0]) == presets()[1]
    assert panel.problems() == ()


def test_that_a_folded_group_tells_what_is_not_at_its_default(panel):
    panel.set_spec(SPEC.with_changes({"measure.repetitions": 12, "measure.time_budget_s": 2}))
    group = panel._groups["measure"]
    assert not group.expanded
    assert group._summary.toolTip() == "Repetitions 12, Time budget 2.0 s"


def test_that_nothing_needs_more_width_than_the_column_has(panel):
    for candidate in presets():
        panel.set_spec(candidate.spec)
        panel.resize(panel.minimumWidth(), 900)
        assert panel.minimumWidth() <= 380
        for label in panel.findChildren(QLabel):
            if label.isVisible() and not label.wordWrap() and label.text():
                assert label.width() >= label.sizeHint().width(), label.text()


def test_that_every_visible_field_is_reached_by_the_tab_key(panel, qtbot):
    choose(panel, "workloadCombo", "maml")
    names = {"workloadCombo", "orderSpin", "innerStepsSpin", "checkpointingCombo", "layerTable"}
    panel.findChild(LayerTable).setFocus()
    reached = set()
    for _ in range(60):
        focus = panel.window().focusWidget()
        reached.add(focus.objectName())
        qtbot.keyClick(focus, Qt.Key.Key_Tab)
    assert names <= reached
