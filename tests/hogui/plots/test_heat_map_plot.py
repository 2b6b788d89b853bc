"""A matrix as colours: which cell lies where, how it is coloured and what is said of it."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QMouseEvent
from PySide6.QtWidgets import QApplication

from hogui.plots.heat_map_colours import colours_of
from hogui.plots.heat_map_plot import HeatMapPlot
from hogui.plots.painting import spread
from hogui.theme import DARK, LIGHT, Preference, theme


@dataclass(frozen=True)
class Block:
    name: str
    start: int


@dataclass(frozen=True)
class Matrix:
    title: str = "Hessian"
    size: int = 3
    cells: tuple[tuple[float | None, ...], ...] = (
        (4.0, -1.0, 0.0),
        (-1.0, -4.0, 2.0),
        (0.0, 2.0, 1.0),
    )
    blocks: tuple[Block, ...] = (Block("0.weight", 0), Block("0.bias", 2))


@pytest.fixture
def plot(shown):
    plot = HeatMapPlot()
    plot.set_matrix(Matrix())
    return shown(plot, 500, 320)


def colour_of(plot, row, column):
    image = plot.grab().toImage()
    return image.pixelColor(plot.place_of(row, column).toPoint())


@pytest.mark.parametrize(
    ("preference", "tokens"), [(Preference.LIGHT, LIGHT), (Preference.DARK, DARK)]
)
def test_that_zero_is_neutral_and_the_largest_of_each_sign_has_its_end_colour(
    plot, preference, tokens
):
    theme().set_preference(preference)
    low, *_, high = tokens.diverging
    assert colour_of(plot, 0, 0) == QColor(high)
    assert colour_of(plot, 1, 1) == QColor(low)
    assert colour_of(plot, 0, 2) == QColor(tokens.diverging[2])
    assert colour_of(plot, 1, 2) == QColor(tokens.diverging[3])


def test_that_colours_lie_between_those_at_equal_steps():
    theme().set_preference(Preference.LIGHT)
    stops = [QColor(colour).getRgb()[:3] for colour in LIGHT.diverging]
    found = colours_of(np.array([-2.0, -1.0, -0.5, 0.25, 2.0]), 2.0)
    between = [(a + b) / 2 for a, b in zip(stops[1], stops[2], strict=True)]
    eighth = [a + (b - a) / 4 for a, b in zip(stops[2], stops[3], strict=True)]
    expected = np.array([stops[0], stops[1], between, eighth, stops[4]])
    assert np.abs(found - expected).max() <= 0.5


def test_that_a_matrix_of_zeros_is_neutral_and_what_is_not_finite_has_a_colour_of_its_own(plot):
    plot.set_matrix(Matrix(size=2, cells=((0.0, None), (math.inf, 0.0)), blocks=()))
    assert colour_of(plot, 0, 0) == QColor(LIGHT.diverging[2])
    assert colour_of(plot, 0, 1) == colour_of(plot, 1, 0) == QColor(LIGHT.border_strong)
    assert plot.rows()[1][0][1:] == [0.0, None]


def test_that_the_cell_under_the_pointer_is_read_out_by_the_names_of_its_blocks(plot):
    assert plot.note.text() == "from -4 to 4"
    plot.set_cursor((1, 2))
    assert plot.note.text() == "0.weight 1 × 0.bias 0: 2"
    plot.set_cursor(None)
    assert plot.note.text() == "from -4 to 4"


def test_that_a_cell_of_many_entries_names_them_within_its_block(plot):
    """Seven entries in three cells: 0 and 1, 2 and 3, 4 to 6."""
    plot.set_matrix(Matrix(size=7, blocks=(Block("a", 0), Block("b", 3), Block("c", 4))))
    assert plot.rows()[0] == ["", "a 0…1", "a 2…b 0", "c 0…2"]
    border = plot._square.area().left() + plot._square.area().width() * 3 / 7
    image = plot.grab().toImage()
    y = int(plot.place_of(0, 2).y())
    x = int(border + plot._square.x())
    colours = [image.pixelColor(x + step, y) for step in (-1, 0, 1)]
    assert QColor(LIGHT.text_secondary) in colours


def test_that_every_cell_is_found_where_it_is_painted(plot):
    for row in range(3):
        for column in range(3):
            assert plot.cell_at(plot.place_of(row, column)) == (row, column)
    assert plot.cell_at(QPointF(1, 1)) is None


def test_that_the_pointer_reads_out_and_takes_it_away_again(plot):
    square = plot._square
    for place, cell in ((square.box_of(2, 1).center(), (2, 1)), (QPointF(0, 0), None)):
        move = QEvent.Type.MouseMove, place, square.mapToGlobal(place)
        nothing = Qt.MouseButton.NoButton
        event = QMouseEvent(*move, nothing, nothing, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(square, event)
        assert plot.cursor_cell == cell


def test_that_arrow_keys_move_from_cell_to_cell_within_the_matrix(plot, qtbot):
    plot.setFocus()
    cells = []
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Up):
        qtbot.keyClick(plot, key)
        cells.append(plot.cursor_cell)
    assert cells == [(0, 0), (1, 0), (1, 1), (0, 1), (0, 1)]
    qtbot.keyClick(plot, Qt.Key.Key_Escape)
    assert plot.cursor_cell is None


def test_that_blocks_are_parted_by_a_line(plot):
    image = plot.grab().toImage()
    border = plot.place_of(0, 2) - QPointF(plot._square.box_of(0, 2).width() / 2, 0)
    nearby = [image.pixelColor(int(border.x()) + step, int(border.y())) for step in (-1, 0, 1)]
    assert QColor(LIGHT.text_secondary) in nearby


def test_that_the_table_names_rows_and_columns(plot):
    headers, rows = plot.rows()
    assert headers == ["", "0.weight 0", "0.weight 1", "0.bias 0"]
    assert rows[2] == ["0.bias 0", 0.0, 2.0, 1.0]
    dialog = plot.show_table()
    dialog.copy()
    dialog.close()
    assert QGuiApplication.clipboard().text().splitlines()[1] == "0.weight 0,4.0,-1.0,0.0"


def test_that_a_picture_leaves_out_the_read_out(plot, tmp_path):
    plot.set_cursor((0, 0))
    plot.save_png(tmp_path / "hessian.png")
    assert plot.cursor_cell == (0, 0)
    plot.set_cursor(None)
    plain = plot.picture()
    plot.set_cursor((0, 0))
    assert plot.picture() == plain
    with pytest.raises(OSError, match="could not be written"):
        plot.save_png(tmp_path / "missing" / "hessian.png")


def test_that_there_is_nothing_to_see_without_a_matrix(plot):
    plot.set_matrix(None)
    assert plot.isHidden()
    assert plot.title == ""
    assert plot.cell_at(QPointF(100, 100)) is None


def test_that_a_matrix_without_one_finite_cell_says_so(plot):
    plot.set_matrix(Matrix(size=1, cells=((None,),), blocks=()))
    assert plot.note.text() == "no cell is finite"


@pytest.mark.parametrize(
    ("middles", "expected"),
    [
        ([20, 60], [20, 60]),
        ([20, 22, 60], [20, 30, 60]),
        ([2, 50], [5, 50]),
        ([50, 97, 99], [50, 85, 95]),
        ([10 * n for n in range(12)], [*(5 + 10 * n for n in range(10)), None, None]),
    ],
)
def test_that_names_of_low_blocks_keep_their_distance(
    middles: list[float], expected: list[float | None]
) -> None:
    assert spread(middles, 10, 0, 100) == expected
