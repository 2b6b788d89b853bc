"""What rows of the layer table say below themselves."""

from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QApplication

from core.results.forecast import Finding
from core.spec.layers import Flatten, Linear, ReLU
from core.spec.model import StackModel
from hogui.tables.layer_model import LayerModel
from hogui.tables.row_notes import NOTES_ROLE, RowNote, notes_height, row_notes, row_tint

FINDINGS = (
    Finding(severity="note", layer=1, sentence="It switches by itself."),
    Finding(severity="warning", layer=1, sentence="It is wrong from order 3 on."),
    Finding(severity="warning", layer=1, sentence="It is wrong from order 3 on."),
)


def _model():
    model = LayerModel()
    layers = (Flatten(), Linear(out_features=3), ReLU())
    model.set_stack(StackModel(input_shape=(2, 2), layers=layers))
    model.set_findings(FINDINGS)
    return model


def _said(model, row):
    return [note.sentence for note in model.index(row, 0).data(NOTES_ROLE)]


def test_that_what_is_wrong_comes_first_and_nothing_is_said_twice():
    notes = row_notes("It does not fit.", FINDINGS)
    assert [(note.severity, note.icon) for note in notes] == [
        ("error", "error"),
        ("warning", "warning"),
        ("note", "info"),
    ]
    assert notes[0].sentence == "It does not fit."


def test_that_a_row_is_tinted_by_the_worst_and_not_by_what_only_informs():
    error, warning, note = (RowNote("x", name) for name in ("error", "warning", "note"))
    assert row_tint([note, warning, error]) == "error_surface"
    assert row_tint([note, warning]) == "warning_surface"
    assert row_tint([note]) is None


def test_that_each_note_gets_the_lines_that_it_needs(qapp):
    metrics = QFontMetrics(QApplication.font())
    short, long = RowNote("a"), RowNote("many words " * 20)
    one = notes_height([short], metrics, 300)
    assert notes_height([short, short], metrics, 300) == 2 * one
    assert notes_height([long], metrics, 300) > 3 * one
    assert notes_height([], metrics, 300) == 0


def test_that_findings_stay_while_settings_change_and_go_when_layers_move():
    model = _model()
    assert _said(model, 1) == ["It is wrong from order 3 on.", "It switches by itself."]
    assert _said(model, 0) == []
    model.set_settings(1, "7")
    assert _said(model, 1) != []
    model.move([2], 0)
    assert [_said(model, row) for row in range(3)] == [[], [], []]
    model.set_findings(FINDINGS)
    assert _said(model, 1) != []
