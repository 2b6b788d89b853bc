"""How peak and time grow with the order, while runs of every order come in."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from core.results.growth_by_order import (
    GROWTH_FORM,
    GrowthByOrder,
    growth_by_order,
    growth_curves,
    growth_sentence,
)
from hogui.open_tab import OpenTab
from hogui.plots.chart_plot import ChartPlot
from hogui.theme import GRID, Size, theme
from hogui.units import BYTES, MISSING, column_decimals, format_ratio, ratio, seconds_scale

_ROW = 6 * GRID


class GrowthDialog(QDialog):
    """The fitted factors, a chart and a table of some tabs that differ by the order. It observes
    them, and stands beside the window without holding it up."""

    def __init__(self, title: str, tabs: Sequence[OpenTab], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("growthDialog")
        self.setWindowTitle(self.tr("{name}: growth by order").format(name=title))
        # A tab may be closed, or get another configuration, while the dialog stays.
        self._wanted = tuple((tab, tab.spec) for tab in tabs)
        self.sentence = QLabel()
        self.sentence.setObjectName("growthLabel")
        self.sentence.setWordWrap(True)
        self.chart = ChartPlot("growthByOrder", GROWTH_FORM)
        self.table = self._table()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(self.sentence)
        layout.addWidget(self.chart, 1)
        layout.addWidget(self.table)
        self.resize(140 * GRID, 130 * GRID)
        for tab in tabs:
            tab.resultChanged.connect(self._refresh)
        self._refresh()

    def _refresh(self) -> None:
        growth = growth_by_order(
            tab.result
            for tab, spec in self._wanted
            if tab.result is not None and tab.result.spec == spec
        )
        self.sentence.setText(growth_sentence(growth))
        self.chart.clear()
        for curve in growth_curves(growth):
            self.chart.extend(curve)
        self.chart.show()
        self._fill(growth)

    def _fill(self, growth: GrowthByOrder) -> None:
        costs = growth.costs
        peaks, times = [cost.peak_bytes for cost in costs], [cost.median_s for cost in costs]
        seconds = seconds_scale(max((time for time in times if time is not None), default=0))
        titles = [
            self.tr("Order"),
            self.tr("Peak, MiB"),
            self.tr("× before"),
            self.tr("Time, {unit}").format(unit=seconds.unit),
            self.tr("× before"),
        ]
        self.table.setHorizontalHeaderLabels(titles)
        self.table.setRowCount(len(costs))
        columns = (
            [str(cost.order) for cost in costs],
            _figures(peaks, BYTES[2].factor),
            _ratios(peaks),
            _figures(times, seconds.factor),
            _ratios(times),
        )
        for column, texts in enumerate(columns):
            for row, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)

    def _table(self) -> QTableWidget:
        table = QTableWidget(0, 5)
        table.setObjectName("growthTable")
        table.setAccessibleName(self.tr("What each order costs"))
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setShowGrid(False)
        table.setFont(theme().font(Size.BODY, tabular=True))
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(_ROW)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        table.setFixedHeight((len(self._wanted) + 1) * _ROW + 2 * GRID)
        return table


def _figures(values: Sequence[float | None], factor: float) -> list[str]:
    """In one unit, with decimals enough for the largest."""
    scaled = [None if value is None else value / factor for value in values]
    decimals = column_decimals(max((value for value in scaled if value is not None), default=0))
    return [MISSING if value is None else f"{value:.{decimals}f}" for value in scaled]


def _ratios(values: Sequence[float | None]) -> list[str]:
    """Each to the one before it."""
    before = [None, *values][: len(values)]
    return [format_ratio(ratio(*pair)) for pair in zip(values, before, strict=True)]
