"""Forms of declared fields: what they show, emit and refuse."""

from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QComboBox, QFileDialog, QLabel, QSpinBox, QToolButton

from core.spec.declaration import Problem, Spec, declare, declared_fields
from hogui.forms.spec_form import SpecForm, kind_field


class Oven(Spec):
    """A spec of the test's own: forms know no field by name."""

    title: ClassVar[str] = "Oven"
    kind: Literal["oven"] = "oven"
    trays: Annotated[int, Field(ge=1, le=4)] = declare(
        2, label="Trays", help="How many trays.", minimum=1, maximum=4
    )
    heat: Annotated[float, Field(gt=0)] = declare(
        180.0, label="Heat", help="Temperature.", unit="°C", minimum=1
    )
    loaves: Annotated[int, Field(ge=1)] = declare(7, label="Loaves", help="Many.", minimum=1)
    minutes: Literal["auto"] | int = declare(
        "auto", label="Minutes", help="Or until done.", minimum=1, maximum=90
    )
    fan: bool = declare(False, label="Fan", help="Moves the air.")
    mode: Literal["top", "bottom"] = declare("top", label="Mode", help="Which heater.")
    brand: Literal["one"] = declare("one", label="Brand", help="There is one only.")
    recipe: str = declare("", label="Recipe", help="A file.", file=True)
    secret: int = declare(0, label="Secret", help="Rarely needed.", advanced=True)


class Pan(Spec):
    """Shares `heat` and `trays`, whose limit differs."""

    title: ClassVar[str] = "Pan"
    kind: Literal["pan"] = "pan"
    trays: Annotated[int, Field(ge=1, le=2)] = declare(
        1, label="Trays", help="How many trays.", minimum=1, maximum=2
    )
    heat: Annotated[float, Field(gt=0)] = declare(
        90.0, label="Heat", help="Temperature.", unit="°C", minimum=1
    )


@pytest.fixture
def form(qtbot):
    form = SpecForm([Oven], ("kitchen", "oven"))
    qtbot.addWidget(form)
    form.set_spec(Oven())
    with qtbot.waitActive(form):
        form.show()
    return form


@pytest.fixture
def stoves(qtbot):
    """A form of two kinds, which follows its own changes as a page would."""
    form = SpecForm([Oven, Pan], ("stove",), kind=kind_field("Stove", "Which.", [Oven, Pan]))
    qtbot.addWidget(form)
    form.set_spec(Oven())
    form.changed.connect(lambda values: form.set_spec(_changed(form, values)))
    with qtbot.waitActive(form):
        form.show()
    return form


def _changed(form, values):
    cls = {"oven": Oven, "pan": Pan}[values.get("kind", form._spec.kind)]
    known = form._spec.model_dump(include=set(cls.model_fields))
    return cls.model_validate(known | values)


def editor(form, name):
    return form.row(name).input_widget()


def type_into(qtbot, widget, text):
    widget.setFocus()
    widget.selectAll()
    qtbot.keyClicks(widget, text)


def sentence(form, name):
    label = form.row(name).findChild(QLabel, f"{form.row(name).key}.sentence")
    return label.text() if label is not None and label.isVisible() else None


def test_that_typing_in_a_spin_box_emits_each_value_at_once(form, qtbot):
    seen = []
    form.changed.connect(seen.append)
    type_into(qtbot, editor(form, "trays"), "3")
    assert seen == [{"trays": 3}]


def test_that_a_spin_box_keeps_a_number_outside_its_limits_beside_the_reason(form, qtbot):
    with qtbot.assertNotEmitted(form.changed):
        type_into(qtbot, editor(form, "trays"), "7")
        qtbot.keyClick(editor(form, "trays"), Qt.Key.Key_Return)
    assert editor(form, "trays").text() == "7"
    assert sentence(form, "trays") == "7 was given; allowed: a whole number from 1 to 4."
    assert form.problems() == (
        Problem(
            ("kitchen", "oven", "trays"),
            "kitchen.oven.trays: 7 was given; allowed: a whole number from 1 to 4.",
        ),
    )


@pytest.mark.parametrize("text", ["abc", "2.5", "-", "3x", "99999999999"])
def test_that_a_text_that_is_no_whole_number_stays_in_its_spin_box_and_is_refused(
    form, qtbot, text
):
    spin = editor(form, "trays")
    seen = []
    form.changed.connect(seen.append)
    type_into(qtbot, spin, text)
    qtbot.keyClick(spin, Qt.Key.Key_Return)
    assert (spin.text(), len(form.problems())) == (text, 1)
    editor(form, "loaves").setFocus()
    assert (spin.text(), len(form.problems())) == (text, 1)
    form.hide()
    form.show()
    assert (spin.text(), len(form.problems())) == (text, 1)
    assert sentence(form, "trays").endswith("allowed: a whole number from 1 to 4.")
    assert seen == ([{"trays": 3}] if text == "3x" else [])


def test_that_an_arrow_replaces_a_text_that_is_no_number(form, qtbot):
    spin = editor(form, "trays")
    type_into(qtbot, spin, "abc")
    with qtbot.waitSignal(form.changed) as change:
        qtbot.keyClick(spin, Qt.Key.Key_Up)
    assert change.args == [{"trays": 3}]
    assert (spin.text(), form.problems()) == ("3", ())


def test_that_arrows_stay_inside_the_limits(form, qtbot):
    spin = editor(form, "trays")
    for _ in range(9):
        qtbot.keyClick(spin, Qt.Key.Key_Up)
    assert spin.value() == 4
    for _ in range(9):
        qtbot.keyClick(spin, Qt.Key.Key_Down)
    assert spin.value() == 1


def test_that_an_empty_spin_box_is_a_problem_until_it_is_left(form, qtbot):
    spin = editor(form, "trays")
    spin.setFocus()
    spin.selectAll()
    qtbot.keyClick(spin, Qt.Key.Key_Delete)
    assert form.problems()
    editor(form, "loaves").setFocus()
    assert not form.problems()
    assert spin.value() == 2


def test_that_a_refused_text_is_not_lost_when_the_spec_changes_elsewhere(form, qtbot):
    type_into(qtbot, editor(form, "heat"), "hot")
    form.set_spec(Oven(loaves=9))
    assert editor(form, "heat").text() == "hot"
    assert editor(form, "loaves").text() == "9"
    assert sentence(form, "heat") == '"hot" was given; allowed: a number of at least 1.'


def test_that_another_value_of_the_same_field_replaces_a_refused_text(form, qtbot):
    type_into(qtbot, editor(form, "heat"), "hot")
    form.set_spec(Oven(heat=200.0))
    assert editor(form, "heat").text() == "200"
    assert not form.problems()
    assert sentence(form, "heat") is None


def test_that_a_corrected_text_clears_its_sentence_and_is_emitted(form, qtbot):
    seen = []
    form.changed.connect(seen.append)
    type_into(qtbot, editor(form, "heat"), "-")
    qtbot.keyClicks(editor(form, "heat"), "5")
    assert seen == []
    type_into(qtbot, editor(form, "heat"), "5")
    assert seen == [{"heat": 5}]
    assert not form.problems()


def test_that_a_text_which_means_the_same_stays_as_typed_with_its_cursor(form, qtbot):
    line = editor(form, "heat")
    type_into(qtbot, line, "190.00")
    line.setCursorPosition(2)
    form.set_spec(Oven(heat=190.0))
    assert (line.text(), line.cursorPosition(), line.hasFocus()) == ("190.00", 2, True)


def test_that_showing_a_spec_emits_nothing(form, qtbot):
    other = Oven(trays=4, heat=1.5, loaves=1, minutes=3, fan=True, mode="bottom", recipe="/r.txt")
    with qtbot.assertNotEmitted(form.changed):
        form.set_spec(other)
    shown = {name: form.row(name).typed() for name in other.model_dump() if name in form._rows}
    assert shown == {
        "trays": 4,
        "heat": 1.5,
        "loaves": 1,
        "minutes": 3,
        "fan": True,
        "mode": "bottom",
        "recipe": "/r.txt",
        "secret": 0,
    }


def test_that_a_field_with_one_choice_is_not_shown(form):
    assert "brand" in {field.name for field in declared_fields(Oven)}
    with pytest.raises(KeyError):
        form.row("brand")


def test_that_an_advanced_field_waits_behind_the_disclosure(form, qtbot):
    assert not form.row("secret").isVisible()
    more = next(b for b in form.findChildren(QToolButton) if b.text() == "More settings")
    qtbot.mouseClick(more, Qt.MouseButton.LeftButton)
    assert form.row("secret").isVisible()


def test_that_every_editor_tells_its_name_unit_and_help_to_a_screen_reader(form):
    assert editor(form, "heat").accessibleName() == "Heat in °C"
    for field in declared_fields(Oven):
        if field.name != "brand":
            assert editor(form, field.name).accessibleDescription() == field.help
            assert editor(form, field.name).toolTip() == field.help


def test_that_a_screen_reader_hears_the_sentence_of_a_refused_value(form, qtbot):
    type_into(qtbot, editor(form, "heat"), "0")
    assert editor(form, "heat").accessibleDescription().startswith("0 was given; allowed:")
    assert editor(form, "heat").property("invalid") is True


def test_that_the_wheel_leaves_fields_alone_that_do_not_have_the_focus(form):
    spin, combo = editor(form, "trays"), editor(form, "mode")
    assert isinstance(spin, QSpinBox)
    assert isinstance(combo, QComboBox)
    editor(form, "loaves").setFocus()
    for widget in (spin, combo):
        assert not turn_wheel(widget).isAccepted()
    assert (spin.value(), combo.currentText()) == (2, "top")
    spin.setFocus()
    turn_wheel(spin)
    assert spin.value() == 1


def turn_wheel(widget):
    centre = QPointF(widget.rect().center())
    event = QWheelEvent(
        centre,
        widget.mapToGlobal(centre),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    event.setAccepted(True)
    QApplication.sendEvent(widget, event)
    return event


def test_that_the_word_for_automatic_has_a_button(form, qtbot):
    seen = []
    form.changed.connect(seen.append)
    line = editor(form, "minutes")
    type_into(qtbot, line, "30")
    button = form.row("minutes").findChild(QToolButton)
    assert not button.isChecked()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert seen == [{"minutes": 3}, {"minutes": 30}, {"minutes": "auto"}]
    assert button.isChecked()


def test_that_a_file_can_be_chosen(form, qtbot, monkeypatch):
    choose = lambda *_: ("/home/me/bread.txt", "")  # noqa: E731
    monkeypatch.setattr(QFileDialog, "getOpenFileName", choose)
    with qtbot.waitSignal(form.changed) as signal:
        qtbot.mouseClick(form.row("recipe").findChild(QToolButton), Qt.MouseButton.LeftButton)
    assert signal.args == [{"recipe": "/home/me/bread.txt"}]


def test_that_problems_of_the_spec_go_under_the_fields_whose_path_they_carry(form):
    mine = Problem(("kitchen", "oven", "mode"), "kitchen.oven.mode: the top heater is broken.")
    elsewhere = Problem(("kitchen", "sink"), "kitchen.sink: it leaks.")
    assert form.show_problems([mine, elsewhere]) == (elsewhere,)
    assert sentence(form, "mode") == "The top heater is broken."
    assert form.problems() == ()
    form.show_problems([])
    assert sentence(form, "mode") is None


class Kettle(Spec):
    """Some of its fields matter only as others are set."""

    headings: ClassVar = {"Whistle": ("pitch", "tune"), "Water": ("litres",)}
    litres: int = declare(1, label="Litres", help="Of water.", minimum=0)
    whistles: bool = declare(True, label="Whistles", help="When it boils.")
    pitch: int = declare(
        440, label="Pitch", help="Of the whistle.", minimum=20, when={"whistles": (True,)}
    )
    tune: str = declare("", label="Tune", help="Sung.", when={"whistles": (True,)})
    rinse: bool = declare(
        False, label="Rinse", help="For hard water.", when={"kitchen.water": ("hard",)}
    )


class Kitchen(Spec):
    kettle: Kettle = Kettle()
    water: Literal["hard", "soft"] = "soft"

    @property
    def kitchen(self):
        return self


@pytest.fixture
def kettle(qtbot):
    form = SpecForm([Kettle], ("kettle",))
    qtbot.addWidget(form)
    form.set_spec(Kettle(), Kitchen())
    with qtbot.waitActive(form):
        form.show()
    return form


def visible(form):
    return [name for name in Kettle.model_fields if form.row(name).isVisible()]


def test_that_a_field_without_effect_is_hidden(kettle):
    assert visible(kettle) == ["litres", "whistles", "pitch", "tune"]
    kettle.set_spec(Kettle(whistles=False), Kitchen())
    assert visible(kettle) == ["litres", "whistles"]
    kettle.set_spec(Kettle(whistles=False), Kitchen(water="hard"))
    assert visible(kettle) == ["litres", "whistles", "rinse"]


def test_that_without_a_whole_run_only_the_fields_beside_it_decide(kettle):
    kettle.set_spec(Kettle(whistles=False))
    assert visible(kettle) == ["litres", "whistles", "rinse"]


def test_that_a_field_without_effect_stays_while_its_value_is_refused(kettle, qtbot):
    type_into(qtbot, editor(kettle, "pitch"), "1")
    kettle.set_spec(Kettle(whistles=False), Kitchen())
    assert visible(kettle) == ["litres", "whistles", "pitch"]
    kettle.discard_drafts()
    kettle.set_spec(Kettle(whistles=False), Kitchen())
    assert visible(kettle) == ["litres", "whistles"]


def test_that_a_field_of_which_something_is_said_stays_too(kettle):
    kettle.set_spec(Kettle(whistles=False), Kitchen())
    kettle.keep_shown(["kettle.tune"])
    assert visible(kettle) == ["litres", "whistles", "tune"]
    kettle.keep_shown([])
    assert visible(kettle) == ["litres", "whistles"]


def test_that_fields_stand_under_their_headings_below_the_others(kettle, qtbot):
    whistle, water = (heading(kettle, title) for title in ("Whistle", "Water"))
    rows = [kettle.row(name) for name in ("whistles", "pitch", "tune", "litres")]
    tops = [widget.y() for widget in (rows[0], whistle, *rows[1:3], water, rows[3])]
    assert tops == sorted(tops)
    kettle.set_spec(Kettle(whistles=False), Kitchen())
    assert not whistle.isVisible()
    assert water.isVisible()


def test_that_the_tab_key_follows_the_order_on_the_screen(kettle, qtbot):
    kettle.row("whistles").input_widget().setFocus()
    reached = []
    for _ in range(4):
        reached.append(kettle.window().focusWidget().objectName())
        qtbot.keyClick(kettle.window().focusWidget(), Qt.Key.Key_Tab)
    assert reached == ["kettle.whistles", "kettle.pitch", "kettle.tune", "kettle.litres"]


def heading(form, text):
    (label,) = (each for each in form.findChildren(QLabel) if each.text() == text)
    return label


def test_that_changing_the_kind_keeps_common_fields_and_their_widgets(stoves, qtbot):
    heat = editor(stoves, "heat")
    type_into(qtbot, heat, "120")
    combo = editor(stoves, "kind")
    combo.setCurrentIndex(combo.findData("pan"))
    assert stoves._spec == Pan(heat=120.0, trays=2)
    assert editor(stoves, "heat") is heat
    assert not stoves.row("loaves").isVisible()
    assert [combo.itemText(row) for row in range(combo.count())] == ["Oven", "Pan"]


def test_that_a_common_field_which_the_new_kind_refuses_stays_as_a_draft(stoves, qtbot):
    type_into(qtbot, editor(stoves, "trays"), "4")
    combo = editor(stoves, "kind")
    combo.setCurrentIndex(combo.findData("pan"))
    assert stoves._spec == Pan(trays=1, heat=180.0)
    assert editor(stoves, "trays").text() == "4"
    assert sentence(stoves, "trays") == "4 was given; allowed: a whole number from 1 to 2."


def test_that_differences_name_what_is_not_at_its_default(form):
    assert form.differences() == ""
    form.set_spec(Oven(heat=200.0, mode="bottom"))
    assert form.differences() == "Heat 200.0 °C, Mode bottom"
