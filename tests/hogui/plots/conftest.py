"""A dressed application, and helpers that wait for frames and read pixels."""

import pytest
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest

from hogui.plots.frame import frame_clock
from hogui.theme import Preference, theme


@pytest.fixture(autouse=True)
def light(qapp):
    theme().set_preference(Preference.LIGHT)
    theme().apply(qapp)
    yield
    theme().set_preference(Preference.SYSTEM)


@pytest.fixture
def settle(qtbot):
    """Waits until the frame clock rests: everything is drawn."""

    def wait() -> None:
        qtbot.waitUntil(lambda: not frame_clock().running)
        QTest.qWait(1)

    return wait


@pytest.fixture
def shown(qtbot, settle):
    """Shows a plot at a size and waits for its first frame."""

    def show(plot, width=700, height=320):
        qtbot.addWidget(plot)
        plot.resize(width, height)
        plot.show()
        qtbot.waitExposed(plot)
        settle()
        return plot

    return show


@pytest.fixture
def colour_at():
    """The colour on the screen at a place of a plot's data."""

    def read(plot, x: float, y: float) -> QColor:
        mapping = plot.canvas.mapping()
        origin = plot.canvas.box.sceneBoundingRect().topLeft()
        image = plot.canvas.grab().toImage()
        return image.pixelColor(int(origin.x() + mapping.x(x)), int(origin.y() + mapping.y(y)))

    return read
