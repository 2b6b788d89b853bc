"""A model from a Python file in the window: its form, a look at it, and the figures of its run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QComboBox, QLabel, QLineEdit, QToolButton, QWidget

from core.isolation import Isolation
from core.results.inspection import InspectedModule, Inspection
from core.results.outcome import Outcome
from core.spec.presets import preset
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec
from hogui.forms.note import Note
from hogui.pages.compare_strip import Compared, comparison
from hogui.pages.configuration import ConfigurationPanel
from hogui.pages.own_model import OwnModel
from hogui.tables.layer_editor import LayerEditor
from hogui.tables.module_table import ModuleTable
from hogui.tables.result_rows import result_rows
from tests.own_models import NETWORK, own_spec, written

PATIENCE_MS = 60_000
MANY = "1\N{NO-BREAK SPACE}234"
FOUND = Inspection(
    modules=(
        InspectedModule(name="body Net", output_shape=(3, 4), parameters=1234),
        InspectedModule(name="body.0 Pair", output_shape=None, parameters=0),
    ),
    output_shape=(3,),
)
STACK = preset("lecture-second-order").spec


@pytest.fixture(scope="module")
def isolation() -> Iterator[Isolation]:
    made = Isolation()
    yield made
    made.shut_down()


@pytest.fixture
def file(tmp_path) -> Path:
    return written(tmp_path, NETWORK)


def shown(qtbot, panel: QWidget) -> QWidget:
    qtbot.addWidget(panel)
    panel.show()
    return panel


def button(widget: QWidget) -> QToolButton:
    return widget.findChild(QToolButton, "inspectButton")


def faults(widget: QWidget) -> str:
    return " ".join(note.text for note in widget.findChildren(Note) if note.isVisible())


def rows(widget: QWidget) -> list[list[str]]:
    model = widget.findChild(ModuleTable).model()
    return [
        [model.index(row, column).data() for column in range(3)] for row in range(model.rowCount())
    ]


def looked(qtbot, widget: OwnModel, spec: RunSpec) -> OwnModel:
    """What stands there once the file was looked at."""
    shown(qtbot, widget).set_spec(spec)
    button(widget).click()
    qtbot.waitUntil(lambda: button(widget).text() == "Inspect", timeout=PATIENCE_MS)
    return widget


def test_that_the_kind_of_model_is_chosen_and_layers_give_way_to_the_file(qtbot) -> None:
    panel = shown(qtbot, ConfigurationPanel(STACK))
    layers, own = panel.findChild(LayerEditor), panel.findChild(OwnModel)
    assert layers.isVisible()
    assert not own.isVisible()
    kind = panel.findChild(QComboBox, "model.kind")
    assert [kind.itemText(index) for index in range(kind.count())] == ["Layers", "Python file"]
    kind.setCurrentIndex(1)
    assert panel.spec.model == PythonModel(input_shape=STACK.model.input_shape)
    assert not layers.isVisible()
    assert own.isVisible()
    assert [problem.key for problem in panel.problems()] == ["model.file"]
    assert not button(panel).isEnabled()
    kind.setCurrentIndex(0)
    assert layers.isVisible()
    assert panel.spec.model.input_shape == STACK.model.input_shape


def test_that_a_file_that_is_typed_can_be_looked_at(qtbot, file: Path) -> None:
    panel = shown(qtbot, ConfigurationPanel(own_spec("nothing.py")))
    assert not button(panel).isEnabled()
    panel.findChild(QLineEdit, "model.file").setText(str(file))
    assert panel.spec.model.file == str(file)
    assert not panel.problems()
    assert button(panel).isEnabled()


def test_that_a_vocabulary_stands_among_the_further_settings(qtbot, file: Path) -> None:
    panel = shown(qtbot, ConfigurationPanel(own_spec(file)))
    vocabulary = panel.findChild(QLineEdit, "model.vocabulary")
    assert not vocabulary.isVisible()
    (more,) = [
        each
        for each in panel.findChildren(QToolButton)
        if each.text() == "More settings" and each.isVisible()
    ]
    more.click()
    assert vocabulary.isVisible()
    vocabulary.setText("11")
    assert panel.spec.model.vocabulary == 11
    vocabulary.setText("none")
    assert panel.spec.model.vocabulary is None


def test_that_modules_shapes_and_weights_stand_below_the_form(qtbot, file: Path) -> None:
    widget = looked(qtbot, OwnModel(lambda spec, cancelled: FOUND), own_spec(file))
    assert rows(widget) == [
        ["body Net", "3×4", MANY],
        ["body.0 Pair", "–", "0"],
    ]
    assert widget.findChild(QLabel, "inspectionSummary").text() == f"{MANY} parameters, output 3"
    assert not faults(widget)


@pytest.mark.parametrize("name", ["loss", "step"])
def test_that_what_the_file_brings_beside_a_model_is_said(name: str, qtbot, file: Path) -> None:
    found = FOUND.model_copy(update={f"has_{name}": True})
    widget = looked(qtbot, OwnModel(lambda spec, cancelled: found), own_spec(file))
    assert faults(widget).startswith(f"The file defines {name}: ")


def test_that_another_file_takes_away_what_was_found_and_another_batch_does_not(
    qtbot, file: Path
) -> None:
    spec = own_spec(file)
    widget = looked(qtbot, OwnModel(lambda spec, cancelled: FOUND), spec)
    widget.set_spec(spec.with_changes({"data.batch_size": 3}))
    assert rows(widget)
    widget.set_spec(spec.with_changes({"model.callable": "other"}))
    assert not rows(widget)
    assert not widget.findChild(ModuleTable).isVisible()


def test_that_whatever_goes_wrong_beside_the_file_is_a_sentence(qtbot, file: Path) -> None:
    def fails(spec: RunSpec, cancelled: threading.Event) -> Inspection:
        raise ArithmeticError("no such number")

    widget = looked(qtbot, OwnModel(fails), own_spec(file))
    assert faults(widget) == "The file was not loaded: ArithmeticError: no such number."


@pytest.mark.parametrize(
    ("text", "fault", "patience_s"),
    [
        ("raise ValueError('no')", "own.py, line 3: loading the file raised ValueError: no.", 60),
        ("import os\nos._exit(7)", "It ended with exit status 7.", 60),
        ("import ctypes\nctypes.string_at(0)", "It was ended by SIGSEGV (Segmentation fault).", 60),
        ("while True: pass", "Loading the file has not come to an end after 2 s.", 2),
    ],
    ids=["raises", "exits", "crashes", "hangs"],
)
def test_that_a_bad_file_is_a_sentence_and_the_window_lives_on(
    text: str, fault: str, patience_s: float, isolation: Isolation, qtbot, tmp_path
) -> None:
    spec = own_spec(written(tmp_path, text))
    isolation.inspect(own_spec(written(tmp_path, NETWORK, "right.py")))
    patience = [patience_s]

    def look(asked: RunSpec, cancelled: threading.Event) -> Inspection | None:
        return isolation.inspect(asked, cancelled, patience[0])

    widget = looked(qtbot, OwnModel(look), spec)
    assert faults(widget).endswith(fault)
    assert not rows(widget)
    right, patience[0] = own_spec(tmp_path / "right.py"), 60
    widget.set_spec(right)
    button(widget).click()
    qtbot.waitUntil(lambda: button(widget).text() == "Inspect", timeout=PATIENCE_MS)
    assert [row[0] for row in rows(widget)] == ["0 Linear", "1 Tanh", "2 Linear"]


@pytest.mark.parametrize("how", ["cancel", "other file", "hide"])
def test_that_a_file_that_hangs_is_left_at_once(
    how: str, isolation: Isolation, qtbot, tmp_path
) -> None:
    mark = tmp_path / "ran"
    spec = own_spec(written(tmp_path, f"open({str(mark)!r}, 'w').close()\nwhile True: pass\n"))
    widget = shown(qtbot, OwnModel(lambda s, cancelled: isolation.inspect(s, cancelled)))
    widget.set_spec(spec)
    button(widget).click()
    assert button(widget).text() == "Cancel"
    qtbot.waitUntil(mark.exists, timeout=PATIENCE_MS)
    if how == "cancel":
        button(widget).click()
    elif how == "hide":
        widget.hide()
    else:
        widget.set_spec(own_spec(written(tmp_path, NETWORK, "right.py")))
    assert button(widget).text() == "Inspect"
    assert not faults(widget)


def test_that_no_forecast_runs_the_file_while_somebody_types(
    isolation: Isolation, tmp_path
) -> None:
    mark = tmp_path / "ran"
    text = f"open({str(mark)!r}, 'w').close()\n" + NETWORK
    forecaster = isolation.forecaster()
    seen = forecaster.ask(own_spec(written(tmp_path, text)))
    assert seen.absent is not None
    assert "its forecast comes with the run" in seen.absent
    assert not mark.exists()
    seen = forecaster.ask(own_spec(tmp_path / "own.py"), loads_files=True)
    assert seen.forecast is not None
    assert mark.exists()
    forecaster.close()


def test_that_a_run_of_a_file_is_shown_beside_one_of_layers(
    qtbot, open_window, finish, isolation: Isolation, file: Path
) -> None:
    window = open_window(isolation.run)
    (first,) = window.session.tabs
    stack = window.workbench.open_copy_of(STACK)
    own = window.workbench.open_copy_of(own_spec(file))
    window.session.close(first)
    for tab in (stack, own):
        window.session.set_current(tab)
        window.session.run(tab)
        finish(tab)
        assert tab.result is not None
        assert tab.result.outcome is Outcome.FINISHED
    assert own.result.spec == own.spec
    window.workbench.side_by_side.choose([stack, own])
    texts = [[cell.text for cell in row.cells] for row in result_rows(own.result)]
    modules = [(row[0], *row[2:]) for row in texts if row[0][:1].isdigit()]
    assert modules == [
        ("1  0 Linear", "144", "16"),
        ("2  1 Tanh", "0", "16"),
        ("3  2 Linear", "51", "3"),
    ]
    compared = comparison([Compared(tab.name, tab.spec, tab.result) for tab in (stack, own)])
    assert {"File", "Callable", "Model"} <= {row.title for row in compared}
