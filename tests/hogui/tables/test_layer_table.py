"""Editing the stack by hand: keys, typing, dragging, the clipboard."""

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QLineEdit, QToolButton

from core.spec.declaration import Problem
from core.spec.layers import LAYER_KINDS, Conv2d, Flatten, Linear, MaxPool2d, ReLU
from core.spec.model import StackModel
from hogui.tables.layer_columns import Column
from hogui.tables.layer_delegate import INSET, kinds_by_group
from hogui.tables.layer_editor import LayerEditor, usual_next
from hogui.theme import Preference, theme

STACK = StackModel(
    input_shape=(3, 32, 32),
    layers=(Conv2d(out_channels=16, padding=1), ReLU(), Flatten(), Linear(out_features=10)),
)


@pytest.fixture
def editor(qtbot, qapp):
    theme().set_preference(Preference.LIGHT)
    theme().apply(qapp)
    editor = LayerEditor()
    qtbot.addWidget(editor)
    editor.set_stack(STACK)
    editor.resize(340, 400)
    with qtbot.waitActive(editor):
        editor.show()
    yield editor
    theme().set_preference(Preference.SYSTEM)


@pytest.fixture
def edits(editor):
    seen = []
    editor.layersChanged.connect(seen.append)
    return seen


def type_settings(qtbot, editor, row, text):
    table = editor.table
    table.setCurrentIndex(editor.model.index(row, Column.SETTINGS))
    qtbot.keyClick(table, Qt.Key.Key_F2)
    line = table.viewport().findChild(QLineEdit)
    line.selectAll()
    qtbot.keyClicks(line, text)
    return line


def table_is_idle(editor):
    return editor.table.state() is QAbstractItemView.State.NoState


def order(editor):
    return [STACK.layers.index(layer) for layer in editor.model.layers]


def test_that_typed_settings_take_effect_with_enter(editor, edits, qtbot):
    line = type_settings(qtbot, editor, 0, "8, padding=1")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: table_is_idle(editor))
    assert edits == [(Conv2d(out_channels=8, padding=1), *STACK.layers[1:])]


def test_that_typed_settings_take_effect_when_typing_pauses(editor, edits, qtbot):
    line = type_settings(qtbot, editor, 0, "8, ")
    qtbot.waitUntil(lambda: bool(edits))
    assert edits == [(Conv2d(out_channels=8), *STACK.layers[1:])]
    assert line.text() == "8, "


def test_that_zero_features_show_their_sentence_in_the_row_and_are_no_edit(editor, edits, qtbot):
    height = editor.table.rowHeight(3)
    line = type_settings(qtbot, editor, 3, "0")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: table_is_idle(editor))
    assert edits == []
    assert editor.model.index(3, Column.SETTINGS).data() == "0"
    sentence = "out_features: 0 was given; allowed: a whole number from 1 to 1000000000."
    assert [problem.sentence for problem in editor.problems()] == [sentence]
    room = editor.table.rowHeight(3) - height
    assert room >= 2 * editor.fontMetrics().height()


def test_that_a_wrong_row_is_tinted_and_says_why_in_red(editor):
    table = editor.table
    editor.model.set_settings(3, "0")
    editor.layout().activate()
    image = table.viewport().grab().toImage()
    top, height = table.rowViewportPosition(3), table.rowHeight(3)
    colours = {
        image.pixelColor(x, y).name().upper()
        for y in range(top + height // 2, top + height)
        for x in range(image.width())
    }
    tokens = theme().tokens
    assert {tokens.error_surface, tokens.error} <= colours
    above = {image.pixelColor(x, top - 3).name().upper() for x in range(image.width())}
    assert tokens.error_surface not in above


def test_that_escape_brings_the_former_settings_back(editor, edits, qtbot):
    line = type_settings(qtbot, editor, 3, "99")
    qtbot.waitUntil(lambda: bool(edits))
    qtbot.keyClick(line, Qt.Key.Key_Escape)
    assert editor.model.layers == STACK.layers


def test_that_long_settings_get_a_line_of_their_own(editor):
    table = editor.table
    assert table.rowHeight(0) > table.rowHeight(1)
    editor.resize(900, 400)
    assert table.rowHeight(0) == table.rowHeight(1)


def test_that_a_kind_is_not_cut_while_its_settings_have_room_below(editor):
    pooled = (MaxPool2d(kernel_size=2), *STACK.layers)
    editor.set_stack(STACK.model_copy(update={"layers": pooled}))
    table = editor.table
    editor.resize(330, 400)
    title = table.fontMetrics().horizontalAdvance("Max pool 2d")
    assert editor.model.index(0, Column.KIND).data() == "Max pool 2d"
    assert table.columnWidth(Column.KIND) > title + 2 * INSET
    columns = sum(table.columnWidth(column) for column in Column)
    assert columns == table.viewport().width()


def test_that_the_table_is_as_high_as_its_rows(editor):
    assert editor.table.verticalScrollBar().maximum() == 0
    editor.model.set_settings(3, "0")
    editor.layout().activate()
    assert editor.table.verticalScrollBar().maximum() == 0


def test_that_alt_and_an_arrow_move_the_selected_rows(editor, qtbot):
    editor.table.select_rows([1, 2])
    qtbot.keyClick(editor.table, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert order(editor) == [1, 2, 0, 3]
    assert editor.table.selected_rows() == [0, 1]
    qtbot.keyClick(editor.table, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert order(editor) == [0, 1, 2, 3]


def test_that_delete_removes_the_selected_rows_and_selects_the_next(editor, edits, qtbot):
    editor.table.select_rows([0, 1])
    qtbot.keyClick(editor.table, Qt.Key.Key_Delete)
    assert edits == [STACK.layers[2:]]
    assert editor.table.selected_rows() == [0]


def test_that_a_duplicate_is_selected(editor, qtbot):
    editor.table.select_rows([3])
    qtbot.keyClick(editor.table, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert order(editor) == [0, 1, 2, 3, 3]
    assert editor.table.selected_rows() == [4]


def test_that_copied_layers_are_pasted_after_the_selection(editor, edits, qtbot):
    control = Qt.KeyboardModifier.ControlModifier
    editor.table.select_rows([0, 1])
    qtbot.keyClick(editor.table, Qt.Key.Key_C, control)
    editor.table.select_rows([2])
    qtbot.keyClick(editor.table, Qt.Key.Key_V, control)
    assert order(editor) == [0, 1, 2, 0, 1, 3]
    assert editor.table.selected_rows() == [3, 4]
    assert len(edits) == 1


def test_that_foreign_text_on_the_clipboard_is_refused_in_words_until_the_next_edit(
    editor, edits, qtbot
):
    QGuiApplication.clipboard().setText("shopping list")
    editor.table.paste()
    assert edits == []
    assert editor._sentence.text == "The clipboard holds no layers as JSON text."
    editor.table.select_rows([0])
    editor.table.duplicate_selected()
    assert editor._sentence.text == ""


def drop(table, row_from, y, mime=None):
    mime = mime or table.model().mimeData([table.model().index(row_from, 0)])
    event = QDropEvent(
        QPointF(20, y),
        Qt.DropAction.MoveAction | Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    table.dropEvent(event)
    return event


def test_that_dragging_a_row_reorders_and_leaves_nothing_for_the_view_to_delete(editor, edits):
    table = editor.table
    table.select_rows([3])
    event = drop(table, 3, table.rowViewportPosition(1) + 2)
    assert edits == [tuple(STACK.layers[row] for row in (0, 3, 1, 2))]
    assert event.dropAction() is Qt.DropAction.CopyAction
    assert table.selected_rows() == [1]


def test_that_a_row_dropped_below_the_last_goes_to_the_end(editor):
    drop(editor.table, 0, editor.table.viewport().height() - 1)
    assert order(editor) == [1, 2, 3, 0]


def test_that_text_dropped_from_elsewhere_is_inserted_as_layers(editor, edits):
    mime = QMimeData()
    mime.setText('[{"kind": "tanh"}]')
    drop(editor.table, 0, editor.table.rowViewportPosition(1) + 2, mime)
    assert edits[-1][1] == LAYER_KINDS["tanh"]()


def test_that_the_add_button_inserts_the_usual_next_layer_after_the_selection(editor, qtbot):
    button = editor.findChild(QToolButton, "addLayerButton")
    editor.table.select_rows([0])
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(10, 10))
    assert editor.model.layers[1] == ReLU()
    assert editor.table.selected_rows() == [1]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(10, 10))
    assert editor.model.layers[2] == Conv2d()


def test_that_the_add_menu_offers_every_kind_once(editor):
    menu = editor.findChild(QToolButton, "addLayerButton").menu()
    submenus = [action.menu() for action in menu.actions()]
    offered = [action.text() for submenu in submenus for action in submenu.actions()]
    assert sorted(offered) == sorted(cls.title for cls in LAYER_KINDS.values())
    tanh = next(a for submenu in submenus for a in submenu.actions() if a.text() == "Tanh")
    tanh.trigger()
    assert editor.model.layers[-1] == LAYER_KINDS["tanh"]()


def test_that_the_usual_layer_after_a_shape_fits_it():
    for shape in ((3, 8, 8), (3, 8), (3,), ()):
        follower = usual_next(None, shape)
        if shape:
            follower.output_shape(shape)


def test_that_the_kind_is_chosen_from_a_list_by_group(editor, edits, qtbot):
    table = editor.table
    table.setCurrentIndex(editor.model.index(3, Column.KIND))
    qtbot.keyClick(table, Qt.Key.Key_Return)
    combo = table.viewport().findChild(QComboBox)
    headings = [
        combo.itemText(row)
        for row in range(combo.count())
        if not combo.model().index(row, 0).flags() & Qt.ItemFlag.ItemIsSelectable
    ]
    assert headings == list(kinds_by_group())
    assert combo.currentText() == "Linear"
    combo.setCurrentIndex(combo.findData("dropout"))
    combo.activated.emit(combo.currentIndex())
    assert edits[-1][3] == LAYER_KINDS["dropout"]()


def test_that_the_selection_follows_its_layers_through_an_undo(editor):
    editor.table.select_rows([3])
    editor.set_stack(STACK.model_copy(update={"layers": (Linear(), *STACK.layers)}))
    assert editor.table.selected_rows() == [4]


def test_that_the_open_editor_keeps_its_text_while_the_same_stack_is_shown_again(editor, qtbot):
    line = type_settings(qtbot, editor, 0, "16,padding = 1")
    editor.set_stack(STACK)
    assert line.text() == "16,padding = 1"


def test_that_the_totals_are_those_of_the_stack(editor):
    # 448 + 163850, as the rows say.
    expected = "4 layers · 164\N{NO-BREAK SPACE}298 parameters · output 10"
    assert editor._totals.toolTip() == expected


def test_that_a_problem_of_the_whole_stack_stands_below_the_table(editor):
    whole = Problem(("model", "layers"), "No layer has parameters.")
    row = Problem(("model", "layers", 1), "relu does not fit.")
    other = Problem(("loss",), "loss: no.")
    assert editor.show_problems([whole, row, other]) == (other,)
    assert editor._sentence.text == "No layer has parameters."


@pytest.mark.parametrize("column", list(Column))
def test_that_a_screen_reader_gets_a_text_for_every_cell(editor, column):
    for row in range(editor.model.rowCount()):
        assert editor.model.index(row, column).data(Qt.ItemDataRole.AccessibleTextRole)
