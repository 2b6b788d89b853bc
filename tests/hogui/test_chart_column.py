"""The column of plots that a run's workload fills."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from PySide6.QtWidgets import QApplication

from core.results.charts import CHARTS, Curve, Point
from hogui.pages.chart_column import ChartColumn
from hogui.plots.frame import frame_clock
from hogui.plots.y_share import YShare

LAST = "a_later_one"
"""No chart of this version; it comes after all that are."""


@pytest.fixture
def column(qtbot: object, qapp: QApplication) -> ChartColumn:
    column = ChartColumn()
    qtbot.addWidget(column)
    column.resize(400, 260)
    column.show()
    return column


def test_that_there_is_no_chart_before_its_first_point(column: ChartColumn) -> None:
    assert column.shown == ()
    column.append(Point("learning", "outer loss", 0, 1.0))
    (plot,) = column.shown
    assert plot.objectName() == "learningPlot"
    assert plot.title == CHARTS["learning"].title


def test_that_charts_stand_in_their_declared_order_whatever_came_first(
    column: ChartColumn,
) -> None:
    for name in (LAST, *reversed(CHARTS)):
        column.extend([Curve(chart=name, name="a curve", x=(0.0,), y=(1.0,))])
    assert [plot.objectName() for plot in column.shown] == [f"{n}Plot" for n in (*CHARTS, LAST)]
    QApplication.processEvents()
    tops = [plot.mapTo(column.widget(), plot.rect().topLeft()).y() for plot in column.shown]
    assert tops == sorted(tops)
    assert tops[0] > column.time.height()


def test_that_a_chart_of_another_version_is_shown_by_its_name(column: ChartColumn) -> None:
    column.append(Point(LAST, "a curve", 0, 1.0))
    assert column.shown[0].title == "A later one"


def test_that_a_new_run_hides_the_charts_and_uses_them_again(column: ChartColumn) -> None:
    column.append(Point("learning", "outer loss", 0, 1.0))
    (plot,) = column.shown
    column.clear()
    assert column.shown == ()
    assert plot.rows()[1] == []
    column.append(Point("learning", "outer loss", 0, 2.0))
    assert column.shown == (plot,)


def test_that_one_chart_stays_in_sight_and_more_scroll(column: ChartColumn) -> None:
    before = column.minimumSizeHint().height()
    assert before >= column.time.minimumHeight()
    column.append(Point("learning", "outer loss", 0, 1.0))
    with_one = column.minimumSizeHint().height()
    assert with_one >= before + column.shown[0].minimumSizeHint().height()
    for name in (LAST, "another", "a third"):
        column.append(Point(name, "a curve", 0, 1.0))
    assert column.minimumSizeHint().height() == with_one
    QApplication.processEvents()
    assert column.verticalScrollBar().maximum() > 0
    column.set_scarce(True)
    assert column.minimumSizeHint().height() == before


@dataclass(frozen=True)
class _Matrix:
    title: str = "Hessian"
    size: int = 2
    cells: tuple[tuple[float, ...], ...] = ((1.0, 2.0), (2.0, -3.0))
    blocks: tuple[()] = ()


def test_that_a_matrix_stands_under_the_charts_until_the_next_run(column: ChartColumn) -> None:
    column.show_matrix(_Matrix())
    column.append(Point("learning", "outer loss", 0, 1.0))
    assert [plot.objectName() for plot in column.shown] == ["learningPlot", "heatMapPlot"]
    column.clear()
    assert column.shown == ()


def test_that_charts_of_one_name_have_one_scale_while_they_share_it(
    column: ChartColumn, qtbot: object
) -> None:
    other = ChartColumn()
    qtbot.addWidget(other)
    other.show()
    shares: dict[str, YShare] = {}
    column.append(Point("learning", "outer loss", 0, 1.0))
    for each in (column, other):
        each.share_y(shares)
    other.append(Point("learning", "outer loss", 0, 9.0))
    qtbot.waitUntil(lambda: not frame_clock().running)
    mine, theirs = (each.chart("learning").canvas.box.viewRange()[1] for each in (column, other))
    assert mine == theirs
    assert mine[0] < 1.0 < 9.0 < mine[1]
    for each in (column, other):
        each.share_y({})
    qtbot.waitUntil(lambda: not frame_clock().running)
    assert column.chart("learning").canvas.box.viewRange()[1][1] < 9.0
