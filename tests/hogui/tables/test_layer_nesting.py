"""Layers within layers in the table: rows of their own that are edited like all others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPersistentModelIndex, QPoint, Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QLineEdit, QToolButton

from core.results.forecast import Finding
from core.spec.layers import Conv2d, Identity, Linear, Mixed, ReLU, Residual, Tanh
from core.spec.model import StackModel
from hogui.tables.layer_columns import Column
from hogui.tables.layer_delegate import STEP
from hogui.tables.layer_editor import LayerEditor
from hogui.tables.layer_entries import Spot, folded, unfolded
from hogui.tables.layer_model import DEPTH_ROLE, PROBLEM_ROLE, LayerModel
from hogui.tables.row_notes import NOTES_ROLE

CHOICE = Mixed(candidates=(Tanh(), Linear(out_features=4)))
BLOCK = Residual(layers=(Linear(out_features=8), CHOICE))
STACK = StackModel(input_shape=(4,), layers=(Linear(out_features=4), BLOCK, ReLU()))
# Rows: 0 linear, 1 residual, 2 linear, 3 mixed, 4 tanh, 5 linear, 6 relu.
ALT = Qt.KeyboardModifier.AltModifier


def watched(stack: StackModel) -> LayerModel:
    model = LayerModel()
    mode = QAbstractItemModelTester.FailureReportingMode.Warning
    QAbstractItemModelTester(model, mode, model)
    model.set_stack(stack)
    return model


@pytest.fixture
def model(qapp):
    return watched(STACK)


@pytest.fixture
def edits(model):
    seen = []
    model.layersChanged.connect(seen.append)
    return seen


@pytest.fixture
def editor(qtbot, qapp):
    editor = LayerEditor()
    qtbot.addWidget(editor)
    editor.set_stack(STACK)
    editor.resize(400, 500)
    with qtbot.waitActive(editor):
        editor.show()
    return editor


def texts(model, column):
    return [model.index(row, column).data() for row in range(model.rowCount())]


def block(*layers) -> tuple[object, ...]:
    """The stack with other layers in its residual one."""
    return (STACK.layers[0], Residual(layers=layers), STACK.layers[2])


def test_that_layers_within_a_layer_have_rows_of_their_own(model):
    assert texts(model, Column.NUMBER) == ["1", "2", "2.1", "2.2", "2.2.1", "2.2.2", "3"]
    assert [model.index(row, 0).data(DEPTH_ROLE) for row in range(7)] == [0, 0, 1, 1, 2, 2, 0]
    assert texts(model, Column.SETTINGS)[1:4] == ["linear, mixed", "8", "tanh, linear"]
    edit = model.index(1, Column.SETTINGS).data(Qt.ItemDataRole.EditRole)
    assert edit == "linear(8), mixed(tanh, linear(4))"
    assert model.layers == STACK.layers


def test_that_shapes_and_problems_are_those_of_each_row(model):
    assert texts(model, Column.OUTPUT) == ["4", "–", "8", "–", "8", "4", "–"]
    sentence = (
        "mixed needs candidates of one output shape, but tanh gives 8 and linear (candidate 2) "
        "gives 4."
    )
    found = [model.index(row, 0).data(PROBLEM_ROLE) for row in range(7)]
    assert found == [None, None, None, sentence, None, None, None]
    model.set_settings(5, "8")
    assert model.index(3, 0).data(PROBLEM_ROLE) is None
    assert model.index(1, 0).data(PROBLEM_ROLE) == (
        "residual adds what its layers give to what it gets, but it gets 4 and its last layer, "
        "mixed, gives 8."
    )
    model.set_settings(2, "4")
    model.set_settings(5, "4")
    assert texts(model, Column.OUTPUT) == ["4"] * 7


def test_that_settings_and_kinds_are_edited_within_a_layer(model, edits):
    model.setData(model.index(2, Column.SETTINGS), "4")
    model.setData(model.index(4, Column.KIND), "identity")
    choice = Mixed(candidates=(Identity(), Linear(out_features=4)))
    assert edits == [
        block(Linear(out_features=4), CHOICE),
        block(Linear(out_features=4), choice),
    ]


def test_that_a_line_of_text_replaces_all_layers_within(model, edits):
    kept = QPersistentModelIndex(model.index(6, 0))
    model.setData(model.index(1, Column.SETTINGS), "tanh, residual(relu), linear(4)")
    assert edits == [block(Tanh(), Residual(layers=(ReLU(),)), Linear(out_features=4))]
    assert texts(model, Column.NUMBER) == ["1", "2", "2.1", "2.2", "2.2.1", "2.3", "3"]
    assert kept.row() == 6


def test_that_refused_settings_within_a_layer_are_told_by_their_path(model, edits):
    model.setData(model.index(5, Column.SETTINGS), "0")
    (problem,) = model.problems()
    assert problem.path == ("model", "layers", 1, "layers", 1, "candidates", 1)
    assert problem.sentence.startswith("out_features: 0 was given")
    model.setData(model.index(1, Column.SETTINGS), "heap")
    assert model.problems()[0].path == ("model", "layers", 1)
    assert edits == []


def test_that_a_layer_takes_what_lies_within_it_along(model, edits):
    model.move([1], 0)
    assert edits[-1] == (BLOCK, STACK.layers[0], STACK.layers[2])
    model.duplicate([0])
    assert edits[-1] == (BLOCK, BLOCK, STACK.layers[0], STACK.layers[2])
    model.remove([0, 2])
    assert edits[-1] == (BLOCK, STACK.layers[0], STACK.layers[2])
    assert model.to_text([0, 2]) == model.to_text([0])


def test_that_a_kind_that_holds_layers_too_keeps_them(model, edits):
    model.set_kind(1, "mixed")
    assert edits[-1][1] == Mixed(candidates=BLOCK.layers)
    model.set_kind(1, "tanh")
    assert edits[-1] == (STACK.layers[0], Tanh(), STACK.layers[2])
    model.set_kind(1, "residual")
    assert edits[-1][1] == Residual()


@pytest.mark.parametrize(
    ("row", "step", "layers"),
    [(3, -1, (CHOICE, BLOCK.layers[0])), (2, 1, (CHOICE, BLOCK.layers[0])), (2, -1, None)],
)
def test_that_rows_shift_within_their_layer(model, edits, row, step, layers):
    model.shift([row], step)
    assert edits == ([] if layers is None else [block(*layers)])


def test_that_rows_move_into_the_layer_above_and_out_again(model, edits):
    model.nest([6], 1)
    assert edits[-1] == (STACK.layers[0], Residual(layers=(*BLOCK.layers, ReLU())))
    assert texts(model, Column.NUMBER)[6] == "2.3"
    model.nest([6], 1)
    inner = Mixed(candidates=(*CHOICE.candidates, ReLU()))
    assert edits[-1] == (STACK.layers[0], Residual(layers=(BLOCK.layers[0], inner)))
    model.nest([6], -1)
    model.nest([6], -1)
    assert edits[-1] == STACK.layers
    count = len(edits)
    model.nest([0], 1)
    model.nest([0], -1)
    assert len(edits) == count


def test_that_nothing_moves_into_itself(model, edits):
    for spot in (Spot(2, 1), Spot(3, 1), Spot(4, 2)):
        model.move([1], spot)
    assert edits == []


def test_that_an_emptied_layer_can_be_filled(model, edits):
    model.remove([2, 3])
    assert edits[-1] == block()
    assert model.index(1, 0).data(PROBLEM_ROLE) == "residual has no layers; add at least one."
    assert model.insert(model.spot_after(1), [Tanh()]) == [2]
    assert edits[-1] == block(Tanh())


def test_that_too_many_layers_within_each_other_are_refused_in_words(model, edits, qtbot):
    deep = Tanh()
    for _ in range(7):
        deep = Residual(layers=(deep,))
    model.insert(7, [deep])
    count = len(edits)
    with qtbot.waitSignal(model.refused) as told:
        model.move([7], Spot(3, 1))
    assert told.args == ["At most 8 layers may lie within each other."]
    assert len(edits) == count


def test_that_findings_stand_at_the_layer_of_the_stack(model):
    model.set_findings([Finding(severity="note", layer=1, sentence="Look.")])
    notes = [model.index(row, 0).data(NOTES_ROLE) for row in range(7)]
    said = [[note.sentence for note in each if note.severity == "note"] for each in notes]
    assert said == [[], ["Look."], [], [], [], [], []]


# ------------------------------------------------------------------------------------- by hand


def test_that_a_new_layer_goes_beside_the_selected_one(editor, qtbot):
    button = editor.findChild(QToolButton, "addLayerButton")
    editor.table.select_rows([2])
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(10, 10))
    assert editor.model.layers == block(Linear(out_features=8), ReLU(), CHOICE)
    assert editor.table.selected_rows() == [3]
    editor.table.select_rows([1])
    editor.add(Tanh())
    assert editor.model.layers[2] == Tanh()


def test_that_a_new_candidate_is_for_what_the_choice_gets(qapp, qtbot):
    choice = Mixed(candidates=(Conv2d(out_channels=1, padding=1), Identity()))
    editor = LayerEditor()
    qtbot.addWidget(editor)
    editor.set_stack(StackModel(input_shape=(1, 8, 8), layers=(choice,)))
    editor.table.select_rows([1])
    editor._add_next()
    assert editor.model.layers[0].candidates[1] == Conv2d()


def test_that_alt_and_an_arrow_move_a_row_in_and_out(editor, qtbot):
    editor.table.select_rows([6])
    qtbot.keyClick(editor.table, Qt.Key.Key_Right, ALT)
    assert editor.model.layers[1].layers[2] == ReLU()
    assert editor.table.selected_rows() == [6]
    qtbot.keyClick(editor.table, Qt.Key.Key_Left, ALT)
    assert editor.model.layers == STACK.layers


def test_that_a_row_within_a_layer_is_typed_in(editor, qtbot):
    table = editor.table
    table.setCurrentIndex(editor.model.index(5, Column.SETTINGS))
    qtbot.keyClick(table, Qt.Key.Key_F2)
    line = table.viewport().findChild(QLineEdit)
    assert line.accessibleName() == "Settings of layer 2.2.2"
    line.selectAll()
    qtbot.keyClicks(line, "8")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: editor.model.layers[1].layers[1].candidates[1].out_features == 8)


def test_that_an_undo_shows_the_former_rows_and_keeps_the_selection(editor):
    editor.table.select_rows([6])
    editor.model.remove([1])
    assert editor.table.selected_rows() == [1]
    editor.set_stack(STACK)
    assert editor.model.layers == STACK.layers
    assert editor.table.selected_rows() == [6]


def test_that_a_drop_on_the_lower_half_of_a_row_stays_in_its_layer(editor):
    table = editor.table
    y, height = table.rowViewportPosition(5), table.rowHeight(5)
    assert table._spot_at(QPoint(20, y + height - 2)) == Spot(6, 2)
    assert table._spot_at(QPoint(20, y + 2)) == Spot(5, 2)
    y, height = table.rowViewportPosition(1), table.rowHeight(1)
    assert table._spot_at(QPoint(20, y + height - 2)) == Spot(2, 1)
    assert table._spot_at(QPoint(20, table.rowViewportPosition(6) + 2)) == Spot(6, 0)


def test_that_what_lies_within_a_layer_is_indented(editor):
    table = editor.table
    widest = max(table.fontMetrics().horizontalAdvance(text) for text in ("Residual", "Linear"))
    assert table.columnWidth(Column.KIND) >= widest + 2 * STEP

    def first_ink(row: int) -> int:
        """The leftmost pixel of the kind's text."""
        image = table.viewport().grab().toImage()
        left = table.columnViewportPosition(Column.KIND) + 4
        top = table.rowViewportPosition(row) + 4
        ground = image.pixel(left, top)
        line = 3 * STEP
        for x in range(left, left + 200):
            ink = [image.pixel(x, y) != ground for y in range(top, top + line // 3)]
            if any(ink) and not all(ink):
                return x
        raise AssertionError(row)

    assert first_ink(5) - first_ink(0) == 2 * STEP


# ---------------------------------------------------------------------------------- any outline

LEAVES = st.sampled_from([Linear(), ReLU(), Tanh(), Linear(out_features=3)])
LAYERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: Residual(layers=tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: Mixed(candidates=tuple(parts))),
    ),
    max_leaves=6,
)
STACKS = st.lists(LAYERS, max_size=4).map(tuple)


@given(STACKS)
def test_that_an_outline_folds_back_into_its_layers(layers):
    assert folded(unfolded(layers)) == layers


@given(STACKS, STACKS)
@settings(max_examples=40, deadline=None)
def test_that_any_nested_stack_can_replace_any_other(before, after):
    model = watched(StackModel(input_shape=(4,), layers=before))
    model.set_stack(StackModel(input_shape=(4,), layers=after))
    assert model.layers == after
    fresh = watched(StackModel(input_shape=(4,), layers=after))
    for column in Column:
        assert texts(model, column) == texts(fresh, column)


@given(STACKS, st.data())
@settings(max_examples=60, deadline=None)
def test_that_moves_lose_no_layer(layers, data):
    model = watched(StackModel(input_shape=(4,), layers=layers))
    for _ in range(3):
        rows = st.lists(st.integers(0, max(model.rowCount() - 1, 0)), min_size=1, max_size=3)
        if not model.rowCount():
            return
        kinds = sorted(texts(model, Column.KIND))
        chosen, target = data.draw(rows), data.draw(st.integers(0, model.rowCount() - 1))
        act = data.draw(st.sampled_from(["move", "below", "shift", "nest"]))
        if act == "move":
            model.move(chosen, target)
        elif act == "below":
            model.move(chosen, model.spot_below(target))
        else:
            getattr(model, act)(chosen, data.draw(st.sampled_from([-1, 1])))
        assert sorted(texts(model, Column.KIND)) == kinds
        assert unfolded(model.layers) == model._outline.entries
