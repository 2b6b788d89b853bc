"""The stack as a table model: every edit, and what it leaves alone."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester

from core.spec.layers import Conv1d, Conv2d, Dropout, Flatten, Linear, ReLU
from core.spec.model import StackModel
from hogui.tables.layer_columns import Column
from hogui.tables.layer_model import PROBLEM_ROLE, LayerModel
from hogui.tables.layer_text import layers_from_text

STACK = StackModel(
    input_shape=(3, 32, 32),
    layers=(Conv2d(out_channels=16, padding=1), ReLU(), Flatten(), Linear(out_features=10)),
)


@pytest.fixture
def model(qapp):
    model = LayerModel()
    tester = QAbstractItemModelTester(
        model, QAbstractItemModelTester.FailureReportingMode.Warning, model
    )
    assert tester.model() is model
    model.set_stack(STACK)
    return model


@pytest.fixture
def edits(model):
    seen = []
    model.layersChanged.connect(seen.append)
    return seen


def texts(model, column):
    return [model.index(row, column).data() for row in range(model.rowCount())]


def test_that_shapes_and_parameters_of_each_row_are_those_that_torch_would_give(model):
    assert texts(model, Column.OUTPUT) == ["16×32×32", "16×32×32", "16384", "10"]
    # 3 channels × 16 filters × 3 × 3 + 16 offsets; 16384 × 10 + 10.
    counts = [text.replace("\N{NO-BREAK SPACE}", "") for text in texts(model, Column.PARAMETERS)]
    assert counts == ["448", "0", "0", "163850"]


def test_that_showing_a_stack_is_no_edit(model, edits):
    model.set_stack(StackModel(input_shape=(5,), layers=(Linear(),)))
    assert edits == []
    assert texts(model, Column.SETTINGS) == ["64"]


def test_that_typed_settings_give_one_new_tuple_of_layers(model, edits):
    index = model.index(0, Column.SETTINGS)
    assert model.setData(index, "out_channels=8, kernel_size=5x3")
    (layers,) = edits
    assert layers == (Conv2d(out_channels=8, kernel_size=(5, 3)), *STACK.layers[1:])
    assert texts(model, Column.OUTPUT)[0] == "8×28×30"
    assert STACK.layers[0].out_channels == 16


def test_that_refused_settings_stay_in_their_row_and_are_no_edit(model, edits):
    model.setData(model.index(3, Column.SETTINGS), "0")
    assert edits == []
    assert texts(model, Column.SETTINGS)[3] == "0"
    sentence = "out_features: 0 was given; allowed: a whole number from 1 to 1000000000."
    assert model.index(3, Column.KIND).data(PROBLEM_ROLE) == sentence
    assert model.index(3, 0).data(Qt.ItemDataRole.ToolTipRole) == sentence
    assert [(p.path, p.sentence) for p in model.problems()] == [(("model", "layers", 3), sentence)]


def test_that_refused_settings_survive_edits_of_other_rows(model):
    model.setData(model.index(3, Column.SETTINGS), "ten")
    model.setData(model.index(0, Column.SETTINGS), "32, padding=1")
    model.move([3], 1)
    model.set_stack(StackModel(input_shape=(3, 16, 16), layers=model.layers))
    assert texts(model, Column.SETTINGS)[1] == "ten"
    assert [problem.path for problem in model.problems()] == [("model", "layers", 1)]


def test_that_corrected_settings_clear_the_problem_even_where_the_layer_stays_the_same(
    model, edits, qtbot
):
    model.setData(model.index(3, Column.SETTINGS), "ten")
    with qtbot.waitSignal(model.problemsChanged):
        model.setData(model.index(3, Column.SETTINGS), "10")
    assert edits == []
    assert model.problems() == ()


def test_that_a_layer_which_does_not_fit_says_so_and_the_rows_below_are_unknown(model):
    model.setData(model.index(0, Column.SETTINGS), "16, kernel_size=99")
    assert "window larger than its input" in model.index(0, 0).data(PROBLEM_ROLE)
    assert texts(model, Column.OUTPUT) == ["–"] * 4
    assert model.problems() == ()


def test_that_another_kind_keeps_the_settings_that_both_have(model, edits):
    model.setData(model.index(0, Column.KIND), "conv1d")
    assert edits[-1][0] == Conv1d(out_channels=16, padding=1)


def test_that_another_kind_starts_anew_where_the_old_settings_do_not_fit_it(model, edits):
    model.setData(model.index(0, Column.SETTINGS), "16, kernel_size=5x3")
    model.setData(model.index(0, Column.KIND), "conv1d")
    assert edits[-1][0] == Conv1d()


@pytest.mark.parametrize(
    ("rows", "target", "expected"),
    [
        ([0], 4, [1, 2, 3, 0]),
        ([3], 0, [3, 0, 1, 2]),
        ([0, 2], 2, [1, 0, 2, 3]),
        ([2, 0], 4, [1, 3, 0, 2]),
        ([1], 1, [0, 1, 2, 3]),
        ([1], 2, [0, 1, 2, 3]),
    ],
)
def test_that_rows_move_together_to_before_the_target(model, rows, target, expected):
    model.move(rows, target)
    assert model.layers == tuple(STACK.layers[row] for row in expected)


def test_that_a_move_to_the_same_place_is_no_edit(model, edits):
    model.move([1, 2], 2)
    assert edits == []


def test_that_persistent_indexes_follow_their_rows(model):
    index = QPersistentModelIndex(model.index(3, Column.KIND))
    model.move([3], 0)
    assert (index.row(), index.data()) == (0, "Linear")


@pytest.mark.parametrize(
    ("rows", "step", "expected"),
    [([1, 2], -1, [1, 2, 0, 3]), ([1, 2], 1, [0, 3, 1, 2]), ([0], -1, [0, 1, 2, 3])],
)
def test_that_rows_shift_by_one_until_there_is_no_room(model, rows, step, expected):
    model.shift(rows, step)
    assert model.layers == tuple(STACK.layers[row] for row in expected)


def test_that_duplicates_stand_below_the_last_original(model, edits):
    model.duplicate([0, 1])
    conv, relu, flatten, linear = STACK.layers
    assert edits == [(conv, relu, conv, relu, flatten, linear)]


def test_that_removing_rows_is_one_edit(model, edits):
    model.remove([0, 2])
    assert edits == [(STACK.layers[1], STACK.layers[3])]


def test_that_copied_rows_are_layers_of_a_spec(model):
    assert json.loads(model.to_text([3, 0])) == [
        STACK.layers[0].model_dump(mode="json"),
        STACK.layers[3].model_dump(mode="json"),
    ]


def test_that_rows_dropped_on_their_own_table_move(model, edits):
    data = model.mimeData([model.index(3, 0), model.index(3, 1)])
    assert model.dropMimeData(data, Qt.DropAction.MoveAction, 1, 0, QModelIndex())
    assert edits == [tuple(STACK.layers[row] for row in (0, 3, 1, 2))]


def test_that_rows_dropped_on_another_table_are_copied(model, edits):
    other = LayerModel()
    data = model.mimeData([model.index(1, 0)])
    assert other.dropMimeData(data, Qt.DropAction.CopyAction, -1, -1, QModelIndex())
    assert other.layers == (ReLU(),)
    assert edits == []


@pytest.mark.parametrize(
    "text",
    [
        '[{"kind": "linear", "out_features": 3}, {"kind": "relu"}]',
        '{"layers": [{"kind": "linear", "out_features": 3}, {"kind": "relu"}]}',
        '{"model": {"layers": [{"kind": "linear", "out_features": 3}, {"kind": "relu"}]}}',
    ],
)
def test_that_layers_are_read_from_a_list_a_model_or_a_whole_spec(text):
    assert layers_from_text(text) == (Linear(out_features=3), ReLU())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("hello", "no layers"),
        ("[1]", "1, which is no layer"),
        ('{"kind": "transformer"}', "no layer"),
        ('{"kind": ["relu"]}', "no layer"),
        ('{"kind": "linear", "out_features": 0}', "out_features: 0 was given"),
    ],
)
def test_that_text_which_is_no_layers_is_refused_in_one_sentence(text, part):
    with pytest.raises(ValueError, match=part):
        layers_from_text(text)


LAYERS = st.sampled_from([Linear(), ReLU(), Flatten(), Dropout(), Conv2d(), Linear(bias=False)])
STACKS = st.lists(LAYERS, max_size=6)


@given(STACKS, STACKS)
@settings(max_examples=50, deadline=None)
def test_that_any_stack_can_replace_any_other(before, after):
    model = LayerModel()
    tester = QAbstractItemModelTester(
        model, QAbstractItemModelTester.FailureReportingMode.Warning, model
    )
    model.set_stack(StackModel(input_shape=(4,), layers=tuple(before)))
    model.set_stack(StackModel(input_shape=(4,), layers=tuple(after)))
    assert tester.model().rowCount() == len(after)
    assert model.layers == tuple(after)
    fresh = LayerModel()
    fresh.set_stack(StackModel(input_shape=(4,), layers=tuple(after)))
    assert [texts(model, column) for column in Column] == [
        texts(fresh, column) for column in Column
    ]
